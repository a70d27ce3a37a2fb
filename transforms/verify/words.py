"""Answers that are words: number words, clock times, choice letters, plain text.

Leaves out: synonyms. Words are compared case-free, without articles and stops.
"""

from __future__ import annotations

import re
from fractions import Fraction

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_NUMBERS = {word: k for k, word in enumerate(_ONES)} | {w: 20 + 10 * k for k, w in enumerate(_TENS)}
_SCALES = {
    "hundred": 100,
    "thousand": 1_000,
    "million": 1_000_000,
    "billion": 10**9,
    "trillion": 10**12,
}
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8,
          "tenth": 10}  # fmt: skip
# Answers that say which set it is, however they are worded.
_PHRASES = {
    "no solution": "empty", "no solutions": "empty", "no real solution": "empty",
    "no real solutions": "empty", "there is no solution": "empty", "has no solution": "empty",
    "there are no solutions": "empty", "the empty set": "empty", "empty set": "empty",
    "all real numbers": "R", "all reals": "R", "the real numbers": "R", "real numbers": "R",
    "set of real numbers": "R", "the set of real numbers": "R", "all integers": "Z",
    "the integers": "Z", "integers": "Z", "positive integers": "Z+", "all positive integers": "Z+",
    "dne": "does not exist",
}  # fmt: skip
SET_NAMES = frozenset({"empty", "R", "Z", "Z+"})
_NAME_LIST = re.compile(r"\s*(?:,|;|\band\b)\s*", re.I)
_LATEX_SPACE = re.compile(r"\\[,;:!> ]|~")
_CLOCK = re.compile(
    r"(\d{1,2})(?:: ?(\d{2})|(?=\s*(?:\\(?:text|mathrm)\{\s*)?[ap]\.?\s?m\b))"
    r"\s*(?:\\(?:text|mathrm)\{\s*)?(?:([ap])\.?\s?m\.?)?\s*\}?\Z",
    re.I,
)
_WRAPPED = re.compile(
    r"\\(?:text|textbf|mathbf|mathrm|textit|boldsymbol|textrm|textnormal|textsf|textup|mbox|emph"
    r"|bf|rm) ?\{([^{}]*)\}"
)
_CHOICE_ALONE = re.compile(r"\(\s*([A-Za-z])\s*\)|([A-Z])[.)]?|([a-j])\)")
_CHOICE_BODY = re.compile(
    r"(?:\(\s*([A-Za-z])\s*\)|([A-Za-z])\s*[).]|([A-Z]):)(?:\\[,;: ]|[~ :])*(\S.*)", re.S
)
_CHOICE_BOLD = re.compile(
    r"(?:\*\*|\\(?:text|textbf|mathbf|mathrm|bf) ?\{) ?\(?([A-J])\)?[.:)]? ?(?:\*\*|\})"
    r"(?:\\[,;: ]|[~ :])*([^\s+\-*/^=_!<>,&|(].*)",
    re.S,
)
_CHOICE_PREFIX = re.compile(r"(?:the )?(?:correct )?(?:option|choice|answer)(?: is)?:? +", re.I)
_PHRASE = re.compile(
    r"(?:[Aa]n? [A-Za-z]{2,}(?: [A-Za-z]{2,})*|[A-Za-z]{2,}(?: [A-Za-z]{2,})+)[.]?"
)
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b", re.I)
# "Player A" has a name, "A square" an article.
_LETTER_A = re.compile(r"(?<=[A-Za-z] )A(?![A-Za-z'])")
_HYPHEN = re.compile(r"(?<=[A-Za-z]{2})-(?=[A-Za-z])|(?<=[A-Za-z])[ -]{1,2}(?<=-)(?=[A-Za-z]{2})")
_STOP = re.compile(r"\.(?!\d)")
_ARTICLES = frozenset({"a", "an", "the", "is", "are", "it"})
# Punctuation goes; signs beyond ASCII, such as a suit of cards, stay.
_NOT_WORDS = re.compile(
    r"[!\"$&(),:;?@\[\\\]`{|}~\u00a1-\u00bf\u2010-\u2027\u2030-\u205e\u3001-\u303f]+"
)
_NOT_WORDS_OR_BRACKETS = re.compile(r"[!\"$&:;?@\\`{}~\u00a1-\u00bf\u2010-\u2027\u3001-\u303f]+")
_COMMAND = re.compile(r"\\([A-Za-z]+|.)")
_QUIET = frozenset(
    ["text", "left", "right", "quad", "qquad", "textbf", "mathrm", "displaystyle", "begin", "end"]
)


