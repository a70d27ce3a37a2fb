"""Whether two settled answers mean the same, given a way to compare two scalars.

Three-valued throughout: False when one part differs, None when some part is undecided, True when
every part is shown equal.
"""

from __future__ import annotations

from butwait.transforms.verify.amounts import (
    Equal,
    either,
    every,
    same_percents,
    same_ratios,
    same_units,
)
from butwait.transforms.verify.classes import same_classes, same_family
from butwait.transforms.verify.equations import same_equation, same_inequality
from butwait.transforms.verify.kinds import (
    are_orders,
    as_matrix,
    as_point,
    has_class,
    has_family,
    has_orders,
    same_numbers,
    several_choices,
)
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.readings import (
    Record,
    any_name,
    as_choice,
    as_equation,
    as_region,
    as_roots,
    common_name,
    degrees_of,
    indexed_name,
    record,
    same_name,
    unnamed,
)
from butwait.transforms.verify.region import LINE, Region
from butwait.transforms.verify.settle import Named, Settled, settle
from butwait.transforms.verify.tree import (
    SCALARS,
    Builder,
    Cases,
    Chain,
    Choice,
    Clock,
    Family,
    Matrix,
    NamedSet,
    Node,
    Percent,
    Ratio,
    Residue,
    Seq,
    SetOp,
    Sym,
    Text,
    Unit,
    Unreadable,
    contains,
    symbols,
)
from butwait.transforms.verify.words import same_words

_MOST_MATCHED = 60
# Repeats are looked for among this many elements; among more, only those written alike.
_MOST_DISTINCT = 20


