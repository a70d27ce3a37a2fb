"""Second readings of one answer: a record of names, a ratio, a choice letter, degrees, metres."""

from __future__ import annotations

from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.region import Region
from butwait.transforms.verify.sets import region_of
from butwait.transforms.verify.settle import Named, Settled, is_name
from butwait.transforms.verify.tree import (
    SCALARS,
    Add,
    Chain,
    Choice,
    Clock,
    Const,
    Div,
    Fn,
    Mul,
    NamedSet,
    Node,
    Num,
    Percent,
    Pow,
    Ratio,
    Seq,
    Sym,
    Text,
    Unit,
    number,
)
from butwait.transforms.verify.units import LETTER_UNITS, read_unit
from butwait.transforms.verify.words import singular

Record = list[tuple[str, Node]]


def hundredth(node: Percent) -> Node:
    """A percentage as a number."""
    return Div(node.value, number(100))


def as_choice(node: Node) -> Node:
    """A single letter up to J as a choice letter."""
    if isinstance(node, Sym | Const) and len(node.name) == 1 and "A" <= node.name.upper() <= "J":
        return Choice(node.name.upper(), None)
    return node


def as_equation(node: Settled) -> tuple[Node, Node] | None:
    """Both sides of ``name = value``."""
    if isinstance(node, Named) and isinstance(node.value, SCALARS):
        return node.name, node.value
    return None


def same_name(a: Node, b: Node) -> bool:
    """Whether two names name the same: alike but for filling words, or a letter for its word."""
    if a == b:
        return True
    for call, head in ((a, b), (b, a)):
        if isinstance(call, Fn) and call.name == "call" and isinstance(head, Sym):
            return call.args[0] == head and all(isinstance(x, Sym) for x in call.args[1:])
    if isinstance(a, Text) and isinstance(b, Text):
        return _name_words(a) == _name_words(b)
    for words, letter in ((a, b), (b, a)):
        if isinstance(words, Text):
            initials = {word[0] for word in words.words.split()}
            return not isinstance(letter, Sym) or letter.name[0].lower() in initials
    return False


def _name_words(name: Text) -> list[str]:
    """The words of a name without those that say nothing about what it names."""
    return [word for word in singular(name.words).split() if word not in _FILLING]


_FILLING = frozenset({"the", "a", "an", "of", "total", "value", "number", "answer", "is"})
# Letters of unknowns: the roots of an equation, numbered, have no order.
_ROOT_NAMES = frozenset("xyztrk")


def record(node: Settled) -> Record | None:
    """Names and values of ``x = 1, y = 2`` or ``(x, y) = (1, 2)``; None for anything else."""
    if isinstance(node, Named) and isinstance(node.name, Seq) and isinstance(node.value, Seq):
        names = [str(item) for item in node.name.items]
        if node.value.kind == "tuple" and len(names) == len(node.value.items):
            return list(zip(names, node.value.items, strict=True))
        return None
    if not isinstance(node, Seq) or node.kind == "set":
        return None
    pairs = [_name_and_value(item) for item in node.items]
    known = [pair for pair in pairs if pair is not None]
    if len(known) < len(pairs) or len({name for name, _ in known}) < len(known):
        return None
    return known


def _name_and_value(item: Node) -> tuple[str, Node] | None:
    if not isinstance(item, Chain) or item.relations != ("=",):
        return None
    left, right = item.items
    if is_name(left) and not isinstance(left, Seq):
        return str(left), right
    return None


def any_name(node: Settled) -> bool:
    """Whether some item of a list is ``name = value``."""
    return isinstance(node, Seq) and any(_name_and_value(item) for item in node.items)


def common_name(node: Settled) -> str | None:
    """The one name of every item of a list such as ``x = 1 or x = 2``."""
    if not isinstance(node, Seq) or node.kind == "tuple":
        return None
    pairs = [_name_and_value(item) for item in node.items]
    names = {pair[0] if pair else None for pair in pairs}
    return names.pop() if len(names) == 1 else None