def unwrap_text(text: str) -> str:
    """The text without ``\\text{}`` and bold around parts of it."""
    for _ in range(4):
        text, n = _WRAPPED.subn(r" \1 ", text)
        if not n:
            break
    return " ".join(text.replace("**", " ").split())


def number_word(text: str) -> Fraction | None:
    """The value of a number written in English words, or None."""
    if not any(c.isalpha() for c in text[:40]) or len(text) > _LONGEST_NUMBER:
        return None
    plain = _AFTER_SCALE.sub(r"\1 ", unwrap_text(text).lower().replace("-", " "))
    words = plain.split()
    sign = -1 if text.lstrip(" $").startswith("-") else 1
    if words and words[0] in ("minus", "negative"):
        sign, words = -sign, words[1:]
    if words[-3:] == ["and", "a", "half"] and len(words) > 3:
        whole = _whole_words(words[:-3])
        return None if whole is None else sign * (whole + Fraction(1, 2))
    if len(words) < 3 and words and words[0] in ("a", "half"):
        fixed = _FIXED.get(" ".join(words))
        return None if fixed is None else sign * fixed
    parts = words[1].rstrip("s") if len(words) == 2 else ""
    plural = len(words) == 2 and (words[1].endswith("s") or words[0] == "one")
    if parts in _PARTS and plural and _NUMBERS.get(words[0], 20) < 20:
        return sign * Fraction(_NUMBERS[words[0]], _PARTS[parts])
    value = _whole_words(words)
    return None if value is None else sign * value


# "two hundred and five", but not "two and five".
_AFTER_SCALE = re.compile(r"\b(hundred|thousand|million|billion) and (?!a\b)")
_LONGEST_NUMBER = 120
_FIXED = {"half": Fraction(1, 2), "a half": Fraction(1, 2), "a third": Fraction(1, 3),
          "a quarter": Fraction(1, 4), "a dozen": Fraction(12), "a hundred": Fraction(100),
          "a thousand": Fraction(1000), "a million": Fraction(10**6)}  # fmt: skip


def _whole_words(words: list[str]) -> Fraction | None:
    """A whole or decimal number in words, as numbers are said: "two three" is none."""
    if "point" in words[1:]:
        at = words.index("point")
        whole, digits = (
            _whole_words(words[:at]),
            [_NUMBERS.get(word, 10) for word in words[at + 1 :]],
        )
        if whole is None or not digits or max(digits) > 9:
            return None
        return whole + Fraction(int("".join(map(str, digits))), 10 ** len(digits))
    if not words or any(word not in _NUMBERS and word not in _SCALES for word in words):
        return None
    total = part = 0
    before, last = "", 10**18
    for word in words:
        scale = _SCALES.get(word)
        if scale is None:
            after_tens = _NUMBERS.get(before, 0) >= 20 and 0 < _NUMBERS[word] < 10
            if before and before not in _SCALES and not after_tens:
                return None
            part += _NUMBERS[word]
        elif scale == 100:
            if part >= 100 or before in _SCALES:
                return None
            part = max(part, 1) * 100
        else:
            if scale >= last or (before in _SCALES and before != "hundred"):
                return None
            total, part, last = total + max(part, 1) * scale, 0, scale
        before = word
    return Fraction(total + part)


def list_of_number_words(text: str) -> list[Fraction] | None:
    """The numbers in ``two, five and six``; None when it is no such list."""
    parts = [part for part in _NAME_LIST.split(unwrap_text(text).strip(" .")) if part]
    found = [number_word(part) for part in parts]
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) and len(known) > 1 else None


def percent_word(text: str) -> Fraction | None:
    """The number in ``forty percent``, or None."""
    if "percent" not in text or len(text) > _LONGEST_NUMBER:
        return None
    plain = unwrap_text(text)
    return number_word(plain.removesuffix("percent")) if plain.endswith("percent") else None


def known_phrase(text: str) -> str | None:
    """The set or words that a common phrase stands for, or None."""
    if len(text) > 80 or not any(c.isalpha() for c in text):
        return None
    return _PHRASES.get(unwrap_text(text).strip(" .").lower())


