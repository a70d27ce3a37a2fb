"""Answers stated in words, without a box or a tag: after a label, on a line, in a conclusion.

Every scan is linear and looks at the end of the text. Leaves out: boxes and tags (``answers``).
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from butwait.transforms.phrases import (
    ADVERB,
    ASIDE,
    CLAUSE_END,
    DENIED,
    DENYING,
    FOREIGN,
    FOREIGN_WORDS,
    HEDGE,
    HEDGING,
    JSON,
    LABEL,
    MARKDOWN,
    MATH,
    NAMED_LINE,
    QUALIFYING,
    TURNED_ASIDE,
    UNDERLINED,
    WITHDRAWING,
    WITHDRAWN,
    YES_NO,
)

ExtractionState = Literal["found", "none", "unclosed", "hedged"]

# Only the end of a text states its answer: how far back a label is looked for, in characters.
_WINDOW = 20_000
# The longest words of withdrawal, in characters.
_REACH = 40
# Beyond so many places one search of the whole text is cheaper.
_MOST_PLACES = 200
_LAST_LINE = 400


class Extraction(NamedTuple):
    """The final answer found in a trace, or why there is none.

    ``rule`` is how it was found (``box``, ``joined_boxes``, ``tag``, ``label``, ``line``,
    ``conclusion``) or what stood in the way.
    """

    state: ExtractionState
    rule: str
    text: str | None = None
    start: int = 0
    end: int = 0


def stated(text: str) -> Extraction | None:
    """The answer that a text without boxes and tags states, or None."""
    return (
        _json_answer(text)
        or labelled(text)
        or _named_answer(text)
        or _lone_line(text)
        or _conclusion(text)
    )


def is_hedged(words: str) -> bool:
    """Whether words leave an answer open ("maybe", "either")."""
    return mentions(words.lower(), HEDGING) and HEDGE.search(words) is not None


def mentions(low: str, parts: tuple[str, ...]) -> bool:
    """Whether one of the parts stands in a lower-case text."""
    for part in parts:  # noqa: SIM110 - a generator would take three times as long
        if part in low:
            return True
    return False


def withdrawal(text: str) -> int | None:
    """Where words take back what stood before them, or None."""
    if not text or not text.strip(" \n$.*\\])}"):
        return None
    # All of these words are ASCII: other letters are of no matter, and must keep their places.
    low = text.encode("ascii", "replace").decode("ascii").lower()
    first: int | None = None
    left = _MOST_PLACES
    for part in WITHDRAWING:
        at = low.find(part)
        while at >= 0 and (first is None or at - _REACH < first):
            left -= 1
            if not left:
                found = WITHDRAWN.search(text)
                return found.start() if found else None
            # The expression is slow on long texts: it looks at the places that may match.
            found = WITHDRAWN.search(text, max(at - _REACH, 0), at + 2 * _REACH)
            if found and (first is None or found.start() < first):
                first = found.start()
            at = low.find(part, at + 1)
    return first


# -- labels ---------------------------------------------------------------------------------------


def _json_answer(text: str) -> Extraction | None:
    """The field ``answer`` of a JSON object at the end of a text."""
    window = max(len(text) - _WINDOW, 0)
    if 'nswer"' not in text or "}" not in text[-20:]:
        return None
    last = None
    for match in JSON.finditer(text, window):
        last = match
    if last is None:
        return None
    value = (last[1] or last[2]).strip().replace("\\\\", "\\")
    if is_hedged(value):
        return Extraction("hedged", "hedged")
    return Extraction("found", "label", value, last.start(), last.end())


def labelled(text: str) -> Extraction | None:
    """The statement after the last label, if it says anything."""
    last = _last_label(text)
    if last is None:
        return None
    rest = text[last.end() :]
    before = text[max(text.rfind("\n", 0, last.start()), last.start() - 60, 0) : last.end()]
    if is_hedged(before):
        return Extraction("hedged", "hedged")
    underlined = UNDERLINED.match(rest)
    skipped = underlined.end() if underlined else 0
    adverb = ADVERB.match(rest, skipped)
    skipped = adverb.end() if adverb else skipped
    english = last.re is LABEL
    statement, length = _statement(rest[skipped:], english=english)
    if not statement:
        return None
    if DENIED.match(statement):
        return Extraction("hedged", "negated")
    after = rest[skipped + length :]
    if is_hedged(statement) or after.lstrip("*_$ ").startswith("?"):
        return Extraction("hedged", "hedged")
    start = last.end() + skipped
    if WITHDRAWN.search(after[:400]):
        return Extraction("hedged", "withdrawn")
    return Extraction("found", "label", statement, start, start + length)


def _last_label(text: str) -> re.Match[str] | None:
    """The last label that something follows."""
    last = None
    start = max(len(text) - _WINDOW, 0)
    for labels in (LABEL, FOREIGN) if mentions(text, FOREIGN_WORDS) else (LABEL,):
        for match in labels.finditer(text, start):
            if text[match.end() : match.end() + 400].strip(" \n*_.:$") and (
                last is None or match.start() > last.start()
            ):
                last = match
    return last


def _statement(text: str, *, english: bool = True) -> tuple[str, int]:
    """The first clause of a text, without markdown, and its length as written.

    Words before a formula are passed over when they are English ones that change nothing.
    """
    display = re.match(r"\\\[(.{1,600}?)\\\]|\$\$(.{1,600}?)\$\$", text, re.S)
    if display:
        return (display[1] or display[2]).strip().rstrip("."), display.end()
    yes_no = YES_NO.match(text)
    if yes_no:
        return yes_no[1], yes_no.end()
    clause = text[:600]
    whole = MATH.match(clause)
    end = CLAUSE_END.search(clause, whole.end() if whole else 0)
    if end:
        clause = clause[: end.start()]
    length = len(clause)
    clause = clause.replace("**", "").strip().strip("*_").strip()
    maths = MATH.search(clause)
    words = clause[: maths.start()] if maths else ""
    if maths and english and re.search(r"[A-Za-z]{4,}", words) and not QUALIFYING.search(words):
        return (maths[1] or maths[2] or maths[3]).strip(), length
    return clause.rstrip(".。．").strip(), length


# -- a lone last line -----------------------------------------------------------------------------


def _lone_line(text: str) -> Extraction | None:
    stripped = text.rstrip()
    start = stripped.rfind("\n") + 1
    line = stripped[start:]
    if not line or len(line) > 200 or _inside_display(text[:start], line):
        return None
    bare = MARKDOWN.sub("", line, count=1).strip().strip("*_`").strip()
    bare = bare.removeprefix("=").strip() if bare.startswith("=") else bare
    if bare and (re.fullmatch(r"\(?[A-Z]\)?\.?", bare) or _is_bare(bare)):
        return Extraction("found", "line", bare, start, len(stripped))
    value = _calculated(NAMED_LINE.sub("", bare, count=1))
    return None if value is None else Extraction("found", "line", value, start, len(stripped))


def _calculated(line: str) -> str | None:
    """The end of a last line that is one calculation, ``x = 2 + 3 = 5``."""
    inside = line.rstrip(".")
    for left, right in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        if inside.startswith(left) and inside.endswith(right) and len(inside) > len(left + right):
            inside = inside[len(left) : -len(right)]
            break
    parts = inside.split("=")
    if len(parts) < 2 or _words(inside) or any(c in inside for c in "<>,;"):
        return None
    value = parts[-1].strip()
    # A name may stand before the calculation; anything else with letters is not worked out yet.
    named = parts[1:] if len(parts) > 2 and len(parts[0].strip()) < 8 else parts
    if any(re.search(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", part)) for part in named):
        return None
    return value if value and _is_bare(value) else None


def _inside_display(before: str, line: str) -> bool:
    """Whether a display opened above is still open: the text was cut in a calculation."""
    opened = max(before.rfind("\\["), before.rfind("\\begin{"))
    closed = max(before.rfind("\\]"), before.rfind("\\end{"))
    return opened > closed and "\\]" not in line


def _is_bare(line: str) -> bool:
    """Whether a line is one value: balanced, no prose, nothing left open, at most ``name =``."""
    plain = re.sub(r"\\[A-Za-z]+", "", line)
    if not re.search(r"[\dA-Za-z]", plain) or line[-1] in "=+-*/^_,:(<>\\":
        return False
    if any(line.count(a) != line.count(b) for a, b in (("{", "}"), ("(", ")"))) and not (
        re.search(r"[\[(].*,.*[\])]", line)
    ):
        return False
    name, equals, _ = plain.rpartition("=")
    if equals and (len(name) > 12 or re.search(r"[\d=]", name)):
        return False
    words = _words(line)
    return len(words) <= 1 and not (words and words[0].lower() in _CONNECTIVES)


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]{2,}", re.sub(r"\\[A-Za-z]+", "", text))


# -- a conclusion ---------------------------------------------------------------------------------


def _named_answer(text: str) -> Extraction | None:
    """``7 is the answer``, ``7 as our final answer``, ``option B is correct``."""
    window = max(len(text) - _LAST_LINE, 0)
    last = None
    for match in _TURNED.finditer(text, window):
        last = match
    if last is None:
        return None
    sentence = text[max(text.rfind("\n", 0, last.start()), text.rfind(". ", 0, last.start()), 0) :]
    if is_hedged(sentence) or DENYING.search(sentence):
        return Extraction("hedged", "hedged")
    line = text[text.rfind("\n", 0, last.start()) + 1 : last.start()]
    if TURNED_ASIDE.search(line):
        return Extraction("hedged", "part")
    value = next(group for group in last.groups() if group)
    return Extraction("found", "label", value.strip("$"), last.start(), last.end())


_VALUE = r"\$[^$\n]{1,200}\$|\\\([^\n]{1,200}?\\\)|-?\d[\d,./]{0,40}|\\?\$?-?\d[\d,.]{0,40}"
_TURNED = re.compile(
    rf"(?:^|(?<=\s))({_VALUE}|\(?[A-J]\)?)(?: [a-z]{{1,20}})?\s(?:is|are|as)\s(?:the|our|my)\s"
    r"(?:(?:final|correct|right)\s)?(?:answer|choice|option|result)\b"
    r"|\b(?:option|choice|answer)\s\(?([A-J])\)?\sis\s(?:the\s)?(?:correct|right)"
    r"|\bI\s(?:choose|pick|select|would\schoose)\s(?:option\s)?\(?([A-J])\)?(?=[.!\s]|\Z)",
    re.I | re.M,
)


def _conclusion(text: str) -> Extraction | None:
    """The value at the end of a last sentence that concludes."""
    stripped = text.rstrip()
    line = stripped.rfind("\n") + 1
    if len(stripped) - line > _LAST_LINE:
        return None
    # The last sentence of the last line.
    start = max((m.end() for m in _SENTENCE.finditer(stripped, line)), default=line)
    sentence = stripped[start:].replace("**", "").strip(" *_").rstrip(".。 *_")
    clause = ASIDE.sub("", _THEREFORE.sub("", sentence, count=1)).rstrip(". ")
    if not _THEREFORE.match(sentence) and not _SUBJECT.match(clause):
        return None
    if _NOT_STATED.search(clause):
        return None
    if is_hedged(clause):
        return Extraction("hedged", "hedged")
    for part in (clause, _IS.split(clause)[-1].strip()):
        if part and re.search(r"[\d$\\]", part) and _is_value(part):
            return Extraction("found", "conclusion", part, start, len(stripped))
    return None


def _is_value(part: str) -> bool:
    """A bare value, perhaps with up to three words of a unit after it."""
    if _is_bare(part):
        return True
    with_unit = _WITH_UNIT.fullmatch(part)
    return with_unit is not None and _is_bare(with_unit[1])


_SENTENCE = re.compile(r"[.!?][*_]{0,2}\s+(?=[A-Z])")
_THEREFORE = re.compile(
    r"(?:\*\*)?(?:therefore|thus|hence|so|consequently|in conclusion|finally|we (?:get|have|find|"
    r"obtain|conclude that)|it follows that|this (?:gives|means|yields))\b,?[ \t]*"
    r"(?:that\b[ \t]*)?",
    re.I,
)
# "The area is 30", "There are 12 ways": a sentence about what was asked for.
_SUBJECT = re.compile(
    r"(?:the|its|his|her|their|there)\b[^.\n]{0,120}\b(?:is|are|equals|was|were)\b", re.I
)
_NOT_STATED = re.compile(
    r"\b(?:not|never|neither|nor|nobody|impossible|cannot|hardly|unlikely|question|problem|asks?|asked|when|if|whether|where|suppose|let|assume|given|first|"
    r"next|step|method|about)\b|n't\b|\?",
    re.I,
)
_IS = re.compile(r"\b(?:is|are|equals|was|were|makes|gives|takes|be|only|exactly)\b", re.I)
_WITH_UNIT = re.compile(
    rf"({_VALUE})((?:\s(?:[a-z]{{1,15}}|\\text\{{[a-z ]{{1,30}}\}})\.?){{1,3}})", re.I
)
_CONNECTIVES = frozenset(
    {
        "so",
        "thus",
        "hence",
        "therefore",
        "then",
        "and",
        "or",
        "but",
        "wait",
        "now",
        "let",
        "if",
        "we",
    }
)
