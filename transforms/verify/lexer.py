"""Answer LaTeX to tokens: one linear pass, sizes checked before anything is built.

Knows numbers (grouped, repeating, scientific, with a base), commands, words and brackets. Says
nothing about structure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.tree import Unreadable
from butwait.transforms.verify.units import is_unit_word
from butwait.transforms.verify.vocabulary import FUNCTIONS, RENAME, SILENT, TEXT_COMMANDS, WORDS


@dataclass(slots=True)
class Token:
    """One token; ``kind`` is num, sym, cmd, op, open, close, text, unit, join or end."""

    kind: str
    text: str
    value: Fraction = Fraction(0)
    space: bool = False
    exact: bool = True


_NUMBER = re.compile(
    r"(?P<grouped>\d{1,3}(?:(?:\{,\}|,\\!|,\\,|\\,|\\ |,)\d{3})+(?!\d))(?P<gfrac>\.\d+)?"
    r"|(?P<whole>\d*)\.(?P<fixed>\d*)\((?P<cycle>\d+)\)"
    r"|(?P<plain>\d+\.\d*|\.\d+|\d+)(?:[eE](?P<exp>[+-]?\d{1,4})(?![\d.a-zA-Z^]))?"
)
_LOOSE_GROUPS = re.compile(r"\d{1,3}(?: \d{3})+(?!\d)(?! ?\d)")
_BASED = re.compile(r"([0-9A-F]+)_(?:\{(?:\\text\{)?(\w+)\}?\}|(\d)(?!\d))")
_BASE_WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "twelve": 12, "sixteen": 16,
}  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]+|.)")
_WORD = re.compile(r"[A-Za-z]+")
_SPACING = frozenset(",;:! ")
_PLAIN_OPERATORS = frozenset({"*", "/", "<", ">", "|", ":", "le", "ge", "ne", "to", "$"})
_RATE = re.compile(r"(km|cm|mm|ft|mi|kg|m|g|L) ?/ ?(s|sec|h|hr|hour|min|m|L)(?![A-Za-z])")
_JOIN = frozenset({"or", "and"})
_PAIRS = ("<=", ">=", "!=", "=<", "**", "==", "->")
_PAIR_NAMES = {"<=": "le", "=<": "le", ">=": "ge", "!=": "ne", "**": "^", "==": "=", "->": "to"}


class Lexer:
    """One text's tokens; ``grouped`` reads ``1,234`` as one number outside brackets."""

    def __init__(self, text: str, limits: Limits, *, grouped: bool = True, depth: int = 0) -> None:
        self.text = text
        self.depth = depth
        self.limits = limits
        self.grouped = grouped
        self.at = 0
        self.nesting = 0
        self.tokens: list[Token] = []
        self.space = False

    def run(self) -> list[Token]:
        """All tokens, with an ``end`` token last.

        Raises:
            Unreadable: A character or size that no answer has.
        """
        while self.at < len(self.text):
            self._step(self.text[self.at])
        self._put("end", "")
        return self.tokens

    def _put(self, kind: str, text: str, value: Fraction = Fraction(0), exact: bool = True) -> None:
        self.tokens.append(Token(kind, text, value, self.space, exact))
        self.space = False

    def _step(self, char: str) -> None:
        if char in " $~&" and char != "&":
            self.space = True
            self.at += 1
        elif char.isdigit() or (char == "." and self.text[self.at + 1 : self.at + 2].isdigit()):
            self._number()
        elif char == "\\":
            self._command()
        elif char.isascii() and char.isalpha():
            self._word()
        elif char in "([{":
            self._bracket(char, 1)
        elif char in ")]}":
            self._bracket(char, -1)
        else:
            self._symbol(char)

    def _bracket(self, char: str, step: int, width: int = 1) -> None:
        self.nesting += step if char not in "{}" else 0
        self._put("open" if step > 0 else "close", char)
        self.at += width

    def _symbol(self, char: str) -> None:
        pair = self.text[self.at : self.at + 2]
        if self.text.startswith("...", self.at):
            self._put("cmd", "ldots")
            self.at += 3
        elif pair in _PAIRS:
            self._put("op", _PAIR_NAMES[pair])
            self.at += 2
        elif char in "+-*/^_=<>|,;:!%'&":
            self._put("op", char)
            self.at += 1
        elif char in '"`.':
            self.at += 1
        else:
            raise Unreadable(f"character {char!r}")

    def _number(self) -> None:
        based = _BASED.match(self.text, self.at)
        if based and self._based(based):
            return
        loose = _LOOSE_GROUPS.match(self.text, self.at)
        if loose and not self.nesting:
            self._emit_integer(loose[0].replace(" ", ""), loose.end())
            return
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            raise Unreadable("number")
        if match["grouped"] and "," in match["grouped"]:
            plain = not any(mark in match["grouped"] for mark in ("{", "\\"))
            if plain and (self.nesting or not self.grouped):
                match = re.compile(r"(?P<plain>\d+)").match(self.text, self.at)
                assert match is not None
                self._emit_integer(match[0], match.end())
                return
        self._emit_match(match)

    def _emit_match(self, match: re.Match[str]) -> None:
        if match.end() - match.start() > self.limits.digits:
            raise Unreadable("too many digits")
        if match["grouped"]:
            digits = "".join(c for c in match["grouped"] if c.isdigit()) + (match["gfrac"] or "")
            value = Fraction(digits)
        elif match["cycle"]:
            value = repeating(match["whole"], match["fixed"], match["cycle"])
        else:
            plain = match["plain"]
            value = Fraction(plain.rstrip(".")) * Fraction(10) ** int(match["exp"] or 0)
        self._put("num", match[0], value)
        self.at = match.end()

    def _emit_integer(self, digits: str, end: int) -> None:
        if len(digits) > self.limits.digits:
            raise Unreadable("too many digits")
        self._put("num", digits, Fraction(digits))
        self.at = end

    def _based(self, match: re.Match[str]) -> bool:
        word = match[2] or match[3]
        base = _BASE_WORDS.get(word) or (int(word) if word.isdigit() and len(word) < 3 else 0)
        if not 2 <= base <= 36 or len(match[1]) > 400:
            return False
        try:
            value = int(match[1], base)
        except ValueError:
            return False
        end = match.end()
        if match[2] and "\\text{" in match[0] and self.text[end : end + 1] == "}":
            end += 1
        self._put("num", match[0], Fraction(value), exact=False)
        self.at = end
        return True

    def _command(self) -> None:
        match = _COMMAND.match(self.text, self.at)
        if match is None:
            self.at += 1
            return
        name = match[1]
        self.at = match.end()
        if name in _SPACING or name in SILENT or name in ("(", ")", "[", "]"):
            self.space = True
            if name in ("left", "right") and self.text[self.at : self.at + 1] == ".":
                self.at += 1
        elif name in TEXT_COMMANDS:
            self._text(name)
        elif name in "{}":
            self.nesting += 1 if name == "{" else -1
            self._put("open" if name == "{" else "close", "\\" + name)
        elif name == "$":
            self._put("op", "$")
        elif name == "%":
            self._put("op", "%")
        elif name in ("|", "lVert", "rVert", "Vert"):
            self._put("op", "|")
        else:
            self._named(RENAME.get(name, name))

    def _named(self, name: str) -> None:
        if name in ("{", "}"):
            self._put("open" if name == "{" else "close", "\\" + name)
        elif name in ("(", "[", ")", "]"):
            self._bracket(name, 1 if name in "([" else -1, 0)
        elif name in _JOIN:
            self._put("join", name)
        elif name in _PLAIN_OPERATORS:
            self._put("op", name)
        elif name == "\\":
            self._put("op", "\\\\")
        elif name == "_":
            self._put("op", "_")
        elif name in ("#", "&"):
            return
        else:
            self._put("cmd", name)

    def _text(self, name: str) -> None:
        rest = self.text[self.at :].lstrip()
        if not rest.startswith("{"):
            return
        start = self.text.index("{", self.at)
        end = matching_brace(self.text, start)
        if end < 0:
            raise Unreadable("unclosed text")
        body = self.text[start + 1 : end].strip()
        self.at = end + 1
        self.space = True
        words = re.sub(r"[^A-Za-z ]", "", body).split()
        if body.lower() in ("or", "and", "and/or"):
            self._put("join", "or" if "or" in body.lower() else "and")
        elif not words or _MATH_INSIDE.search(body) or name == "operatorname":
            self._inline(body)
        elif len(body) == 1:
            self._put("sym", body)
        elif body.lower() in ("i", "e"):
            self._put("sym", body.lower())
        elif body in FUNCTIONS or body in ("mod", "if", "with", "for"):
            self._put("cmd", body)
        else:
            self._put("unit" if all(map(is_unit_word, words)) else "text", " ".join(words))

    def _inline(self, body: str) -> None:
        if self.depth > 8:
            raise Unreadable("text in text in text")
        inner = Lexer(body, self.limits, grouped=self.grouped, depth=self.depth + 1)
        self.tokens.extend(inner.run()[:-1])
        self.space = True

    def _word(self) -> None:
        match = _WORD.match(self.text, self.at)
        assert match is not None
        word = match[0]
        based = _BASED.match(self.text, self.at)
        if based and len(based[1]) > 1 and self._based(based):
            return
        rate = _RATE.match(self.text, self.at)
        if rate and rate[1] == word and self._after_value():
            self.at = rate.end()
            self._put("unit", rate[1])
            self._put("op", "/")
            self._put("unit", rate[2])
            return
        self.at = match.end()
        low = word.lower()
        if low in _JOIN:
            self._put("join", low)
        elif word in WORDS:
            self._named(WORDS[word]) if word != "percent" else self._put("op", "%")
        elif word in FUNCTIONS:
            self._put("cmd", RENAME.get(word, word))
        elif len(word) == 1:
            self._put("sym", word)
        elif self._after_value() and is_unit_word(word):
            self._put("unit", word)
        elif len(word) <= 3 and not is_unit_word(word):
            for letter in word:
                self._put("sym", letter)
        else:
            self._put("text", word)

    def _after_value(self) -> bool:
        if not self.tokens:
            return False
        last = self.tokens[-1]
        return last.kind in ("num", "close", "unit", "sym", "text") or last.text in ("/", "pi")


_MATH_INSIDE = re.compile(r"[\d^_=()\[\]<>$\\]")


def repeating(whole: str, fixed: str, cycle: str) -> Fraction:
    """The exact value of ``whole.fixed`` with ``cycle`` repeated for ever."""
    scale = 10 ** len(fixed)
    head = Fraction(int((whole or "0") + fixed or "0"), scale)
    return head + Fraction(int(cycle), scale * (10 ** len(cycle) - 1))


def matching_brace(text: str, start: int) -> int:
    """Index of the brace that closes the one at ``start``, or -1; escapes are skipped."""
    depth = 0
    at = start
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return -1
