"""A row's texts in parts that a page can colour; one layout after the other.

Spans count characters as Python does, browsers count otherwise: the text is cut here. Leaves out
everything about HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST_CHARACTERS = 200_000
"""Of one text; the rest is said to be there."""
_LONGEST_BOX = 1000
_LONG = 120
"""Characters from which on a column of no known meaning is a text."""
ROLES = ("path", "wrong_branch", "transition", "answer")
Part = dict[str, Any]
Text = dict[str, Any]
Row = Mapping[str, Any]


def make_text(title: str, parts: Iterable[Part]) -> Text:
    """Return one text, cut where it is too long for a page."""
    kept: list[Part] = []
    total, left = 0, MOST_CHARACTERS
    for part in parts:
        text = str(part["text"])
        total += len(text)
        if text and left > 0:
            kept.append({**part, "text": text[:left]})
            left -= len(text[:left])
    return {"title": title, "parts": kept, "length": total, "cut": total > MOST_CHARACTERS}


def cut_spans(text: str, spans: Any) -> list[Part]:
    """Cut a text at its spans; what is in none has no role, and a span that does not fit none."""
    parts: list[Part] = []
    at = 0
    for span in spans if isinstance(spans, list) else []:
        if not isinstance(span, dict) or span.get("role") not in ROLES:
            continue
        start, end = span.get("start"), span.get("end")
        if not isinstance(start, int) or not isinstance(end, int):
            continue
        if not at <= start < end <= len(text):
            continue
        parts += [_part(text[at:start]), _part(text[start:end], span["role"])]
        at = end
    parts.append(_part(text[at:]))
    return [part for part in parts if part["text"]]


def _part(text: Any, role: str | None = None, **more: Any) -> Part:
    return {"text": "" if text is None else str(text), "role": role, **more}


def texts_of(kind: str, row: Row) -> list[Text]:
    """Return the texts of a row, the main one first."""
    make = _MAKERS.get(kind)
    return make(row) if make else []


def question_of(kind: str, row: Row) -> str | None:
    """Return the question that a row carries."""
    if kind == "steps" and isinstance(row.get("prompt"), str):
        return str(row["prompt"])
    for name in ("prompt", "messages"):
        value = row.get(name)
        if isinstance(value, list):
            asked = [m for m in value if isinstance(m, dict) and m.get("role") == "user"]
            if asked:
                return str(asked[-1].get("content") or "")
    problem = row.get("problem")
    return problem if isinstance(problem, str) else None


def last_box(text: str) -> str | None:
    """Return what the last balanced ``\\boxed{...}`` of a text holds; None where there is none."""
    at = len(text)
    while (at := text.rfind("\\boxed{", 0, at)) >= 0:
        depth, start = 1, at + len("\\boxed{")
        for end in range(start, min(len(text), start + _LONGEST_BOX)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                return text[start:end]
    return None


def content_of(row: Row, name: str) -> str:
    """Return a text, or what the last of a list of messages says."""
    value = row.get(name)
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        value = value[-1].get("content")
    return value if isinstance(value, str) else ""


def _sft(row: Row) -> list[Text]:
    if row.get("completion") is None:
        turns = [m for m in row.get("messages") or () if isinstance(m, dict)]
        said = [m for m in turns if m.get("role") == "assistant"]
        return [make_text("Completion", [_part(m.get("content"))]) for m in said]
    text = content_of(row, "completion")
    prompt = [m for m in row.get("prompt") or () if isinstance(m, dict)]
    system = [m.get("content") for m in prompt if m.get("role") == "system"]
    texts = [make_text("Completion", cut_spans(text, row.get("spans")))]
    return texts + [make_text("System prompt", [_part(said)]) for said in system if said]


def _preference(row: Row) -> list[Text]:
    texts = []
    shared = row.get("prefix_characters")
    n = shared if isinstance(shared, int) else 0
    for name, role in (("chosen", "answer"), ("rejected", "wrong_branch")):
        text = content_of(row, name)
        parts = [_part(text[:n], "shared"), _part(text[n:], role)]
        value, score = row.get(f"{name}_value"), row.get(f"{name}_score")
        said = [f"value {value:.2f}"] if isinstance(value, float) else []
        said += [f"score {score:.3f}"] if isinstance(score, float) else []
        texts.append(make_text(", ".join([name.capitalize(), *said]), parts))
    return texts


def _steps(row: Row) -> list[Text]:
    steps = row.get("completions") or []
    parts = []
    for i, step in enumerate(steps):
        label, value = _at(row, "labels", i), _at(row, "values", i)
        score = _at(row, "scores", i)
        said = [f"step {i + 1}", {True: "right", False: "wrong"}.get(label, "no label")]
        said += [f"value {value:.2f}"] if isinstance(value, float) else []
        said += [f"of {_at(row, 'n_rollouts', i)} leaves"]
        said += [f"score {score:.3f}"] if isinstance(score, float) else []
        role = "wrong_branch" if label is False else "path"
        parts.append(_part(step, role, note=" · ".join(said)))
    return [make_text("Steps", parts)]


def _at(row: Row, name: str, i: int) -> Any:
    values = row.get(name)
    return values[i] if isinstance(values, list) and i < len(values) else None


def _trajectory(row: Row) -> list[Text]:
    role = {"correct": "path", "incorrect": "wrong_branch"}.get(str(row.get("verdict")))
    parts = [_part(row.get("joiner"), "transition"), _part(row.get("text"), role)]
    return [make_text("Continuation" if row.get("parent_id") else "Sample", parts)]


def _one(title: str, *names: str) -> Any:
    def make(row: Row) -> list[Text]:
        found = [(name, row.get(name)) for name in names]
        return [
            make_text(title if i == 0 else name.replace("_", " ").capitalize(), [_part(text)])
            for i, (name, text) in enumerate(found)
            if isinstance(text, str) and text
        ]

    return make


def other_texts(row: Row) -> list[Text]:
    """Return the columns that are texts or lists of messages, titled by their names."""
    texts = []
    for name, value in row.items():
        if isinstance(value, str) and len(value) > _LONG:
            texts.append(make_text(name, [_part(value)]))
        elif isinstance(value, list) and value and isinstance(value[0], dict | str):
            texts.append(make_text(name, _turns(value)))
    return texts


def _turns(values: Sequence[Any]) -> list[Part]:
    parts = []
    for value in values[:500]:
        if isinstance(value, dict) and isinstance(value.get("content"), str):
            parts.append(_part(value["content"], note=str(value.get("role") or "")))
        else:
            parts.append(_part(value, note=""))
    return parts


_MAKERS = {
    "sft": _sft,
    "preference": _preference,
    "steps": _steps,
    "trajectory": _trajectory,
    "cell": _one("Sample", "text"),
    "rl": _one("Reference solution", "solution"),
    "question": _one("Reference solution", "solution"),
    "tree": _one("", ""),
    "refused": _one("What was refused", "excerpt"),
}
