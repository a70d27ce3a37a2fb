"""An answer's text to a tree: lists, relations, intervals, sets, matrices, units, text, choices.

Leaves out: what two shapes mean to each other (``decide``). A text that is not mathematics comes
back as ``Text``; nothing raises but ``Unreadable``.
"""

from __future__ import annotations

import re

from butwait.transforms.verify.braces import read_braces
from butwait.transforms.verify.clean import clean_text
from butwait.transforms.verify.conditions import congruence, named_set, with_condition
from butwait.transforms.verify.grammar import Scalars
from butwait.transforms.verify.lexer import Lexer, Token
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.matrices import read_environment
from butwait.transforms.verify.progressions import DOTS, written_out
from butwait.transforms.verify.quantities import put_together, read_quantity
from butwait.transforms.verify.tree import (
    SCALARS,
    Chain,
    Choice,
    Clock,
    NamedSet,
    Node,
    Num,
    Percent,
    Ratio,
    Residue,
    Seq,
    SetOp,
    Span,
    Text,
    Unreadable,
    scalar,
)
from butwait.transforms.verify.vocabulary import FUNCTIONS
from butwait.transforms.verify.words import (
    SET_NAMES,
    is_phrase,
    known_phrase,
    list_of_number_words,
    list_of_words,
    number_word,
    percent_word,
    plain_words,
    read_choice,
    read_clock,
)

_OPERATOR = re.compile(r"\\(?:sum|prod|i?int|oint|lim|forall|exists)(?![a-zA-Z])")
_CROSS = re.compile(r"\\times ?\(?\\(?:vec|overrightarrow|mathbf|boldsymbol|bm|hat)(?![A-Za-z])")
_RELATIONS = frozenset({"=", "<", ">", "le", "ge", "ne"})
_RELATION_COMMANDS = frozenset({"in", "equiv", "approx"})
_SET_OPS = {"cup": "union", "cap": "intersection", "setminus": "minus"}
_MOST_SET_OPS = 60
_SET_LETTERS = frozenset("RZNQC")
_MATH_PHRASE = FUNCTIONS | {"pi", "infinity", "or", "and", "over", "frac", "sqrt", "mod"}


def read_answer(text: str, limits: Limits, *, grouped: bool = True) -> Node:
    """The tree of a bare answer.

    Args:
        text: An answer as written, with or without dollars.
        limits: Characters, depth and digits are used.
        grouped: Whether ``1,234`` outside brackets is one number.

    Raises:
        Unreadable: Neither mathematics nor words, or beyond a limit.
    """
    if len(text) > limits.answer_chars:
        raise Unreadable("too long")
    cleaned = clean_text(text)
    if not cleaned:
        raise Unreadable("empty")
    return _read_clean(cleaned, limits, grouped)


def _read_clean(text: str, limits: Limits, grouped: bool) -> Node:
    clock = read_clock(text)
    if clock is not None:
        return Clock(*clock)
    choice = read_choice(text)
    if choice is not None:
        letter, body = choice
        return Choice(letter, _read_body(body, limits) if body else None)
    number = number_word(text)
    if number is not None:
        return Num(number, False)
    numbers = list_of_number_words(text) if number is None and text[:1].isalpha() else None
    if numbers is not None:
        return Seq("list", tuple(Num(value, False) for value in numbers))
    share = percent_word(text)
    if share is not None:
        return Percent(Num(share, False))
    known = known_phrase(text)
    if known is not None:
        return NamedSet(known) if known in SET_NAMES else Text(known)
    if is_phrase(text) and not _MATH_PHRASE & set(text.lower().split()):
        return Text(plain_words(text) or text.lower())
    if "\\times" in text and _CROSS.search(text):
        # A product of vectors that depends on their order.
        return Text(plain_words(text) or text)
    try:
        return Shapes(Lexer(text, limits, grouped=grouped).run(), limits).read()
    except (Unreadable, RecursionError):
        names = list_of_words(text)
        if names:
            return Seq("list", tuple(Text(name) for name in names))
        # Sums, integrals and quantifiers are mathematics that is not read, not words.
        words = None if _OPERATOR.search(text) else plain_words(text)
        if words is None:
            raise Unreadable("neither mathematics nor words") from None
        return Text(words)


def _read_body(text: str, limits: Limits) -> Node:
    try:
        if read_choice(text) is None:
            return read_answer(text, limits)
    except Unreadable:
        pass
    return Text("".join(text.split()))


