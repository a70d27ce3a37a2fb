"""A tree as one line of plain text, the same for the same tree; bounded in length.

For records and people. Two answers with one text are equal; equal answers may have two texts.
"""

from __future__ import annotations

import hashlib

from butwait.transforms.verify.forms import Undefined, as_rational
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.scalars import exact_form
from butwait.transforms.verify.tree import (
    SCALARS,
    Add,
    Builder,
    Cases,
    Chain,
    Choice,
    Clock,
    Const,
    Div,
    Family,
    Fn,
    Matrix,
    Mul,
    NamedSet,
    Node,
    Num,
    Percent,
    PlusMinus,
    Pow,
    Ratio,
    Residue,
    Seq,
    SetOp,
    Span,
    Sym,
    Text,
    Unit,
    plain_value,
)

_MOST_CHARS = 300


def render(node: Node, limits: Limits) -> str:
    """The canonical text of an answer; a long one ends in a digest of the whole."""
    try:
        text = _shape(node, limits)
    except (RecursionError, Undefined):
        return "undefined"
    if len(text) <= _MOST_CHARS:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[:_MOST_CHARS]}... sha256:{digest}"


def _shape(node: Node, limits: Limits) -> str:
    if isinstance(node, SCALARS):
        return _scalar(node, limits)
    if isinstance(node, Seq):
        inner = ", ".join(_shape(item, limits) for item in node.items)
        left, right = {"tuple": "()", "set": "{}", "list": ("", "")}[node.kind]
        return f"{left}{inner}{right}"
    if isinstance(node, Span):
        left, right = "[" if node.low_closed else "(", "]" if node.high_closed else ")"
        return f"{left}{_shape(node.low, limits)}, {_shape(node.high, limits)}{right}"
    if isinstance(node, SetOp):
        return f" {node.op} ".join(_shape(item, limits) for item in node.items)
    if isinstance(node, Chain):
        parts = [_shape(node.items[0], limits)]
        for relation, item in zip(node.relations, node.items[1:], strict=True):
            parts += [_RELATIONS.get(relation, relation), _shape(item, limits)]
        return " ".join(parts)
    if isinstance(node, Matrix):
        return str([[_shape(cell, limits) for cell in row] for row in node.rows]).replace("'", "")
    return _small(node, limits)


def _small(node: Node, limits: Limits) -> str:
    if isinstance(node, Unit):
        dims = " ".join(name if n == 1 else f"{name}^{n}" for name, n in node.dims)
        return f"{_shape(Mul((node.value, node.factor)), limits)} {dims}"
    if isinstance(node, Percent):
        return f"{_shape(node.value, limits)}%"
    if isinstance(node, Ratio):
        return ":".join(_shape(item, limits) for item in node.items)
    if isinstance(node, Residue):
        return f"{_shape(node.value, limits)} mod {_shape(node.modulus, limits)}"
    if isinstance(node, Family):
        return f"{_shape(node.value, limits)} for {node.parameter} in {node.domain}"
    if isinstance(node, Cases):
        return "; ".join(f"{_shape(v, limits)} if {_shape(c, limits)}" for v, c in node.rows)
    if isinstance(node, Builder):
        domain = "" if node.domain is None else f" in {_shape(node.domain, limits)}"
        return f"{{{node.variable}{domain} | {_shape(node.condition, limits)}}}"
    if isinstance(node, Clock):
        return f"{node.hour}:{node.minute:02d} {node.half}".strip()
    if isinstance(node, Choice):
        return node.letter if node.body is None else f"{node.letter}: {_shape(node.body, limits)}"
    if isinstance(node, NamedSet):
        return node.name
    assert isinstance(node, Text)
    return node.words


def _scalar(node: Node, limits: Limits) -> str:
    value = plain_value(node)
    if value is None:
        form = exact_form(node, limits)
        value = as_rational(form) if form is not None else None
    if value is not None and value.numerator.bit_length() + value.denominator.bit_length() < 900:
        return str(value)
    return _expression(node)


def _expression(node: Node) -> str:
    if isinstance(node, Num):
        if max(node.value.numerator.bit_length(), node.value.denominator.bit_length()) > 900:
            return f"0x{node.value.numerator:x}/0x{node.value.denominator:x}"
        return str(node.value) if node.value.denominator == 1 else f"({node.value})"
    if isinstance(node, Sym | Const):
        return node.name
    if isinstance(node, Add):
        return "(" + " + ".join(map(_expression, node.items)) + ")"
    if isinstance(node, Mul):
        return "*".join(map(_expression, node.items))
    if isinstance(node, Div):
        return f"({_expression(node.num)})/({_expression(node.den)})"
    if isinstance(node, Pow):
        return f"({_expression(node.base)})^({_expression(node.exp)})"
    if isinstance(node, PlusMinus):
        return f"{'±' if node.sign > 0 else '∓'}{_expression(node.item)}"
    assert isinstance(node, Fn)
    return f"{node.name}({', '.join(map(_expression, node.args))})"


_RELATIONS = {"le": "<=", "ge": ">=", "ne": "!="}
