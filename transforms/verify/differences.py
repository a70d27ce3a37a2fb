"""Which parts of two structured answers differ, for a person."""

from __future__ import annotations

from butwait.transforms.verify.decide import Comparison
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.mode import Mode
from butwait.transforms.verify.region import Region
from butwait.transforms.verify.render import render
from butwait.transforms.verify.scalars import ExactStage
from butwait.transforms.verify.settle import Named, Settled, settle
from butwait.transforms.verify.staged import read_typed
from butwait.transforms.verify.tree import Matrix, Node, Seq, Unreadable

_MOST_LINES = 5


def differences(gold: str, answer: str, limits: Limits, mode: Mode) -> list[str]:
    """Sentences about the parts that differ; none for answers without parts.

    Args:
        gold: The gold answer without its box.
        answer: The answer that was extracted.
        limits: Bounds of the check.
        mode: Type that was given.
    """
    one, two = read_typed(gold, limits, mode), read_typed(answer, limits, mode)
    if isinstance(one, str) or isinstance(two, str):
        return []
    try:
        a, b = _inner(settle(one, limits)), _inner(settle(two, limits))
        return _Parts(limits).compare(a, b)[:_MOST_LINES]
    except (Unreadable, RecursionError):
        return []


def _inner(node: Settled) -> Settled:
    return node.value if isinstance(node, Named) else node


class _Parts:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.same = Comparison(ExactStage(limits).equal, limits).same

    def compare(self, a: Settled, b: Settled) -> list[str]:
        if isinstance(a, Region) and isinstance(b, Region):
            return self._regions(a, b)
        if isinstance(a, Matrix) and isinstance(b, Matrix):
            return self._matrices(a, b)
        if isinstance(a, Seq) and isinstance(b, Seq):
            if a.kind == b.kind == "tuple":
                return self._places(a.items, b.items)
            return self._elements(a.items, b.items)
        return []

    def _places(self, one: tuple[Node, ...], two: tuple[Node, ...]) -> list[str]:
        if len(one) != len(two):
            return [f"the gold has {len(one)} places, the answer {len(two)}"]
        return [
            f"place {k} differs: {self._text(a)} against {self._text(b)}"
            for k, (a, b) in enumerate(zip(one, two, strict=True), start=1)
            if self.same(a, b) is not True
        ]

    def _elements(self, one: tuple[Node, ...], two: tuple[Node, ...]) -> list[str]:
        if len(one) > 60 or len(two) > 60:
            return [f"the gold has {len(one)} values, the answer {len(two)}"]
        left, extra = list(two), []
        for item in one:
            for other in left:
                if self.same(item, other) is True:
                    left.remove(other)
                    break
            else:
                extra.append(item)
        return [f"missing: {self._text(item)}" for item in extra] + [
            f"not in the gold: {self._text(item)}" for item in left
        ]

    def _matrices(self, a: Matrix, b: Matrix) -> list[str]:
        sizes = [f"{len(m.rows)} by {len(m.rows[0])}" for m in (a, b)]
        if sizes[0] != sizes[1]:
            return [f"the gold is {sizes[0]}, the answer {sizes[1]}"]
        return [
            f"row {j}, column {k} differs: {self._text(x)} against {self._text(y)}"
            for j, (row, other) in enumerate(zip(a.rows, b.rows, strict=True), start=1)
            for k, (x, y) in enumerate(zip(row, other, strict=True), start=1)
            if self.same(x, y) is not True
        ]

    def _regions(self, a: Region, b: Region) -> list[str]:
        if len(a.pieces) != len(b.pieces):
            return [f"the gold has {len(a.pieces)} pieces, the answer {len(b.pieces)}"]
        found: list[str] = []
        for one, two in zip(a.pieces, b.pieces, strict=True):
            for end, x, y in (("left", one[0], two[0]), ("right", one[1], two[1])):
                if self.same(x, y) is not True:
                    found.append(f"the {end} end differs: {self._text(x)} against {self._text(y)}")
            for end, x_in, y_in in (("left", one[2], two[2]), ("right", one[3], two[3])):
                if x_in != y_in:
                    words = ("closed", "open") if x_in else ("open", "closed")
                    found.append(f"the {end} end is {words[0]} in the gold, {words[1]} here")
        return found

    def _text(self, node: Node) -> str:
        return render(node, self.limits)
