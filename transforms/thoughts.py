"""Telling a sampled text's thought from its solution, with markers or without.

Markers are ordinary text for most tokenizers, so everything here works on text, in one pass and
linear time. A text without markers is cut before its concluding paragraph. Left out: any judgement
of the mathematics, and a marker spelled otherwise than in ``FORMS``.

Choices:

- A text may lack the opening marker (the prompt had opened the thought) and the closing one is
  then enough; a solution marker also ends a thought.
- A marked thought without a word in it counts as no thought: what follows it is split as if it
  had no markers.
- A second closing marker stays in the text, where the row's check refuses it by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Form:
    """The four markers of one way to write a thought and a solution."""

    begin: str
    end: str
    begin_solution: str
    end_solution: str


BESPOKE = Form(
    "<|begin_of_thought|>", "<|end_of_thought|>", "<|begin_of_solution|>", "<|end_of_solution|>"
)
THINKING = Form("<thinking>", "</thinking>", "<answer>", "</answer>")
THINK = Form("<think>", "</think>", "<answer>", "</answer>")
FORMS = (BESPOKE, THINKING, THINK)
ALL_MARKERS: tuple[str, ...] = tuple(
    dict.fromkeys(m for f in FORMS for m in (f.begin, f.end, f.begin_solution, f.end_solution))
)
"""Every marker that any form knows."""

_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_LABEL = re.compile(
    r"^[#*> \t]*(?:(?:the[ \t]+)?(?:final[ \t]+)?"
    r"answer(?:[ \t]+is\b)?[*]*(?:[ \t]*[:\uff1a]|(?<=is))|####)",
    re.IGNORECASE | re.MULTILINE,
)
"""``Answer:``, ``The final answer is``, ``####`` and the like at the start of a line."""
_BLANK_LINES = re.compile(r"\n[ \t\r]*\n\s*")
_HEADING = re.compile(r"#{1,6} .*|\*\*[^*\n]*\*\*:?")
_LEAD_IN = (":", ":**", "\\[")
_LONGEST_LEAD_IN = 300
_LONGEST_ANSWER = 200


@dataclass(frozen=True, slots=True)
class Thought:
    """A text in parts. Parts are stripped; ``solution`` is empty where no answer was found."""

    opening: str
    """What stood before the opening marker."""
    thought: str
    solution: str
    marked: bool
    """Whether markers told the parts apart; else the last answer did."""
    begun: bool
    """Whether the text itself holds an opening marker."""
    closed: bool
    """False for a thought that was opened and never closed."""
    restated: bool
    """Whether ``solution`` is our own sentence because the text is all thought."""


@dataclass(frozen=True, slots=True)
class _Cut:
    form: Form
    begin: int
    """Index of the opening marker, -1 without one."""
    body: int
    end: int
    """Index at which the thought ends; the text's length where it is never closed."""
    rest: int
    closed: bool


def split_thought(text: str, answer: str | None = None) -> Thought:
    r"""Split a text into opening, thought and solution.

    Args:
        text: A sampled text, without the prompt.
        answer: The answer found in it, for the restatement where the text is all thought; default:
            its last closed box or what stands behind its last answer label.

    Returns:
        The parts.

    >>> split_thought("<think>\n2 + 2 = 4\n</think>\n\nIt is $\\boxed{4}$.").thought
    '2 + 2 = 4'
    >>> split_thought("2 + 2 = 4\n\nAnswer: \\boxed{4}").solution
    'Answer: \\boxed{4}'
    """
    cut = _find_cut(text)
    if cut is None:
        return _split_unmarked(text, answer)
    opening = text[: max(cut.begin, 0)].strip()
    if not cut.closed:
        inner = _split_unmarked(text[cut.body :], answer)
        return replace(inner, opening=opening, begun=True, closed=False)
    thought = text[cut.body : cut.end].strip()
    rest = text[cut.rest :]
    if not thought:
        inner = _split_unmarked(_read_solution(rest, cut.form, boxes=False), answer)
        return replace(inner, opening=opening, begun=cut.begin >= 0)
    solution = _read_solution(rest, cut.form)
    restated = not solution
    if restated:
        solution = restate(answer or find_answer(thought))
    return Thought(opening, thought, solution, True, cut.begin >= 0, True, restated)


def continuation_prefix(text: str, finish_reason: str = "stop") -> str:
    r"""What the assistant has said before a phrase like "But wait," is put behind it.

    Args:
        text: The whole text so far.
        finish_reason: How it ended.

    Returns:
        A marked text up to its end-of-thought marker, any other text whole, right-stripped; empty
        where there is nothing to continue: an empty text, or one that was cut by the token limit.

    >>> continuation_prefix("<think>\n2 + 2 = 5\n</think>\n\\boxed{5}")
    '<think>\n2 + 2 = 5'
    """
    if finish_reason == "length":
        return ""
    cut = _find_cut(text)
    if cut is None or not text[cut.body : cut.end].strip():
        return text.rstrip()
    return text[: cut.end].rstrip()


def thought_so_far(text: str) -> str:
    """The same text as `continuation_prefix` keeps, without opening and marker, stripped."""
    cut = _find_cut(text)
    if cut is None:
        return text.strip()
    return text[cut.body : cut.end].strip() or text[cut.rest :].strip()


def find_answer(text: str) -> str:
    """Content of the last closed box, else of the last answer label's line; else empty."""
    box = last_box_span(text)
    if box is not None:
        start, end = box
        return text[text.index("{", start) + 1 : end - 1].strip()
    label = _last_label(text)
    if label is None:
        return ""
    line = text[label.end() :].split("\n", 1)[0]
    return line.strip(" \t\r*$").rstrip(".")