class Shapes:
    """The outer grammar; scalars are left to ``Scalars``."""

    def __init__(self, tokens: list[Token], limits: Limits) -> None:
        self.p = Scalars(tokens, limits, self.bracket, self.special)
        self.no_family: set[int] = set()

    def read(self) -> Node:
        """The whole token list as one answer.

        Raises:
            Unreadable: Something is left over or out of place.
        """
        node = self.items()
        if self.p.next.kind != "end":
            raise Unreadable(f"left over: {self.p.next.text!r}")
        return node

    def items(self) -> Node:
        """Items joined by comma, semicolon, "or", "and"; one item is itself."""
        self.p.deeper()
        items = [self.item()]
        joiner = ""
        while True:
            seen = self._joiner()
            if not seen:
                break
            joiner = max(joiner, seen, key=("", "comma", "and", "or").index)
            items.append(self.item())
        self.p.depth -= 1
        if len(items) == 1:
            return items[0]
        whole = put_together(items) if joiner == "and" else None
        if whole is not None:
            return whole
        return with_condition(Seq("list", written_out(tuple(items)), joiner))

    def _joiner(self) -> str:
        seen = ""
        while True:
            if self.p.accept("op", ",", ";"):
                seen = seen or "comma"
            elif self.p.saw("join"):
                seen = self.p.take().text
            else:
                return seen

    def item(self) -> Node:
        """A chain of relations or one value, with a modulus after it; or dots."""
        if self.p.accept("cmd", "ldots"):
            return DOTS
        parts = [self.sets()]
        relations: list[str] = []
        while self._at_relation():
            relations.append(self.p.take().text)
            parts.append(self.sets())
        node: Node = Chain(tuple(parts), tuple(relations)) if relations else parts[0]
        return self._modulus(node)

    def _at_relation(self) -> bool:
        token = self.p.next
        if token.kind == "op":
            return token.text in _RELATIONS
        return token.kind == "cmd" and token.text in _RELATION_COMMANDS

    def _modulus(self, node: Node) -> Node:
        modulus: Node | None = None
        if self.p.accept("cmd", "pmod"):
            modulus = scalar(self.p.atom())
        elif self.p.saw("open", "(") and self.p.peek(1).text == "mod":
            self.p.take()
            self.p.take()
            modulus = scalar(self.p.sum())
            self.p.expect("close", ")")
        if isinstance(node, Chain) and "equiv" in node.relations:
            return congruence(node, modulus)
        return node if modulus is None else Residue(scalar(node), modulus)

    def sets(self) -> Node:
        """Unions, intersections and differences of sets, or a ratio, or a value."""
        node = self._name_in_words() or self.ratio()
        count = 0
        while self.p.saw("cmd", *_SET_OPS) or self._union_word():
            count += 1
            if count > _MOST_SET_OPS:
                raise Unreadable("too many sets")
            op = _SET_OPS.get(self.p.take().text, "union")
            node = SetOp(op, (node, self.ratio()))
        return node

    def _name_in_words(self) -> Node | None:
        """``\\text{Maximum cost} = 5``: words as the name of a value."""
        if self.p.next.kind in ("text", "unit") and self.p.peek(1).text == "=":
            return Text(self.p.take().text.lower())
        return None

    def _union_word(self) -> bool:
        return self.p.next.text == "U" and self.p.next.kind == "sym"

    def ratio(self) -> Node:
        """``a : b : c`` or one quantity."""
        items = [read_quantity(self.p)]
        while self.p.accept("op", ":") or (self.p.saw("op", "to") and self._ratio_to()):
            items.append(read_quantity(self.p))
        return items[0] if len(items) == 1 else Ratio(tuple(scalar(x) for x in items))

    def _ratio_to(self) -> bool:
        self.p.take()
        return True

    # -- brackets ----------------------------------------------------------------------------

    def bracket(self, left: str) -> Node:
        """What a bracket encloses: a value, tuple, interval or set."""
        bars, self.p.bars = self.p.bars, 0
        try:
            if left in ("\\{", "{"):
                return read_braces(self, left)
            if left in ("(", "[") and self.p.saw("close"):
                raise Unreadable("empty bracket")
            inner = self.items()
            return self._close(left, inner)
        finally:
            self.p.bars = bars

    def _close(self, left: str, inner: Node) -> Node:
        right = self.p.next.text
        self.p.expect("close", ")", "]")
        if isinstance(inner, Seq) and inner.kind == "list" and inner.joiner == "comma":
            nested = not all(isinstance(item, SCALARS) for item in inner.items)
            if left + right == "()" or (left + right == "[]" and (len(inner.items) != 2 or nested)):
                return Seq("tuple", inner.items)
            if len(inner.items) == 2:
                low, high = (scalar(item) for item in inner.items)
                return Span(low, high, left == "[", right == "]")
            raise Unreadable("bracket")
        if left + right not in ("()", "[]"):
            raise Unreadable("brackets that differ")
        return inner

    # -- commands ----------------------------------------------------------------------------

    def special(self, name: str) -> Node:
        """Commands around scalars: named sets, matrices."""
        if name in ("emptyset",):
            return NamedSet("empty")
        if name in ("mathbb", "Bbb", "mathds"):
            letter = self._set_letter()
            return named_set(letter, self._set_sign())
        if name == "begin":
            return read_environment(self.p, self.items)
        if name == "det":
            return scalar(self.p.atom())
        raise Unreadable(f"command {name!r}")

    def _set_letter(self) -> str:
        braces = self.p.accept("open", "{")
        letter = self.p.take().text
        if braces:
            self.p.expect("close", "}")
        if letter not in _SET_LETTERS:
            raise Unreadable("set letter")
        return letter

    def _set_sign(self) -> str:
        mark = ""
        while self.p.saw("op", "^", "_"):
            self.p.take()
            mark += self.p.group_text()
        return mark