def indexed_name(node: Settled) -> str | None:
    """The one letter of a list such as ``x_1 = 4, x_2 = -1``: roots in no order."""
    if not isinstance(node, Seq) or node.kind == "tuple":
        return None
    names = [
        item.items[0].name
        if isinstance(item, Chain) and isinstance(item.items[0], Sym) and _name_and_value(item)
        else ""
        for item in node.items
    ]
    letters = {name.partition("_")[0] for name in names}
    indexed = all("_" in name for name in names) and len(set(names)) == len(names)
    known = indexed and len(letters) == 1 and letters <= _ROOT_NAMES
    return str(Sym(letters.pop())) if known else None


def as_roots(node: Settled, letter: str | None) -> list[Node] | None:
    """The values of a list without names or all named by ``letter``: roots in no order."""
    if letter is None or not isinstance(node, Seq) or node.kind != "list":
        return None
    if common_name(node) != letter and any_name(node):
        return None
    found = unnamed(node)
    return list(found.items) if isinstance(found, Seq) else None


def unnamed(node: Settled) -> Settled:
    """``x = 1 or x = 2`` as the list of its values."""
    if common_name(node) is None or not isinstance(node, Seq):
        return node
    pairs = [_name_and_value(item) for item in node.items]
    return Seq(node.kind, tuple(pair[1] for pair in pairs if pair), node.joiner)


def as_region(node: Settled, limits: Limits) -> Region | None:
    """Real intervals, or the points of a collection, as a region."""
    if isinstance(node, Region):
        return node
    return region_of(node, limits) if isinstance(node, Seq | NamedSet) else None


def terms(node: Settled) -> tuple[Node, ...] | None:
    """The terms of a ratio; a value is a ratio of one term."""
    if isinstance(node, Ratio):
        return node.items
    if isinstance(node, Clock) and not node.half:
        return number(node.hour), number(node.minute)
    return (node,) if isinstance(node, SCALARS) else None


def quotient(terms: tuple[Node, ...]) -> Node:
    """A ratio of one or two terms as a value."""
    return terms[0] if len(terms) == 1 else Div(terms[0], terms[1])


def lettered(node: Node, other: Node) -> Node:
    """``5m`` as five metres when the other side has a unit."""
    if not isinstance(other, Unit):
        return node
    parts: list[tuple[str, int]] = []
    value = node
    if isinstance(value, Div) and (below := _letter_unit(value.den)) is not None:
        value, parts = value.num, [(below[0], -below[1])]
    while isinstance(value, Mul) and (last := _letter_unit(value.items[-1])) is not None:
        parts.append(last)
        value = value.items[0] if len(value.items) == 2 else Mul(value.items[:-1])
    if not parts:
        return node
    dims, factor = read_unit(parts)
    return Unit(value, dims, factor)


def _letter_unit(node: Node) -> tuple[str, int] | None:
    """``m`` or ``m^2`` as a unit with its power."""
    base, power = node, 1
    if isinstance(node, Pow) and isinstance(node.exp, Num) and node.exp.value in (2, 3):
        base, power = node.base, int(node.exp.value)
    return (base.name, power) if isinstance(base, Sym) and base.name in LETTER_UNITS else None


def degree_unit(node: Node, other: Node) -> Node:
    """``90^\\circ`` as ninety degrees when the other side has a unit."""
    inner = degrees_of(node) if isinstance(other, Unit) else None
    if inner is None:
        return node
    dims, factor = read_unit([("degrees", 1)])
    return Unit(inner, dims, factor)


def degrees_of(node: Node) -> Node | None:
    """The number before a degree sign when the whole value carries one."""
    if isinstance(node, Mul) and node.items[-1] == Const("deg"):
        return Mul(node.items[:-1]) if len(node.items) > 2 else node.items[0]
    if isinstance(node, Div):
        upper = degrees_of(node.num)
        return None if upper is None else Div(upper, node.den)
    if isinstance(node, Add):
        parts = [degrees_of(item) for item in node.items]
        known = [part for part in parts if part is not None]
        return Add(tuple(known)) if len(known) == len(parts) else None
    return None