def list_of_words(text: str) -> list[str] | None:
    """The names in ``Tom, Ann and Bo``, lower-case; None when it is no such list."""
    parts = [part for part in _NAME_LIST.split(unwrap_text(text).strip(" .")) if part]
    if len(parts) < 2 or not all(_NAME.fullmatch(part) for part in parts):
        return None
    return [part.lower() for part in parts]


_NAME = re.compile(r"[A-Za-z]{2,20}(?: [A-Za-z]{2,20}){0,2}")


def same_words(one: str, two: str) -> bool:
    """Whether two texts say the same, however their words are put together."""
    return singular(one).replace(" ", "") == singular(two).replace(" ", "")


def singular(words: str) -> str:
    """Words without the plural s, for comparing two texts."""
    return " ".join(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
        for word in words.split()
    )


def read_clock(text: str) -> tuple[int, int, str] | None:
    """Hour, minute and ``a``/``p``/`` `` of a clock time such as ``4:30 p.m.``, or None."""
    # "4:30 \\text{ p.m.}" and "\\text{4:30 p.m.}" are one time, whatever spaces stand between.
    match = _CLOCK.match(" ".join(_LATEX_SPACE.sub(" ", unwrap_text(text)).split()))
    if match is None or int(match[1]) > 24 or int(match[2] or 0) > 59:
        return None
    return int(match[1]), int(match[2] or 0), (match[3] or "").lower()


def read_choice(text: str) -> tuple[str, str] | None:
    """Letter and option text of a multiple-choice answer (text may be empty), or None."""
    plain = unwrap_text(text) if "\\" in text or "*" in text else text
    prefixed = _CHOICE_PREFIX.match(plain)
    if prefixed:
        plain = plain[prefixed.end() :]
    alone = _CHOICE_ALONE.fullmatch(plain.strip(" .$"))
    if alone:
        letter = alone[1] or alone[2] or alone[3]
        return (letter.upper(), "") if letter.upper() <= "J" else None
    bold = _CHOICE_BOLD.fullmatch(text) if "{" in text[:12] or "**" in text[:2] else None
    if bold is not None:
        return bold[1], bold[2].strip()
    body = _CHOICE_BODY.match(plain)
    if body is None:
        return None
    letter = (body[1] or body[2] or body[3]).upper()
    rest = body[4].strip()
    # "(a)(b)" and "(x) + 1" are products and sums, not options; a bracket never opened is one.
    if letter > "J" or (body[1] and rest[:1] in "+-*/^=(_!<>,)&|"):
        return None
    return letter, rest


def is_phrase(text: str) -> bool:
    """Whether an answer is two or more words of letters and nothing else."""
    return _PHRASE.fullmatch(unwrap_text(text)) is not None


def _names(words: list[str], k: int) -> bool:
    return words[k] == "a" and k == len(words) - 1 > 0


def plain_words(text: str) -> str | None:
    """Case-free words of a text answer, or None when there is no word in it."""
    plain = unwrap_text(text)
    plain = _COMMAND.sub(
        lambda m: " " if m[1] in _QUIET or not m[1].isalpha() else f" {m[1]} ", plain
    )
    # Where there is mathematics among the words, brackets and commas mean something.
    formula = any(c.isdigit() or c == "|" for c in plain) or any(
        name.isalpha() and name not in _QUIET for name in _COMMAND.findall(unwrap_text(text))
    )
    noise = _NOT_WORDS_OR_BRACKETS if formula else _NOT_WORDS
    plain = noise.sub(" ", _ORDINAL.sub("", _HYPHEN.sub(" ", _LETTER_A.sub("A_", plain)))).lower()
    plain = _STOP.sub(" ", plain)
    words = plain.split()
    # "plan a" has a name at its end, not an article.
    words = [w for k, w in enumerate(words) if formula or w not in _ARTICLES or _names(words, k)]
    kept = " ".join(words) or " ".join(plain.split())
    if any(len(word) > 1 and word.isalpha() for word in kept.split()):
        return kept
    # Circled numbers and scripts without spaces: the text itself is the answer.
    marked = any(not c.isascii() and not c.isspace() and c not in "⋅×…" for c in text)
    return "".join(text.split()) if marked else None
