"""Where a model's text states its final answer.

Every scan is linear. The thought does not count: only what follows the last closing think tag is
read. A hedged, withdrawn or unfinished answer is reported as such, not guessed at. Leaves out:
what the answer means (``verify``).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from butwait.transforms.phrases import HEDGING, PART_AFTER, PART_BEFORE
from butwait.transforms.statements import (
    Extraction,
    is_hedged,
    labelled,
    mentions,
    stated,
    withdrawal,
)

_BOX = re.compile(r"\\(?:boxed|fbox)\b *(\{)?")
_THOUGHT_END = re.compile(
    r"</(?:seed:)?think(?:ing)?>|<\|end_of_thought\|>|</thought>|</reasoning>|<\|END_THINKING\|>"
    r"|<\|channel\|>final<\|message\|>|\[/THINK\]|◁/think▷",
    re.I,
)
_THOUGHT_START = re.compile(
    r"<(?:seed:)?think(?:ing)?>|<\|begin_of_thought\|>|<thought>|<reasoning>|<\|START_THINKING\|>"
    r"|<\|channel\|>(?:analysis|commentary)<\|message\|>|\[THINK\]|◁think▷",
    re.I,
)
# What every marker holds, and what every marker of a thought or a solution holds in lower case.
_MARKED = ("<", "HINK]", "◁")
_MARKING = ("think", "thought", "reasoning>", "<|channel|>", "_of_solution|>")
_BEGINNING = 200
_LONGEST_LINE = 500
_MARKUP = re.compile(r"<[A-Za-z/|｜]")
_SOLUTION = re.compile(r"<\|begin_of_solution\|>")
_SOLUTION_END = re.compile(r"<\|end_of_solution\|>")
_STOP_TOKENS = re.compile(
    r"<｜[^｜<>\n]{1,40}｜>|<\|(?:im_end|endoftext|eot_id|end|return)\|>|</s>|<end_of_turn>"
)
_ANSWER_OPEN = re.compile(r"<(?:final_)?answer>|\[answer\]|<\|answer\|>", re.I)
# What every match of the expression above ends in, but for [answer].
_TAG_ENDS = ("answer>", "answer|>")
_ANSWER_CLOSE = re.compile(r"</(?:final_)?answer>|\[/answer\]|<\|/answer\|>", re.I)
_JOIN = re.compile(
    r"[\s$.*]*(?:\\[()\[\]])?[\s$*]*(?:,|;|and|or|\\text\{ ?(?:and|or) ?\}|, ?(?:and|or)|&)"
    r"(?:\s+(?:also|the other is))?[\s$*]*(?:\\[()\[\]])?[\s$*]*"
    r"(?:[A-Za-z](?:_\{?\w\}?)? ?=[\s$]*)?\Z",
    re.I,
)
# A negation must reach the box: nothing but these words and typesetting may stand between, so that
# "is not an integer; it is" and "cannot exceed" leave the box its answer.
_NEGATED = re.compile(
    r"(?<![a-z])(?:(?<!or )not|never|cannot|[a-z]{1,9}n['’]t|rather than|instead of)(?![a-z])"
    r"(?:[\s$*_{}~]|\\[(\[,;:! ]|\\(?:text|textbf|mathrm|quad)(?![a-z])|"
    r"(?:be|been|equals?|to|the|an?|final|expected|correct|right|answer|result|value)(?![a-z]))*\Z"
    r"|(?:\\neq?(?![a-z])|≠)[\s${}]*\Z"
    r"|(?<![a-z])(?:wrong|incorrect|mistaken|false) (?:final )?(?:answer|result|value|solution)"
    r" (?:is|was|would be):?[\s$*_{}~]*(?:\\[(\[])?\s*\Z"
    r"|(?<![a-z])(?:(?:i|we|still|do|would|really|seriously|strongly|is|it's) doubt(?:ful)?|"
    r"(?:not|[a-z]{1,9}n['’]t) (?:think|believe))(?![a-z])"
    r"(?:(?!(?<![a-z])(?:but|so|yet|hence|thus|therefore)(?![a-z]))[^.;:,!?]){0,40}\Z",
    re.I,
)
# What every match of the expression above holds: a cheap test first.
_NEGATING = ("not", "never", "n't", "n’t", "rather than", "instead of", "doubt", "\\ne", "≠",
             "wrong", "incorrect", "mistaken", "false")  # fmt: skip
_NEGATED_CHARS = 80
_JOINED_CHARS = 60
# What may make a box something else than the answer, in the words before it.
_DOUBTING = (*dict.fromkeys((*_NEGATING, *HEDGING)),)
# What may stand behind a box without taking it back.
_MOST_AFTER = 200
_OPERATORS = frozenset("-+*/^")
_BEFORE_BOX = " \n\t$*\\[({"
_AFTER_BOX = " \n$.*\\])}"
_SENTENCE_END = re.compile(r"[.!?]\s")
_BLANK_REST = re.compile(r"\s*\Z")
_BRACE = re.compile(r"\\.|[{}]", re.S)


class BoxedAnswer(NamedTuple):
    r"""The content of one ``\boxed{}`` (empty when its brace is not closed) and where it stands."""

    text: str
    start: int
    end: int
    closed: bool


def all_boxed(text: str) -> list[BoxedAnswer]:
    r"""Every outermost ``\boxed{}`` or ``\fbox{}`` in order; some may be unclosed."""
    first = text.find("box")
    if first < 0:
        return []
    found: list[BoxedAnswer] = []
    closings: dict[int, int] | None = None
    done = 0
    for match in _BOX.finditer(text, max(first - 2, 0)):
        start, after = match.start(), match.end()
        if start < done:
            continue
        if match[1] is None:
            bare = text[after : after + 1]
            if bare.isalnum():
                found.append(BoxedAnswer(bare, start, after + 1, True))
            elif _BLANK_REST.match(text, after):
                found.append(BoxedAnswer("", start, len(text), False))
            continue
        end: int | None = text.find("}", after)
        inside = text[after:end]
        if end == -1 or "{" in inside or "\\" in inside:
            closings = _closings(text, after - 1) if closings is None else closings
            end = closings.get(after - 1)
        if end is None:
            found.append(BoxedAnswer("", start, len(text), False))
            continue
        found.append(BoxedAnswer(text[after:end], start, end + 1, True))
        done = end + 1
    return found


def last_boxed(text: str) -> BoxedAnswer | None:
    r"""The last ``\boxed{}`` with balanced braces, or None.

    >>> last_boxed(r"so \boxed{\frac{1}{2}}.").text
    '\\frac{1}{2}'
    """
    closed = [box for box in all_boxed(text) if box.closed and box.text.strip()]
    return closed[-1] if closed else None


def _closings(text: str, start: int) -> dict[int, int]:
    """Opening brace to closing brace from ``start`` on, in one pass; unclosed ones are absent."""
    partner: dict[int, int] = {}
    opened: list[int] = []
    for match in _BRACE.finditer(text, start):
        mark = match[0]
        if mark == "{":
            opened.append(match.start())
        elif mark == "}" and opened:
            partner[opened.pop()] = match.start()
    return partner


def final_part(text: str) -> tuple[str, int] | None:
    """What follows the thought and its offset; None when a thought was opened and never closed."""
    start = 0
    if not mentions(text, _MARKED) or not mentions(text.lower(), _MARKING):
        return text, 0
    for match in _THOUGHT_END.finditer(text):
        start = match.end()
    if _THOUGHT_START.search(text, start):
        return None
    for match in _SOLUTION.finditer(text, start):
        start = match.end()
    end = len(text)
    closing = _SOLUTION_END.search(text, start)
    if closing:
        end = closing.start()
    return text[start:end], start


def extract_answer(text: str, *, max_chars: int = 2_000_000) -> Extraction:
    """The final answer of a whole trace.

    Args:
        text: Everything the model wrote.
        max_chars: Of a longer text the end is read.

    Returns:
        The answer with its span in ``text``, or the state that stands in the way.
    """
    cut = max(len(text) - max_chars, 0)
    if not cut:
        plain = _plainly_boxed(text)
        if plain is not None:
            return plain
    part = final_part(text[cut:])
    if part is None:
        return Extraction("none", "unfinished_thought")
    tail, offset = part[0], part[1] + cut
    if "<" in tail:
        tail = _STOP_TOKENS.sub(lambda m: " " * len(m[0]), tail)
    found = _extract(tail)
    if found.state != "found" or not offset:
        return found
    return Extraction("found", found.rule, found.text, found.start + offset, found.end + offset)


def _plainly_boxed(text: str) -> Extraction | None:
    """The answer of a text that ends in one box without markup, doubt or another box near it.

    Most texts of most models are like this, and a few substring tests tell; None when the whole
    reading is needed. What it finds, the whole reading finds, too.
    """
    start = text.rfind("\\boxed{")
    if (
        start < 0
        or ("<" in text and _MARKUP.search(text))
        or "◁" in text
        or "[THINK]" in text[:_BEGINNING]
    ):
        return None
    end = _closed_at(text, start + 7)
    if end < 0:
        return None
    after = text[end + 1 :]
    inside = text[start + 7 : end]
    if "}" in after or "[" in after or "box" in inside or not inside.strip():
        return None
    if after.strip(_AFTER_BOX) and (
        len(after) > _MOST_AFTER or "box" in after or withdrawal(after) is not None
    ):
        return None
    line = text.rfind("\n", 0, start) + 1
    # A denial may begin on the line before, but not in another paragraph.
    if not text.startswith("\n\n", line - 2) or not text[line:start].strip(_BEFORE_BOX):
        line = max(min(line, start - _NEGATED_CHARS), 0)
    # What is remembered is short.
    if start - line > _LONGEST_LINE or _may_doubt(text[line:start]):
        return None
    if _is_part(text, start, end + 1):
        return None
    # A box that this one may be joined to, or may be inside of.
    near = text[max(start - _JOINED_CHARS - 1, 0) : start]
    if ("}" in near or "box" in near) and text.rfind("box", 0, start) >= 0:
        return None
    return Extraction("found", "box", inside, start, end + 1)


def _closed_at(text: str, opened: int) -> int:
    """Where the brace before ``opened`` is closed; -1 without such, and where escapes stand."""
    inner = closed = 0
    at, end = opened, text.find("}", opened)
    while end >= 0:
        if text.find("\\{", at, end) >= 0 or text[end - 1] == "\\":
            return -1
        inner += text.count("{", at, end)
        if inner == closed:
            return end
        closed += 1
        at, end = end + 1, text.find("}", end + 1)
    return -1


def _extract(text: str) -> Extraction:
    boxes = all_boxed(text)
    tagged = _tagged(text)
    closed = [box for box in boxes if box.closed and box.text.strip()]
    if boxes and not boxes[-1].closed:
        return Extraction("unclosed", "unclosed_box")
    last = closed[-1] if closed else None
    if tagged is not None and (last is None or last.end <= tagged.start):
        return _from_tag(text, tagged)
    if last is not None:
        return _from_boxes(text, closed)
    if tagged is not None:
        return _from_tag(text, tagged)
    if _ANSWER_OPEN.search(text) and not _ANSWER_CLOSE.search(text):
        return Extraction("unclosed", "unclosed_tag")
    found = stated(text)
    if found is not None:
        return found
    return Extraction("none", "empty_box" if boxes else "no_answer_found")


# -- boxes ----------------------------------------------------------------------------------------


def _from_boxes(text: str, boxes: list[BoxedAnswer]) -> Extraction:
    group = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        between = text[box.end : group[0].start]
        if len(between) > _JOINED_CHARS or not _JOIN.match(between):
            break
        group.insert(0, box)
    last = group[-1]
    after = text[last.end :]
    taken_back = _taken_back(after, last.end)
    if taken_back is not None:
        return taken_back
    line = text[text.rfind("\n", 0, group[0].start) + 1 : group[0].start]
    if len(group) == 1 and is_hedged(line) and is_hedged(_SENTENCE_END.split(line)[-1]):
        return Extraction("hedged", "hedged")
    if _is_negated(text[max(group[0].start - _NEGATED_CHARS, 0) : group[0].start]):
        return Extraction("hedged", "negated")
    if len(group) == 1 and _is_part(text, last.start, last.end):
        return Extraction("hedged", "part")
    if len(group) == 1:
        return Extraction("found", "box", last.text, last.start, last.end)
    texts = list(dict.fromkeys(box.text.strip() for box in group))
    return Extraction("found", "joined_boxes", ", ".join(texts), group[0].start, last.end)


def _taken_back(after: str, offset: int) -> Extraction | None:
    """What stands instead of an answer that the words after it take back, or None."""
    withdrawn = withdrawal(after)
    if withdrawn is None:
        return None
    later = labelled(after[withdrawn:])
    if later is None or later.state != "found":
        return Extraction("hedged", "withdrawn")
    start = later.start + offset + withdrawn
    return Extraction("found", "label", later.text, start, start + len(later.text or ""))


@lru_cache(maxsize=4096)
def _may_doubt(before: str) -> bool:
    """Whether words before a box may doubt or deny it; many samples end in the same words."""
    return mentions(before.lower(), _DOUBTING)


def _is_part(text: str, start: int, end: int) -> bool:
    """Whether a box is only a part of what is stated: ``-\\boxed{5}``, ``\\boxed{5}^2``."""
    after = text[end : end + 12]
    if after.strip(_AFTER_BOX) and PART_AFTER.match(after):
        return True
    # Cheap tests first: every box is asked.
    before = text[max(start - 12, 0) : start]
    near = before.rstrip()
    operated = near[-1:] in _OPERATORS or "or" in near or near.endswith(("dot", "times", "div"))
    return operated and PART_BEFORE.search(before) is not None


def _is_negated(before: str) -> bool:
    """Whether the words directly before a box deny or doubt it."""
    low = before.lower()
    if not mentions(low, _NEGATING):
        return False
    *earlier, paragraph = re.split(r"\n[ \t]*\n", before)
    # A box that is a paragraph goes on with the sentence before it.
    paragraph = earlier[-1] if earlier and not paragraph.strip(_BEFORE_BOX) else paragraph
    return _NEGATED.search(" ".join(paragraph.split())) is not None


# -- tags -----------------------------------------------------------------------------------------


def _tagged(text: str) -> BoxedAnswer | None:
    # Most texts have no tag; substring tests are much cheaper than the expression.
    low = text.lower()
    if "answer]" not in low and ("<" not in text or not mentions(low, _TAG_ENDS)):
        return None
    opening = list(_ANSWER_OPEN.finditer(text))
    if not opening:
        return None
    opened = opening[-1]
    closing = _ANSWER_CLOSE.search(text, opened.end())
    if closing is None:
        return None
    inner = text[opened.end() : closing.start()]
    return BoxedAnswer(inner, opened.end(), closing.start(), True)


def _from_tag(text: str, tag: BoxedAnswer) -> Extraction:
    return _taken_back(text[tag.end :], tag.end) or _inside_tag(tag)


def _inside_tag(tag: BoxedAnswer) -> Extraction:
    inner = tag.text.strip()
    if not inner:
        return Extraction("none", "empty_tag")
    boxes = [box for box in all_boxed(inner) if box.closed]
    if boxes:
        found = _from_boxes(inner, boxes)
    else:
        found = _in_words(inner) or Extraction("found", "tag", inner, 0, len(inner))
    if found.state == "found" and found.rule == "tag" and is_hedged(inner):
        return Extraction("hedged", "hedged")
    return Extraction(found.state, found.rule, found.text, tag.start, tag.end)


def _in_words(inner: str) -> Extraction | None:
    """The answer that a sentence within tags states."""
    return (stated(inner) if _SENTENCE.search(inner) else None) or labelled(inner)


_SENTENCE = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,} [A-Za-z]{2,}")
