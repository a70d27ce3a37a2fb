"""Answer LaTeX to tokens: one linear pass, sizes checked before anything is built.

Knows numbers (grouped, repeating, scientific, with a base), commands, words and brackets. Says
nothing about structure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from butwait.transforms.verify.habits import matching_brace
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.numerals import (
    BASE_WORDS,
    BASED,
    LOOSE_GROUPS,
    NUMBER,
    based_value,
    plain_number,
    repeating,
    whole_number,
)
from butwait.transforms.verify.tree import Unreadable
from butwait.transforms.verify.units import CURRENCY_WORDS, is_unit_word, unit_parts
from butwait.transforms.verify.vocabulary import (
    FUNCTIONS,
    RENAME,
    SCALE_WORDS,
    SILENT,
    TEXT_COMMANDS,
    WORDS,
)


@dataclass(slots=True)
class Token:
    """One token; ``kind`` is num, sym, cmd, op, open, close, text, unit, join or end."""

    kind: str
    text: str
    value: Fraction = Fraction(0)
    space: bool = False
    exact: bool = True


_COMMAND = re.compile(r"\\([A-Za-z]+|.)")
_WORD = re.compile(r"[A-Za-z]+")
_SPACING = frozenset(",;:! ")
_PLAIN_OPERATORS = frozenset(
    {"left|", "right|", "*", "/", "<", ">", "|", ":", "le", "ge", "ne", "to", "$"}
)
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
        self.space, self.indexed = False, "_" in text

    def run(self) -> list[Token]:
        """All tokens, with an ``end`` token last.

        Raises:
            Unreadable: A character or size that no answer has.
        """
        while self.at < len(self.text):
            self._step(self.text[self.at])
        self._put("end", "")
        return without_double_brackets(self.tokens) if self.depth == 0 else self.tokens

    def _put(self, kind: str, text: str, value: Fraction = Fraction(0), exact: bool = True) -> None:
        if len(self.tokens) >= self.limits.tokens:
            raise Unreadable("too many parts")
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
        based = BASED.match(self.text, self.at) if self.indexed else None
        if based and self._based(based):
            return
        loose = LOOSE_GROUPS.match(self.text, self.at)
        if loose and not self.nesting:
            self._emit_integer(loose[0].replace(" ", ""), loose.end())
            return
        match = NUMBER.match(self.text, self.at)
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
            value = plain_number(digits)
        elif match["radix"]:
            value = Fraction(int(match["coded"], 2 if match["radix"] == "b" else 16))
        elif match["cycle"]:
            value = repeating(match["whole"], match["fixed"], match["cycle"])
        else:
            plain = match["plain"]
            value = plain_number(plain) * Fraction(10) ** int(match["exp"] or 0)
        self._put("num", match[0], value)
        self.at = match.end()

    def _emit_integer(self, digits: str, end: int) -> None:
        if len(digits) > self.limits.digits:
            raise Unreadable("too many digits")
        self._put("num", digits, Fraction(whole_number(digits)))
        self.at = end

    def _based(self, match: re.Match[str]) -> bool:
        word = match["word"] or match["digit"]
        base = BASE_WORDS.get(word) or (int(word) if word.isdigit() and len(word) < 3 else 0)
        value = based_value(match["digits"], match["cycle"] or match["dotted"] or "", base)
        if value is None:
            return False
        self._put("num", match[0], value, exact=False)
        self.at = match.end()
        return True

    def _command(self) -> None:
        match = _COMMAND.match(self.text, self.at)
        if match is None:
            self.at += 1
            return
        name = match[1]
        self.at = match.end()
        if name in _SPACING or name in SILENT or name in ("(", ")", "[", "]"):
            self.space = self.space or name not in ("left", "right")
            if name in ("left", "right") and self.text[self.at : self.at + 1] == ".":
                self.at += 1
                if name == "right":
                    self._unopen()
            elif name in ("left", "right") and self.text[self.at : self.at + 1] == "|":
                self.at += 1
                self._put("op", f"{name}|")
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

    def _unopen(self) -> None:
        """``\\right.`` closes nothing: its ``\\left\\{`` was the brace of a system."""
        depth = 0
        for k in range(len(self.tokens) - 1, -1, -1):
            kind = self.tokens[k].kind
            depth += {"close": 1, "open": -1}.get(kind, 0)
            if depth < 0:
                self.nesting -= 1
                del self.tokens[k]
                return

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
        if self._scale_or_percent(words) or self._based_text(name, body):
            return
        if self._after_value() and self._unit_text(body):
            return
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

    def _scale_or_percent(self, words: list[str]) -> bool:
        """``million`` and ``percent`` after a number; the rest of the words are a unit."""
        if not words or not self._after_value():
            return False
        first = words[0].lower().rstrip("s")
        if first in SCALE_WORDS:
            self._put("op", "*")
            self._put("num", first, Fraction(SCALE_WORDS[first]), exact=False)
        elif words[0].lower() in ("percent", "percentage"):
            self._put("op", "%")
        elif [word.lower() for word in words[:2]] == ["per", "cent"]:
            self._put("op", "%")
            words = words[1:]
        elif words == ["to"]:
            self._put("op", "to")
        else:
            return False
        if len(words) > 1:
            self._put("unit" if all(map(is_unit_word, words[1:])) else "text", " ".join(words[1:]))
        return True

    def _unit_text(self, body: str) -> bool:
        """``m``, ``m/s^2``, ``kg m`` in a text command after a value: letters are units there."""
        parts = unit_parts(body)
        for kind, text in parts:
            self._put(kind, text, Fraction(int(text)) if kind == "num" else Fraction(0))
        return bool(parts)

    def _based_text(self, name: str, body: str) -> bool:
        """``\\text{2A}_{16}``: the digits stand in a text command."""
        wrapped = BASED.match(body + self.text[self.at : self.at + 100])
        if wrapped is None or not re.fullmatch(r"[0-9A-Fa-f]+", body):
            return False
        start = self.at - len(body)
        if not self._based(wrapped):
            return False
        self.at = start + wrapped.end()
        return True

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
        based = BASED.match(self.text, self.at) if self.indexed else None
        if based and len(based["digits"]) > 1 and based["digits"].isupper() and self._based(based):
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
        if self._currency_code(low) or (self._after_value() and self._unit_word(low)):
            return
        if low.rstrip("s") in SCALE_WORDS and self._scale_or_percent([low]):
            return
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

    def _currency_code(self, low: str) -> bool:
        """``USD 6``: the currency before its amount."""
        amount = self.text[self.at : self.at + 2].strip()[:1].isdigit()
        if low in CURRENCY_WORDS and amount:
            self._put("unit", low)
        return low in CURRENCY_WORDS and amount

    def _unit_word(self, low: str) -> bool:
        """Words that mean something else elsewhere: ``min``, ``in``, ``per``."""
        rest = self.text[self.at : self.at + 2].lstrip()
        if low == "min" and rest[:1] not in ("(", "{", "_"):
            self._put("unit", "minutes")
        elif low == "in" and (not rest or rest[0] in "^.)"):
            self._put("unit", "inches")
        elif low == "per":
            self._put("text", "per")
        else:
            return False
        return True

    def _after_value(self) -> bool:
        if not self.tokens:
            return False
        last = self.tokens[-1]
        if last.text == "*" and len(self.tokens) > 1 and self.tokens[-2].kind == "unit":
            return True
        return last.kind in ("num", "close", "unit", "sym", "text") or last.text in ("/", "pi")


_MATH_INSIDE = re.compile(r"[\d^_=()\[\]<>$\\]")


def without_double_brackets(tokens: list[Token]) -> list[Token]:
    """Tokens without the inner of two round brackets around the same thing.

    Nesting that says nothing must not count as depth.
    """
    partner: dict[int, int] = {}
    opened: list[int] = []
    for k, token in enumerate(tokens):
        if token.kind == "open":
            opened.append(k)
        elif token.kind == "close" and opened:
            partner[opened.pop()] = k
    dropped: set[int] = set()
    for k, end in partner.items():
        inner = partner.get(k + 1)
        if inner == end - 1 and all(tokens[j].text in "()" for j in (k, k + 1, inner, end)):
            dropped |= {k + 1, inner}
    return [token for k, token in enumerate(tokens) if k not in dropped] if dropped else tokens
