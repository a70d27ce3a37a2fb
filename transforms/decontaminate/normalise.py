"""Problems without their typesetting: the canonical tokens that every rule of the detector reads.

Wider than ``butwait.transforms.problem_text``, whose forms name questions: here a fraction in any
notation is its two numbers, figures and formatting are gone, ``$A B C$`` is ``ABC``, number words
are digits, ``colour`` is ``color`` and ``determine`` is ``find``. Digits, signs and exponents stay.
Leaves out meaning: 0.5 is not 1/2, and a reworded sentence stays another sentence.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from butwait.transforms.decontaminate.vocabulary import (
    CHARACTERS,
    COMMANDS,
    FORMATTING,
    INITIALS,
    SHORT_WORDS,
    WORDS,
    spell_american,
)

_FIGURES = re.compile(
    r"\[asy\].*?(?:\[/asy\]|\Z)"
    r"|<asy>.*?(?:</asy>|\Z)"
    r"|\\begin\s*\{tikzpicture\}.*?(?:\\end\s*\{tikzpicture\}|\Z)"
    r"|!\[[^\]\n]{0,200}\]\([^)\s]{0,500}\)"
    r"|\\includegraphics\s*(?:\[[^\]\n]{0,200}\])?\s*\{[^}\n]{0,300}\}"
    r"|\\(?:tag|label)\*?\s*\{[^}\n]{0,100}\}"
    r"|https?://\S{1,500}"
    r"|</?(?:p|br|div|img|sub|sup|b|i|center|span|u|em|strong)\b[^<>\n]{0,200}>",
    re.DOTALL | re.IGNORECASE,
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{[a-zA-Z]{1,20}\*?\}(?:\s?[\[{][lcr|@{}\s]*[}\]])?")
_CHOOSE = re.compile(r"\{\s*(\w{1,20})\s*\\choose\s*(\w{1,20})\s*\}")
_SHORT_FRACTION = re.compile(r"(\\[dtc]?(?:frac|binom))\s*(\d)\s*(?=\d)")
_SPACING = re.compile(r"\\[,;:!> ]")
_DEGREE = re.compile(r"\^\s*(?:\{\s*)?\\circ(?![A-Za-z])(?:\s*\})?|\^\s*o\b")
_TOKEN = re.compile(
    r"\\(?P<command>[A-Za-z]+)"
    r"|(?P<number>\d*\.\d+|\d+)"
    r"|(?P<capitals>[A-Z]{2,}(?![a-z]))"
    r"|(?P<word>[A-Za-z]+)"
    r"|(?P<sign>[-+=<>^!%])"
    r"|(?P<letter>[^\W\d_])"
)
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_DASH = ("-",)
_ORDINALS = frozenset(("TH", "ST", "ND", "RD"))
_POSSESSIVE = re.compile(r"(?<=[A-Za-z])['\u2019`]s?\b")
_SHOUT = re.compile(r"(?<![A-Z])[A-Z]{2,}+\s+[A-Z]{2,}+\s+[A-Z]{2,}")
_CHOICE = re.compile(r"(?:\\text(?:bf|rm)?\s*\{\s*)?\(?\*{0,2}\b(?P<label>[A-E])(?:\)|[.:]\s)")
_VOWEL = re.compile("[aeiou]")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_GROUP = 3


def tokenise(text: str) -> list[str]:
    """Return the canonical tokens of a problem: words, NAMES of variables, number groups, signs.

    Args:
        text: A problem as somebody typeset it; any text, of any length (time is linear).

    Returns:
        Tokens that name themselves: ``tokenise(" ".join(tokens)) == tokens``.

    >>> tokenise(r"Determine $\\dfrac12 + x^{2}$ in triangle $A B C$.")
    ['find', '1', '2', '+', 'X', '^', '2', 'in', 'triangle', 'ABC']
    >>> tokenise("½ + x² in triangle ABC") == tokenise(r"{1 \\over 2}+x^2 in \\triangle ABC")
    True
    """
    tokens: list[str] = []
    for match in _TOKEN.finditer(_strip(text)):
        kind, piece = match.lastgroup, match.group(match.lastgroup or 0)
        if kind == "word":
            tokens += _read_word(piece.lower())
        elif kind == "number":
            tokens += _split_number(piece)
        elif kind == "command":
            tokens += _read_command(piece)
        elif kind == "capitals":
            tokens += list(piece)
        elif piece == "%":
            tokens.append("percent")
        else:
            tokens.append(piece)
    return _settle(tokens)


def cut_choices(text: str) -> str | None:
    """Return a problem without the choices at its end, or None where it has none.

    >>> cut_choices("How many? (A) 1 (B) 2 (C) 3")
    'How many? '
    """
    if not ("C)" in text or "C." in text or "C:" in text):
        return None
    labels = {match["label"]: match.start() for match in _CHOICE.finditer(text)}
    first, *others = (labels.get(label) for label in "ABC")
    if first is None or any(at is None or at < first for at in others) or first == 0:
        return None
    return text[:first]


def is_name(token: str) -> bool:
    """Whether a token names a variable, a point or a function: the copies may call it otherwise."""
    return token.isupper()


def _strip(text: str) -> str:
    """Undo what a token cannot see: figures, environments, accents, superscript characters."""
    if "asy" in text or "\\" in text or "<" in text or "![" in text or "://" in text:
        text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
        text = _ENVIRONMENT.sub(" ", _FIGURES.sub(" ", text))
        text = _SHORT_FRACTION.sub(r"\1 \2 ", _SPACING.sub(" ", _DEGREE.sub(" degree ", text)))
    if not text.isascii():
        text = _SUPERSCRIPTS.sub(lambda match: "^" + match.group(), text)
        text = unicodedata.normalize("NFKD", text.translate(CHARACTERS))
        text = "".join(c for c in text if not unicodedata.combining(c)).translate(CHARACTERS)
    text = _POSSESSIVE.sub("", text)
    # A problem in capitals throughout has no names of points to tell.
    return text.lower() if _SHOUT.search(text) else text


@lru_cache(maxsize=1 << 16)
def _read_word(word: str) -> tuple[str, ...]:
    known = WORDS.get(word)
    if known is not None:
        return (known,)
    # xy is x times y, and vwz three letters.
    if len(word) <= 2:
        return (word,) if word in SHORT_WORDS else tuple(word.upper())
    if len(word) <= 4 and not _VOWEL.search(word) and word not in SHORT_WORDS:
        return tuple(word.upper())
    if len(word) <= 4 and word in _ALPHABET:
        return tuple(word.upper())
    return (spell_american(word),)


def _read_command(command: str) -> tuple[str, ...]:
    if command in FORMATTING:
        return ()
    name = COMMANDS.get(command)
    return (name,) if name else _read_word(command.lower())


def _split_number(digits: str) -> list[str]:
    """Return groups of three digits, so that 6,000,000 and 6000000 are the same; no trailing 0."""
    whole, _, decimals = digits.partition(".")
    decimals = decimals.rstrip("0")
    groups = [whole[max(0, end - _GROUP) : end] for end in range(len(whole), 0, -_GROUP)][::-1]
    if decimals:
        return [*groups[:-1], f"{groups[-1] if groups else '0'}.{decimals}"]
    return groups or ["0"]


def _settle(tokens: list[str]) -> list[str]:
    """Join single letters that stand together; drop the ends of ordinals and what is no minus."""
    joined: list[str] = []
    letters = ""
    for token in tokens:
        if len(token) == 1 and "A" <= token <= "Z":
            letters += token
            continue
        if letters:
            _append(joined, _as_written(letters))
            letters = ""
        _append(joined, token)
    if letters:
        _append(joined, _as_written(letters))
    while joined and joined[-1] == "-":
        joined.pop()
    return joined


def _as_written(letters: str) -> str:
    return letters.lower() if letters.lower() in INITIALS else letters


def _append(tokens: list[str], token: str) -> None:
    if token in _ORDINALS and tokens:
        if tokens[-1] == "^" and tokens[-2:-1] and tokens[-2][-1].isdigit():
            tokens.pop()
            return
        if tokens[-1][-1].isdigit():
            return
    # A dash before a word or another dash is a hyphen or a rule.
    if tokens and tokens[-1] == "-" and (token.islower() or token in _DASH):
        tokens.pop()
    tokens.append(token)