class Comparison:
    """One comparison of a gold tree with another tree.

    Args:
        equal: Decides two scalars.
        limits: Bounds used while settling.
        percent_optional: Whether the other tree may leave out the gold tree's percent sign.
    """

    def __init__(self, equal: Equal, limits: Limits, *, percent_optional: bool = False) -> None:
        self.equal = equal
        self.percent_optional = percent_optional
        self.limits = limits
        self.rule = "kind"

    def same(self, gold: Node, other: Node) -> bool | None:
        """Whether two trees mean the same; ``self.rule`` names the outermost rule used."""
        self.rule = "kind"
        try:
            return self._same(gold, other)
        except (Unreadable, RecursionError):
            return None

    def _same(self, gold: Node, other: Node) -> bool | None:
        choice = self._choices(gold, other)
        if choice is not NotImplemented:
            return choice
        if gold == other and not isinstance(gold, SCALARS):
            return self._say("same", True)
        if are_orders(gold, other) and self._same_order(gold, other):
            return self._say("inequality", True)
        return self.settled(settle(gold, self.limits), settle(other, self.limits))

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
        special = self._integral_sets(a, b)
        if special is not NotImplemented:
            return special
        if isinstance(a, Named) or isinstance(b, Named):
            return self._named(a, b)
        records = record(a), record(b)
        if records[0] or records[1]:
            return self._records(a, b, *records)
        if isinstance(a, Builder | SetOp) or isinstance(b, Builder | SetOp):
            # A set whose condition was not understood: nothing is known about it.
            return self._say("set", None)
        if isinstance(a, Region) or isinstance(b, Region):
            a, b = (LINE if x == Sym("R") else x for x in (a, b))
            return self._say("interval", self._regions(a, b))
        if isinstance(a, Matrix) != isinstance(b, Matrix):
            a, b = as_matrix(a), as_matrix(b)
        if isinstance(a, Seq) or isinstance(b, Seq):
            return self._sequences(a, b)
        if isinstance(a, Chain) or isinstance(b, Chain):
            return self._relations(a, b)
        if isinstance(a, Ratio | Clock) or isinstance(b, Ratio | Clock):
            return self._say("ratio", same_ratios(a, b, self._plain))
        if isinstance(a, Matrix) and isinstance(b, Matrix):
            return self._say("matrix", self._matrices(a, b))
        return self._quantities(a, b)

    def _integral_sets(self, a: Settled, b: Settled) -> bool | None:
        """Residue classes and families, whatever name they are given; piecewise values."""
        one = a.value if isinstance(a, Named) else a
        two = b.value if isinstance(b, Named) else b
        if isinstance(one, Cases) and isinstance(two, Cases):
            return self._say("cases", self._cases(one, two))
        if (has_class(one) and (has_class(two) or has_family(two))) or (
            has_family(one) and has_class(two)
        ):  # fmt: skip
            if isinstance(one, Named | Region) or isinstance(two, Named | Region):
                return self._say("modular", False)
            known = same_classes(one, two, self.limits)
            if known is None and isinstance(one, Residue) and isinstance(two, Residue):
                known = self._classes(one, two)
            return self._say("modular", known)
        if isinstance(one, Family) or isinstance(two, Family):
            return self._say("family", self._families(one, two))
        return NotImplemented  # type: ignore[no-any-return]

    # -- names -------------------------------------------------------------------------------

    def _named(self, a: Settled, b: Settled) -> bool | None:
        if isinstance(a, Named) and isinstance(b, Named):
            if same_name(a.name, b.name):
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
        roots = as_roots(rest, indexed_name(a if one else b))
        if roots is not None:
            values = [value for _, value in record]
            return self._match(values, roots) if len(roots) == len(values) else False
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
        letters = several_choices(a), several_choices(b)
        if letters[0] and letters[1]:
            return self._say("choice", letters[0] == letters[1])
        a, b = as_point(a, b), as_point(b, a)
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
        if (a.joiner == "or") != (b.joiner == "or") and has_orders(a) and has_orders(b):
            return self._say(rule, False)
        one, two = list(a.items), list(b.items)
        if rule == "set":
            one, two = self._distinct(one), self._distinct(two)
        if len(one) != len(two) and (has_family(a) or has_family(b)):
            return self._say(rule, None)
        if len(one) != len(two):
            return self._say(rule, False)
        if len(one) > _MOST_MATCHED:
            return self._say(rule, same_numbers(one, two))
        result = self._match(one, two)
        return self._say(rule, result)

    def _distinct(self, items: list[Node]) -> list[Node]:
        items = list(dict.fromkeys(items))
        if len(items) > _MOST_DISTINCT:
            return items
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
        one, two = as_region(a, self.limits), as_region(b, self.limits)
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

    def _pieces(
        self, a: tuple[Node, Node, bool, bool], b: tuple[Node, Node, bool, bool]
    ) -> bool | None:
        if a[2:] != b[2:]:
            return False
        return every([self._plain(a[0], b[0]), self._plain(a[1], b[1])])

    def _same_order(self, gold: Node, other: Node) -> bool:
        assert isinstance(gold, Chain) and isinstance(other, Chain)
        return same_inequality(gold, other, self.limits, self._plain) is True

    # -- relations ---------------------------------------------------------------------------

    def _relations(self, a: Settled, b: Settled) -> bool | None:
        if not isinstance(a, Chain) or not isinstance(b, Chain):
            return self._say("relation", False)
        if a.relations == ("=",) and b.relations == ("=",):
            result = same_equation((a.items[0], a.items[1]), (b.items[0], b.items[1]), self.limits)
            return self._say("equation", result)
        return self._say("inequality", same_inequality(a, b, self.limits, self._plain))

    # -- small kinds -------------------------------------------------------------------------

    def _matrices(self, a: Matrix, b: Matrix) -> bool | None:
        if [len(row) for row in a.rows] != [len(row) for row in b.rows]:
            return False
        pairs = zip(sum(a.rows, ()), sum(b.rows, ()), strict=True)
        return every([self._plain(x, y) for x, y in pairs])

    def _cases(self, a: Cases, b: Cases) -> bool | None:
        """The same values under the same conditions; other ways to divide the line are unknown."""
        left = list(b.rows)
        for value, condition in a.rows:
            for row in left:
                if self._plain(condition, row[1]) is True and self._plain(value, row[0]) is True:
                    left.remove(row)
                    break
            else:
                return None
        return True if not left else None

    def _classes(self, a: Residue, b: Residue) -> bool | None:
        """Two classes whose numbers are not both known."""
        moduli = self.equal(a.modulus, b.modulus)
        return (self.equal(a.value, b.value) or None) if moduli is True else moduli

    def _families(self, a: Settled, b: Settled) -> bool | None:
        if isinstance(a, Family) and isinstance(b, Family):
            return same_family(a, b, self.limits)
        family, other = (a, b) if isinstance(a, Family) else (b, a)
        if isinstance(family, Family) and isinstance(other, SCALARS):
            # "k in Z" left out: the bare value still holds the parameter.
            if family.parameter not in symbols(other):
                return False
            return self.equal(family.value, other)
        return None if isinstance(other, Seq | Builder | SetOp | NamedSet) else False

    def _words(self, a: Settled, b: Settled) -> bool | None:
        """Texts, and sets with a name."""
        if isinstance(a, Text) and isinstance(b, Text):
            return self._say("text", same_words(a.words, b.words))
        if isinstance(a, NamedSet) and isinstance(b, NamedSet):
            return self._say("set", a.name == b.name)
        return self._say("kind", False)

    # -- values ------------------------------------------------------------------------------

    def _quantities(self, a: Settled, b: Settled) -> bool | None:
        if isinstance(a, Named | Region) or isinstance(b, Named | Region):
            return False
        if isinstance(a, Text | NamedSet) and isinstance(b, Text | NamedSet):
            return self._words(a, b)
        self.rule = "value"
        if isinstance(a, Sym) and isinstance(b, Sym):
            return self._say("letter", a.name.lower() == b.name.lower())
        if isinstance(a, Unit) or isinstance(b, Unit):
            return self._say("unit", same_units(a, b, self.equal))
        if isinstance(a, Percent) or isinstance(b, Percent):
            return self._say(
                "percent", same_percents(a, b, self.equal, optional=self.percent_optional)
            )
        if not isinstance(a, SCALARS) or not isinstance(b, SCALARS):
            return self._say("kind", False)
        result = self.equal(a, b)
        if result is True:
            return True
        one, two = degrees_of(a), degrees_of(b)
        radians = (one is None and contains(a, "pi")) or (two is None and contains(b, "pi"))
        if (one is None) != (two is None) and not radians:
            bare = self.equal(one if one is not None else a, two if two is not None else b)
            return self._say("degrees", either(bare, result))
        return result
