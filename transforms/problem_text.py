"""Names of problems: the normal form that equal problems share, and the ids made from it.

The normal form undoes typesetting only: Unicode width and ligatures, quotes and dashes, math
delimiters, spacing commands, white space, a final full stop. Digits, operators, letters, case and
every other command stay, so that ``x+5`` and ``x-5``, ``sin A`` and ``sin a``, ``x²`` and ``x2``
never meet. It leaves out paraphrase: reworded problems keep different names.

The ids are part of published datasets: a change here changes every id.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

N_PROBLEM_HEX = 16
N_SOURCE_HEX = 8

_SAFE_DECOMPOSITIONS = ("<wide>", "<narrow>", "<noBreak>", "<compat>")
"""Compatibility forms without meaning of their own. Not <super>, <sub>, <fraction>, <font> and
<circle>: squared is not two, and blackboard R is not R."""

_ONE_CHARACTER = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2010": "-",
        "\u2011": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2212": "-",
        "\u00ad": None,
        "\u200b": None,
        "\u200c": None,
        "\u200d": None,
        "\u2060": None,
        "\ufeff": None,
    }
)
_SPACING = re.compile(
    r"\\(?:displaystyle|textstyle|left|right|quad|qquad|thinspace|limits|nolimits)(?![A-Za-z])"
    r"|\\[,;:!> ]|\\[()\[\]]|(?<!\\)\$"
)
_FRACTION = re.compile(r"\\[dt]frac(?![A-Za-z])")
_SYNONYM = re.compile(r"\\(leq|geq|neq)(?![A-Za-z])")
_SHORT_SCRIPT = re.compile(r"(?<!\\)([\^_])([0-9A-Za-z])(?![0-9A-Za-z])")
_WHITE = re.compile(r"\s+")
_LOOSE_SPACE = re.compile(r"(?<=\W) | (?=\W)")


def normalise_problem(text: str) -> str:
    """Return the normal form of a problem, equal for texts that differ in typesetting only.

    >>> normalise_problem(r"Solve  \\( x^{2} = 4 \\).") == normalise_problem("Solve $x^2=4$")
    True
    >>> normalise_problem("x²") == normalise_problem("x2")
    False
    """
    # Stripped first: a blank behind a last backslash would make it a spacing command.
    text = unicodedata.normalize("NFC", text).strip()
    if not text.isascii():
        text = "".join(_narrow(character) for character in text).translate(_ONE_CHARACTER)
    text = _FRACTION.sub(r"\\frac", text)
    text = _SYNONYM.sub(lambda match: "\\" + match.group(1)[:-1], text)
    text = _SPACING.sub(" ", text)
    text = _SHORT_SCRIPT.sub(r"\1{\2}", text)
    text = _LOOSE_SPACE.sub("", _WHITE.sub(" ", text))
    return text.strip().rstrip(".").rstrip()


def question_id(problem: str, source: str) -> str:
    """Return ``q``, 16 hex digits of the problem's normal form and 8 of its source's label."""
    return problem_key(problem) + _digest(source)[:N_SOURCE_HEX]


def problem_key(problem: str) -> str:
    """Return the first 17 characters of every id that this problem has, whatever its source."""
    return "q" + _digest(normalise_problem(problem))[:N_PROBLEM_HEX]


def shard_of(question_id: str, n_shards: int) -> int:
    """Return the shard of a question id or problem key: equal problems share it.

    Args:
        question_id: A question id or its first 17 characters.
        n_shards: At least 1.
    """
    return int(question_id[1 : 1 + N_PROBLEM_HEX], 16) % n_shards


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _narrow(character: str) -> str:
    if unicodedata.decomposition(character).startswith(_SAFE_DECOMPOSITIONS):
        return unicodedata.normalize("NFKC", character)
    return character