def last_box_span(text: str) -> tuple[int, int] | None:
    r"""Characters ``[start, end)`` of the last closed ``\boxed{...}``; None without one."""
    boxes = box_spans(text)
    return boxes[-1] if boxes else None


def box_spans(text: str) -> list[tuple[int, int]]:
    r"""Characters ``[start, end)`` of every closed ``\boxed{...}``, by their ends."""
    open_braces: list[int] = []  # start of a box, -1 for any other brace
    found = []
    for match in _BRACES.finditer(text):
        brace = match.group()
        if brace == "}":
            start = open_braces.pop() if open_braces else -1
            if start >= 0:
                found.append((start, match.end()))
        elif brace.endswith("{") and brace != "\\{":
            open_braces.append(match.start() if len(brace) > 1 else -1)
    return found


def holds_marker(text: str) -> bool:
    """Whether any form's marker occurs in a text, in any letter case."""
    folded = text.casefold()
    return any(marker in folded for marker in ALL_MARKERS)


def restate(answer: str) -> str:
    """One sentence that says the answer in a box; empty where there is no answer."""
    answer = answer.strip().strip("$").strip()
    return f"The final answer is $\\boxed{{{answer}}}$." if answer else ""


def _find_cut(text: str) -> _Cut | None:
    form = _find_form(text)
    if form is None:
        return None
    begin = text.find(form.begin)
    body = begin + len(form.begin)
    found = _find_ends(text, form, 0)
    if begin < 0 or (found and found[0][0] < begin):
        begin, body = -1, 0
    else:
        found = _find_ends(text, form, body)
    if not found:
        return _Cut(form, begin, body, len(text), len(text), False)
    at, width = found[0]
    return _Cut(form, begin, body, at, at + width, True)


def _find_ends(text: str, form: Form, start: int) -> list[tuple[int, int]]:
    """Where a thought may end from ``start`` on, the first first, and how long the marker is."""
    places = (
        (text.find(form.end, start), len(form.end)),
        (text.find(form.begin_solution, start), 0),
    )
    return sorted((at, width) for at, width in places if at >= 0)


def _find_form(text: str) -> Form | None:
    """The form whose thought marker comes first; without one, whose solution marker does."""
    for read in (lambda f: (f.begin, f.end), lambda f: (f.begin_solution,)):
        places = [
            (at, i) for i, f in enumerate(FORMS) for m in read(f) if (at := text.find(m)) >= 0
        ]
        if places:
            return FORMS[min(places)[1]]
    return None


def _read_solution(rest: str, form: Form, *, boxes: bool = True) -> str:
    """The solution in what follows a thought; a bare answer block gets a sentence and a box."""
    before, begun, content = rest.partition(form.begin_solution)
    if not begun:
        return rest.partition(form.end_solution)[0].strip()
    content = content.partition(form.end_solution)[0].strip()
    is_bare = "\n" not in content and len(content) <= _LONGEST_ANSWER and "\\boxed" not in content
    if boxes and is_bare and form is not BESPOKE:
        content = restate(content)
    return "\n\n".join(part for part in (before.strip(), content) if part)


def _split_unmarked(text: str, answer: str | None) -> Thought:
    body = text.strip()
    start = _find_conclusion(body)
    if start > 0:
        return Thought("", body[:start].rstrip(), body[start:], False, False, True, False)
    solution = restate(answer or find_answer(body))
    return Thought("", body, solution, False, False, True, bool(solution))


def _find_conclusion(body: str) -> int:
    """Start of the paragraph with the last answer and of what leads into it; 0 without one."""
    box = last_box_span(body)
    label = None if box is not None else _last_label(body)
    if box is None and label is None:
        return 0
    at = box[0] if box is not None else (label.start() if label is not None else 0)
    breaks = [(m.start(), m.end()) for m in _BLANK_LINES.finditer(body) if m.end() <= at]
    start = breaks[-1][1] if breaks else 0
    while breaks:
        end = breaks.pop()[0]
        begin = breaks[-1][1] if breaks else 0
        before = body[begin:end].rstrip()
        if len(before) > _LONGEST_LEAD_IN:
            break
        if not (before.endswith(_LEAD_IN) or before == "$$" or _HEADING.fullmatch(before)):
            break
        start = begin
    return start


def _last_label(text: str) -> re.Match[str] | None:
    found = None
    for match in _LABEL.finditer(text):
        found = match
    return found


def repeated_share(earlier: str, later: str) -> float:
    """Share of a later text, by characters of its paragraphs, that an earlier one says already.

    Args:
        earlier: What has been said.
        later: What is said next.

    Returns:
        Between 0 (all new) and 1 (every paragraph stands in ``earlier``, white space and letter
        case apart); 1 for a text without words.

    >>> repeated_share("2 + 2 = 4", "2  + 2 = 4")
    1.0
    """
    said = {_squeeze(paragraph) for paragraph in _BLANK_LINES.split(earlier)}
    paragraphs = [_squeeze(paragraph) for paragraph in _BLANK_LINES.split(later)]
    n_characters = sum(map(len, paragraphs))
    if not n_characters:
        return 1.0
    return sum(len(p) for p in paragraphs if p in said) / n_characters


def _squeeze(paragraph: str) -> str:
    return " ".join(paragraph.casefold().split())
