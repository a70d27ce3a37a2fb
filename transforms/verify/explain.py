"""Why a check got its verdict, in sentences for a person.

Runs the same check as ``verify`` and says what each step saw. Text of models is shown escaped and
shortened. Leaves out: how sympy found its result.
"""

from __future__ import annotations

from dataclasses import dataclass

from butwait.schemas.verdict import Verdict
from butwait.transforms.answers import extract_answer
from butwait.transforms.verify.answer_types import infer_type
from butwait.transforms.verify.check import Check, Kind, judge
from butwait.transforms.verify.differences import differences
from butwait.transforms.verify.golds import read_gold
from butwait.transforms.verify.limits import DEFAULT, Limits
from butwait.transforms.verify.mode import AnswerType, Mode, mode_of
from butwait.transforms.verify.rules import meaning
from butwait.transforms.verify.staged import read_typed

_SHOWN = 160
_AROUND = 40
_ADVICE = {
    "undecided": "look at the pair by hand; another form of the gold answer may be decidable",
    "timeout": "raise Limits(worker_s=...), or write the gold answer in a simpler form",
    "memory": "raise Limits(memory_mb=...), or write the gold answer in a simpler form",
    "unreadable_gold": "write the gold answer as one value, set, interval, equation or word",
    "prose_gold": "give the bare answer as gold, not the sentence",
    "kind": "give answer_type where the notation leaves the kind open",
    "worker": "run `python -m butwait.transforms.verify.worker < /dev/null` to see its fault",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict with the steps that led to it; ``str()`` is the text for a person."""

    verdict: Verdict
    steps: tuple[str, ...]

    def __str__(self) -> str:
        """One step a line, the verdict first."""
        head = f"{self.verdict.verdict} (rule {self.verdict.rule})"
        return "\n".join([head, *(f"  {step}" for step in self.steps)])


def explain(
    gold: str,
    prediction: str,
    *,
    problem: str | None = None,
    kind: Kind = "trace",
    answer_type: AnswerType | None = None,
    tolerance: float | None = None,
    finish_reason: str | None = None,
    limits: Limits = DEFAULT,
) -> Explanation:
    """Why ``verify`` with the same arguments gives its verdict; never raises on any text.

    >>> print(explain("(1, 2)", r"so \\boxed{(1, 3)}"))
    incorrect (rule tuple)
      answer: found in the last box: "(1, 3)"
      gold: read as a tuple: (1, 2)
      answer: read as a tuple: (1, 3)
      decided: the places of tuples are compared in order
      place 2 differs: 2 against 3
    """
    check = Check(gold, prediction, problem, kind, answer_type, tolerance, finish_reason)
    verdict = judge(check, limits)
    if verdict.rule == "bad_argument":
        return Explanation(verdict, (verdict.detail or "",))
    mode = mode_of(kind, answer_type, tolerance)
    steps = [_where(prediction, limits)] if kind == "trace" else []
    bare = read_gold(gold, limits, mode).text
    steps.append(f"gold: {_reading(bare, limits, mode)}")
    if verdict.extracted is not None:
        steps.append(f"answer: {_reading(verdict.extracted, limits, mode)}")
    steps.append(f"decided: {meaning(verdict.rule)}")
    if verdict.detail:
        steps.append(f"detail: {verdict.detail}")
    if verdict.verdict == "incorrect" and verdict.extracted is not None:
        steps += differences(bare, verdict.extracted, limits, mode)
    if verdict.rule in _ADVICE:
        steps.append(f"to do: {_ADVICE[verdict.rule]}")
    return Explanation(verdict, tuple(steps))


_PLACES = {
    "box": "in the last box",
    "joined_boxes": "in the last boxes, which are joined",
    "tag": "in the answer tag",
    "label": "after the last label",
    "line": "on the last line",
    "conclusion": "in the sentence that concludes",
}


def _where(prediction: str, limits: Limits) -> str:
    found = extract_answer(prediction, max_chars=limits.trace_chars)
    if found.state != "found":
        end = shown(prediction[-_AROUND:]) if prediction else '""'
        return f"answer: none taken, {meaning(found.rule)}; the text ends {end}"
    place = _PLACES.get(found.rule, found.rule)
    return f"answer: found {place}: {shown(found.text or '')}"


def _reading(text: str, limits: Limits, mode: Mode) -> str:
    from butwait.transforms.verify.golds import canonical_text

    node = read_typed(text, limits, mode)
    if isinstance(node, str):
        return f"{shown(text)} cannot be read: {node}"
    kind = mode.answer_type or infer_type(node)
    article = "an" if kind[0] in "aeiou" else "a"
    name = kind if kind == "text" else f"{article} {kind}"
    return f"read as {name}: {shown(canonical_text(text, limits) or text, quoted=False)}"


def shown(text: str, *, quoted: bool = True) -> str:
    """A text for a terminal: control and direction characters escaped, long ones shortened."""
    if len(text) > _SHOWN:
        text = f"{text[: _SHOWN // 2]} ... {text[-_SHOWN // 2 :]}"
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f'"{safe}"' if quoted else safe
