"""Written numbers of more than one token: mixed numbers and repeating decimals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from butwait.transforms.verify.numerals import repeating
from butwait.transforms.verify.tree import Const, Node, Num, Sym, Unreadable

if TYPE_CHECKING:
    from butwait.transforms.verify.grammar import Scalars


def at_mixed_number(p: Scalars, left: Node) -> bool:
    """Whether ``left`` and what follows are a mixed number such as ``2 1/4``.

    Raises:
        Unreadable: Two numbers side by side that are not one.
    """
    # "2 1/4" is a mixed number; any other pair of numbers side by side is unreadable, but
    # "3! 5!" and "(n-2) 2^n" are products.
    slash = p.peek(1)
    down = p.peek(2)
    if (
        isinstance(left, Num)
        and left.literal
        and left.value.denominator == 1
        and slash.text == "/"
        and down.kind == "num"
        and p.next.value.denominator == 1
        and 0 < p.next.value < down.value
    ):
        return True
    if isinstance(left, Sym) and slash.text == "^":
        return False
    if isinstance(left, Num | Sym | Const):
        raise Unreadable("two numbers side by side")
    return False


def read_mixed(p: Scalars, left: Node) -> Node:
    """The mixed number that ``at_mixed_number`` saw."""
    assert isinstance(left, Num)
    up = p.take().value
    p.take()
    return Num(left.value + up / p.take().value, False)


def read_endless(p: Scalars, base: Num) -> Node:
    """A decimal that ends in dots, when its digits repeat."""
    digits = p.tokens[p.at - 1].text
    p.take()
    _, dot, tail = digits.partition(".")
    for size in range(1, len(tail) // 2 + 1):
        cycle = tail[-size:]
        times = 2 if size > 1 else 3
        if dot and tail.endswith(cycle * times):
            while tail.endswith(cycle):
                tail = tail[: -len(cycle)]
            return Num(repeating(digits.partition(".")[0], tail, cycle), False)
    raise Unreadable("an unfinished decimal")


def read_repeating(p: Scalars, text: str) -> Node:
    """A decimal whose cycle stands under a bar or between dots."""
    whole, _, fixed = text.partition(".")
    cycle = ""
    dotted: list[str] = []
    while p.saw("cmd", "overline", "dot"):
        dots = p.take().text == "dot"
        digits = _digits(p)
        cycle += digits
        if dots:
            dotted.append(digits)
            while len(dotted) == 1 and p.saw("num") and p.peek(1).text == "dot":
                cycle += p.take().text
    if not cycle:
        raise Unreadable("an empty cycle")
    return Num(repeating(whole, fixed, cycle), False)


def _digits(p: Scalars) -> str:
    braces = p.accept("open", "{")
    token = p.take()
    if braces:
        p.expect("close", "}")
    if token.kind != "num" or not token.text.isdigit():
        raise Unreadable("a cycle of digits")
    return token.text
