"""The answer reader's own small tree: plain frozen data, never evaluated as text.

Scalars are ``Num, Sym, Const, Add, Mul, Div, Pow, Fn, PlusMinus``; the rest are the shapes an
answer can have around scalars. Nothing here computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


class Unreadable(Exception):
    """The text is not an answer this reader knows."""


@dataclass(frozen=True, slots=True)
class Num:
    value: Fraction
    literal: bool = True
    """True when written as one plain number (mixed numbers need that)."""


@dataclass(frozen=True, slots=True)
class Sym:
    name: str


@dataclass(frozen=True, slots=True)
class Const:
    """``pi``, ``e``, ``i``, ``inf``, ``deg`` (the factor of a degree sign)."""

    name: str


@dataclass(frozen=True, slots=True)
class Add:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mul:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Div:
    num: Node
    den: Node


@dataclass(frozen=True, slots=True)
class Pow:
    base: Node
    exp: Node


@dataclass(frozen=True, slots=True)
class Fn:
    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class PlusMinus:
    """Both signs of a term; ``sign`` is -1 for the sign that goes the other way."""

    item: Node
    sign: int = 1


@dataclass(frozen=True, slots=True)
class Unit:
    """A value with a unit: dimension powers (sorted) and the factor to base units."""

    value: Node
    dims: tuple[tuple[str, int], ...]
    factor: Node


@dataclass(frozen=True, slots=True)
class Percent:
    value: Node


@dataclass(frozen=True, slots=True)
class Seq:
    """``kind`` is tuple, list, set; ``joiner`` of a list is comma, or, and."""

    kind: str
    items: tuple[Node, ...]
    joiner: str = "comma"


@dataclass(frozen=True, slots=True)
class Span:
    """An interval with its ends and whether each belongs to it."""

    low: Node
    high: Node
    low_closed: bool
    high_closed: bool


@dataclass(frozen=True, slots=True)
class SetOp:
    """``op`` is union, intersection or minus."""

    op: str
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class NamedSet:
    name: str


@dataclass(frozen=True, slots=True)
class Builder:
    """Set builder: the condition that the variable must meet, and the set it is taken from."""

    variable: str
    domain: Node | None
    condition: Node


@dataclass(frozen=True, slots=True)
class Family:
    """A value for every element ``parameter`` of the set named ``domain``."""

    value: Node
    parameter: str
    domain: str


@dataclass(frozen=True, slots=True)
class Cases:
    """A piecewise value: pairs of a value and its condition."""

    rows: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """Relations in a row: ``a < b <= c`` has three items and two relations."""

    items: tuple[Node, ...]
    relations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True)
class Residue:
    """A class of whole numbers, and the variable that is in it (empty: none was named)."""

    value: Node
    modulus: Node
    name: str = ""


@dataclass(frozen=True, slots=True)
class Ratio:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Clock:
    hour: int
    minute: int
    half: str


@dataclass(frozen=True, slots=True)
class Text:
    words: str


@dataclass(frozen=True, slots=True)
class Choice:
    letter: str
    body: Node | None


Node = (
    Num | Sym | Const | Add | Mul | Div | Pow | Fn | PlusMinus | Unit | Percent | Seq | Span
    | SetOp | NamedSet | Builder | Family | Cases | Chain | Matrix
    | Residue | Ratio | Clock | Text | Choice
)  # fmt: skip

SCALARS = (Num, Sym, Const, Add, Mul, Div, Pow, Fn, PlusMinus)


# Functions of a body, a bound variable and its ends (see ``series``).
BINDERS = frozenset({"sum", "prod", "integral", "limit"})


def children(node: Node) -> tuple[Node, ...]:
    """Direct parts of a scalar node."""
    if isinstance(node, Add | Mul):
        return node.items
    if isinstance(node, Fn):
        return node.args
    if isinstance(node, Div):
        return (node.num, node.den)
    if isinstance(node, Pow):
        return (node.base, node.exp)
    if isinstance(node, PlusMinus):
        return (node.item,)
    return ()


def symbols(node: Node) -> set[str]:
    """Names of the variables in a scalar node."""
    found: set[str] = set()
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, Sym):
            found.add(item.name)
        if isinstance(item, Fn) and item.name in BINDERS:
            # The bound variable is no variable of the whole.
            inner = symbols(item.args[0]) - symbols(item.args[1])
            found |= inner.union(*(symbols(end) for end in item.args[2:]))
            continue
        stack.extend(children(item))
    return found


def contains(node: Node, constant: str) -> bool:
    """Whether a scalar node mentions the constant of that name."""
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, Const) and item.name == constant:
            return True
        stack.extend(children(item))
    return False


def plain_value(node: Node) -> Fraction | None:
    """The value of a number, a quotient of numbers, or minus one of these; else None."""
    if isinstance(node, Num):
        return node.value
    if isinstance(node, Div):
        if isinstance(node.num, Num) and isinstance(node.den, Num) and node.den.value:
            return node.num.value / node.den.value
    elif isinstance(node, Mul) and len(node.items) == 2 and node.items[0] == _MINUS_ONE:
        inner = plain_value(node.items[1])
        return None if inner is None else -inner
    return None


def negate(node: Node) -> Node:
    """Minus the node."""
    if isinstance(node, Num):
        return Num(-node.value, node.literal)
    return Mul((Num(Fraction(-1), False), node))


def number(value: int | Fraction) -> Num:
    """A computed (not written) number."""
    return Num(Fraction(value), False)


def scalar(node: Node) -> Node:
    """The node itself.

    Raises:
        Unreadable: A shape (list, set, relation) where a value must stand.
    """
    if not isinstance(node, SCALARS):
        raise Unreadable("a shape inside an expression")
    return node


_MINUS_ONE = Num(Fraction(-1), False)
