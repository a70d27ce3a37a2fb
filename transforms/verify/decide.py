"""Whether two settled answers mean the same, given a way to compare two scalars.

Three-valued throughout: False when one part differs, None when some part is undecided, True when
every part is shown equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from butwait.transforms.verify.equations import same_equation, same_inequality
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.readings import (
    Record,
    any_name,
    as_choice,
    as_equation,
    common_name,
    degree_unit,
    degrees_of,
    hundredth,
    lettered,
    quotient,
    record,
    terms,
    unnamed,
)
from butwait.transforms.verify.region import Region
from butwait.transforms.verify.settle import Named, Settled, region_of, settle
from butwait.transforms.verify.tree import (
    SCALARS,
    Builder,
    Chain,
    Choice,
    Clock,
    Matrix,
    Mul,
    NamedSet,
    Node,
    Num,
    Percent,
    Ratio,
    Residue,
    Seq,
    SetOp,
    Sym,
    Text,
    Unit,
    Unreadable,
)

Equal = Callable[[Node, Node], bool | None]


def every(parts: Sequence[bool | None]) -> bool | None:
    """Three-valued "and"."""
    if any(part is False for part in parts):
        return False
    return None if any(part is None for part in parts) else True


def either(*parts: bool | None) -> bool | None:
    """Three-valued "or"."""
    if any(part is True for part in parts):
        return True
    return None if any(part is None for part in parts) else False


class Comparison:
    """One comparison of a gold tree with another tree.

    Args:
        equal: Decides two scalars.
        limits: Bounds used while settling.
    """

    def __init__(self, equal: Equal, limits: Limits) -> None:
        self.equal = equal
        self.limits = limits
        self.rule = "kind"

    def same(self, gold: Node, other: Node) -> bool | None:
        """Whether two trees mean the same; ``self.rule`` names the outermost rule used."""
        self.rule = "kind"
        choice = self._choices(gold, other)
        if choice is not NotImplemented:
            return choice
        if gold == other and not isinstance(gold, SCALARS):
            return self._say("same", True)
        try:
            return self.settled(settle(gold, self.limits), settle(other, self.limits))
        except Unreadable:
            return None

    def _say(self, rule: str, result: bool | None) -> bool | None:
        self.rule = rule
        return result

    # -- choices -----------------------------------------------------------------------------

    def _choices(self, gold: Node, other: Node) -> bool | None:
        if not isinstance(gold, Choice) and not isinstance(other, Choice):
            return NotImplemented  # type: ignore[no-any-return]
        gold, other = as_choice(gold), as_choice(other)
        if isinstance(gold, Choice) and isinstance(other, Choice):
            if gold.letter != other.letter:
                return self._say("choice", False)
            if gold.body is None or other.body is None:
                return self._say("choice", True)
            body = self.same(gold.body, other.body)
            return self._say("choice", True if body is not False else None)
        option, value = (gold, other) if isinstance(gold, Choice) else (other, gold)
        if not isinstance(option, Choice) or option.body is None:
            return self._say("choice", False)
        body = self.same(option.body, value)
        return self._say("choice", body)

    # -- dispatch ----------------------------------------------------------------------------

    def settled(self, a: Settled, b: Settled) -> bool | None:
        """Whether two settled answers mean the same."""
        if isinstance(a, Named) or isinstance(b, Named):
            return self._named(a, b)
        records = record(a), record(b)
        if records[0] or records[1]:
            return self._records(a, b, *records)
        if isinstance(a, Builder | SetOp) or isinstance(b, Builder | SetOp):
            # A set whose condition was not understood: nothing is known about it.
            return self._say("set", None)
        if isinstance(a, Region) or isinstance(b, Region):
            return self._say("interval", self._regions(a, b))
        if isinstance(a, Seq) or isinstance(b, Seq):
            return self._sequences(a, b)
        if isinstance(a, Chain) or isinstance(b, Chain):
            return self._relations(a, b)
        if isinstance(a, Ratio | Clock) or isinstance(b, Ratio | Clock):
            return self._say("ratio", self._ratios(a, b))
        if isinstance(a, Matrix) and isinstance(b, Matrix):
            return self._say("matrix", self._matrices(a, b))
        if isinstance(a, Residue) and isinstance(b, Residue):
            return self._say("modular", self._residues(a, b))
        if isinstance(a, Text) and isinstance(b, Text):
            return self._say("text", a.words == b.words)
        if isinstance(a, NamedSet) and isinstance(b, NamedSet):
            return self._say("set", a.name == b.name)
        return self._quantities(a, b)

    # -- names -------------------------------------------------------------------------------

    def _named(self, a: Settled, b: Settled) -> bool | None:
        if isinstance(a, Named) and isinstance(b, Named):
            if a.name == b.name or isinstance(a.name, Text) or isinstance(b.name, Text):
                return self.settled(a.value, b.value)
            one, two = record(a), record(b)
            if one and two:
                return self._records(a, b, one, two)
            same_side = as_equation(a), as_equation(b)
            if same_side[0] and same_side[1]:
                return self._say("equation", same_equation(same_side[0], same_side[1], self.limits))
            return self._say("name", False)
        for x, y in ((a, b), (b, a)):
            if isinstance(x, Named):
                if isinstance(y, Chain) and y.relations == ("=",):
                    sides = as_equation(x)
                    if sides is None:
                        return False
                    result = same_equation(sides, (y.items[0], y.items[1]), self.limits)
                    return self._say("equation", result)
                one, two = record(x), record(y)
                if two or (one and isinstance(y, Seq)):
                    return self._records(x, y, one, two)
                return self.settled(x.value, y)
        return None

    def _records(
        self, a: Settled, b: Settled, one: Record | None, two: Record | None
    ) -> bool | None:
        self.rule = "named values"
        if one and two:
            if {n for n, _ in one} != {n for n, _ in two} or len(one) != len(two):
                return False
            other = dict(two)
            return every([self._plain(value, other[name]) for name, value in one])
        record, rest = (one, b) if one else (two, a)
        assert record is not None
        if not isinstance(rest, Seq) or rest.kind == "set" or any_name(rest):
            return False
        if len(rest.items) != len(record):
            return False
        pairs = zip([value for _, value in record], rest.items, strict=True)
        if one:
            return every([self._plain(x, y) for x, y in pairs])
        return every([self._plain(y, x) for x, y in pairs])

    def _plain(self, a: Node, b: Node) -> bool | None:
        rule = self.rule
        result = self.same(a, b)
        self.rule = rule
        return result

    # -- collections -------------------------------------------------------------------------

    def _sequences(self, a: Settled, b: Settled) -> bool | None:
        names = common_name(a), common_name(b)
        if names[0] is not None and names[1] is not None and names[0] != names[1]:
            return self._say("name", False)
        a = unnamed(a) if names[1] is not None or not any_name(b) else a
        b = unnamed(b) if names[0] is not None or not any_name(a) else b
        if not isinstance(a, Seq) or not isinstance(b, Seq):
            self.rule = "arity"
            return False
        if "tuple" in (a.kind, b.kind):
            if a.kind != b.kind or len(a.items) != len(b.items):
                return self._say("tuple", False)
            return self._say("tuple", every([self._plain(x, y) for x, y in
                                             zip(a.items, b.items, strict=True)]))  # fmt: skip
        rule = "set" if "set" in (a.kind, b.kind) else "list"
        one, two = list(a.items), list(b.items)
        if rule == "set":
            one, two = self._distinct(one), self._distinct(two)
        if len(one) != len(two) or len(one) > 60:
            return self._say(rule, False if len(one) != len(two) else None)
        result = self._match(one, two)
        return self._say(rule, result)

    def _distinct(self, items: list[Node]) -> list[Node]:
        kept: list[Node] = []
        for item in items:
            if not any(self._plain(item, other) is True for other in kept):
                kept.append(item)
        return kept

    def _match(self, one: list[Node], two: list[Node]) -> bool | None:
        unsure: list[Node] = []
        left = list(two)
        for item in one:
            answers = [self._plain(item, other) for other in left]
            if True in answers:
                left.pop(answers.index(True))
            elif None in answers:
                unsure.append(item)
            else:
                return False
        return None if unsure else True

    def _regions(self, a: Settled, b: Settled) -> bool | None:
        one, two = self._as_region(a), self._as_region(b)
        if one is None or two is None:
            return False
        if len(one.pieces) != len(two.pieces):
            return False
        in_order = every([self._pieces(x, y) for x, y in zip(one.pieces, two.pieces, strict=True)])
        if in_order is not True and len(one.pieces) > 1:
            turned = zip(one.pieces, reversed(two.pieces), strict=True)
            if every([self._pieces(x, y) for x, y in turned]) is True:
                return True
        return in_order

    def _as_region(self, node: Settled) -> Region | None:
        if isinstance(node, Region):
            return node
        if isinstance(node, Named | Text):
            return None
        if (isinstance(node, Seq) and node.kind == "tuple") or isinstance(node, Seq | NamedSet):
            return region_of(node, self.limits)
        return None

    def _pieces(
        self, a: tuple[Node, Node, bool, bool], b: tuple[Node, Node, bool, bool]
    ) -> bool | None:
        if a[2:] != b[2:]:
            return False
        return every([self._plain(a[0], b[0]), self._plain(a[1], b[1])])

    # -- relations ---------------------------------------------------------------------------

    def _relations(self, a: Settled, b: Settled) -> bool | None:
        if not isinstance(a, Chain) or not isinstance(b, Chain):
            return self._say("relation", False)
        if a.relations == ("=",) and b.relations == ("=",):
            result = same_equation((a.items[0], a.items[1]), (b.items[0], b.items[1]), self.limits)
            return self._say("equation", result)
        return self._say("inequality", same_inequality(a, b, self.limits, self._plain))

    # -- small kinds -------------------------------------------------------------------------

    def _ratios(self, a: Settled, b: Settled) -> bool | None:
        if isinstance(a, Clock) and isinstance(b, Clock):
            halves = {a.half, b.half} - {""}
            return (a.hour, a.minute) == (b.hour, b.minute) and len(halves) < 2
        one, two = terms(a), terms(b)
        if one is None or two is None:
            return False
        if len(one) == 1 or len(two) == 1:
            if len(one) + len(two) != 3:
                return False
            return self._plain(quotient(one), quotient(two))
        if len(one) != len(two):
            return False
        return every([self._plain(Mul((one[0], y)), Mul((two[0], x))) for x, y in
                      zip(one[1:], two[1:], strict=True)])  # fmt: skip

    def _matrices(self, a: Matrix, b: Matrix) -> bool | None:
        if [len(row) for row in a.rows] != [len(row) for row in b.rows]:
            return False
        pairs = zip(sum(a.rows, ()), sum(b.rows, ()), strict=True)
        return every([self._plain(x, y) for x, y in pairs])

    def _residues(self, a: Residue, b: Residue) -> bool | None:
        moduli = self.equal(a.modulus, b.modulus)
        if moduli is not True:
            return moduli
        parts = (a.value, b.value, a.modulus)
        if all(isinstance(x, Num) and x.value.denominator == 1 for x in parts):
            x, y, m = (int(p.value) for p in parts if isinstance(p, Num))
            return m != 0 and (x - y) % m == 0
        return self.equal(a.value, b.value) or None

    # -- values ------------------------------------------------------------------------------

    def _quantities(self, a: Settled, b: Settled) -> bool | None:
        if isinstance(a, Named | Region) or isinstance(b, Named | Region):
            return False
        self.rule = "value"
        if isinstance(a, Sym) and isinstance(b, Sym):
            return self._say("letter", a.name.lower() == b.name.lower())
        if isinstance(a, Unit) or isinstance(b, Unit):
            return self._say("unit", self._units(a, b))
        if isinstance(a, Percent) or isinstance(b, Percent):
            return self._say("percent", self._percents(a, b))
        if not isinstance(a, SCALARS) or not isinstance(b, SCALARS):
            return self._say("kind", False)
        result = self.equal(a, b)
        if result is True:
            return True
        one, two = degrees_of(a), degrees_of(b)
        if (one is None) != (two is None):
            bare = self.equal(one if one is not None else a, two if two is not None else b)
            return self._say("degrees", either(bare, result))
        return result

    def _units(self, a: Node, b: Node) -> bool | None:
        a, b = lettered(a, b), lettered(b, a)
        a, b = degree_unit(a, b), degree_unit(b, a)
        if isinstance(a, Unit) and isinstance(b, Unit):
            if a.dims != b.dims:
                return False
            return self.equal(Mul((a.value, a.factor)), Mul((b.value, b.factor)))
        unit, bare = (a, b) if isinstance(a, Unit) else (b, a)
        assert isinstance(unit, Unit)
        if not isinstance(bare, SCALARS):
            return False
        plain = self.equal(unit.value, bare)
        if unit.dims == (("radian", 1),) and plain is not True:
            return either(plain, self.equal(Mul((unit.value, unit.factor)), bare))
        return plain

    def _percents(self, gold: Node, other: Node) -> bool | None:
        if isinstance(gold, Percent) and isinstance(other, Percent):
            return self.equal(gold.value, other.value)
        if isinstance(gold, Percent):
            if not isinstance(other, SCALARS):
                return False
            # A gold with a percent sign has said what the number counts.
            return either(self.equal(gold.value, other), self.equal(hundredth(gold), other))
        assert isinstance(other, Percent)
        return self.equal(gold, hundredth(other)) if isinstance(gold, SCALARS) else False
