"""What kind of answer a gold answer is: inferred from its tree, or given by the caller.

A given type settles what notation leaves open: ``(1, 2)`` as a pair or an interval, ``ab`` as a
word or a product, ``A`` as a choice or a variable, ``1,234`` as one number or two. Leaves out:
comparing (``decide``).
"""

from __future__ import annotations

from butwait.transforms.verify.clean import clean_text
from butwait.transforms.verify.mode import AnswerType
from butwait.transforms.verify.readings import as_choice
from butwait.transforms.verify.tree import (
    SCALARS,
    Builder,
    Chain,
    Choice,
    Matrix,
    NamedSet,
    Node,
    Percent,
    Ratio,
    Seq,
    SetOp,
    Span,
    Sym,
    Text,
    Unit,
    Unreadable,
    symbols,
)
from butwait.transforms.verify.words import plain_words

# Types under which letters in a row are a product.
PRODUCT_TYPES = frozenset({"number", "expression", "equation", "inequality", "matrix"})


def infer_type(node: Node) -> AnswerType:
    """The type of answer that a tree is.

    >>> from butwait.transforms.verify.tree import Sym
    >>> infer_type(Sym("x"))
    'expression'
    """
    if isinstance(node, Chain):
        return "equation" if set(node.relations) <= {"=", "approx"} else "inequality"
    if isinstance(node, Seq):
        return "tuple" if node.kind == "tuple" else "set" if node.kind == "set" else "list"
    for kinds, name in _TYPES:
        if isinstance(node, kinds):
            return name
    return "expression" if isinstance(node, SCALARS) and symbols(node) else "number"


_TYPES: tuple[tuple[type | tuple[type, ...], AnswerType], ...] = (
    (Text, "text"),
    (Choice, "choice"),
    (Matrix, "matrix"),
    (Span, "interval"),
    ((SetOp, Builder, NamedSet), "set"),
)


def read_as(node: Node, text: str, answer_type: AnswerType) -> Node:
    """A tree read again as the type that was given.

    Args:
        node: The tree of ``text``, read without a type.
        text: The answer as written.
        answer_type: What the caller says the gold answer is.

    Raises:
        Unreadable: The answer is nothing of this type.
    """
    if answer_type == "text":
        cleaned = clean_text(text)
        return Text(plain_words(cleaned) or "".join(cleaned.lower().split()))
    found = _coerced(node, answer_type)
    if found is None:
        raise Unreadable(f"not of the type {answer_type}")
    return found


def _coerced(node: Node, answer_type: AnswerType) -> Node | None:
    if answer_type == "choice":
        choice = as_choice(node)
        return choice if isinstance(choice, Choice) else None
    if answer_type in ("number", "expression"):
        return _value(node, answer_type)
    if answer_type in ("tuple", "interval", "list"):
        return _collection(node, answer_type)
    if answer_type == "matrix":
        return _matrix(node)
    if answer_type == "set":
        shapes = Seq | SetOp | Span | Builder | NamedSet | Chain
        if isinstance(node, shapes):
            return node
        return Seq("set", (node,)) if isinstance(node, SCALARS) else None
    wanted = infer_type(node)
    if answer_type == "inequality" and isinstance(node, Span | SetOp | Seq | Builder | NamedSet):
        return node
    return node if wanted == answer_type else None


def _value(node: Node, answer_type: AnswerType) -> Node | None:
    if isinstance(node, Chain) and infer_type(node) == "equation":
        return node
    if isinstance(node, Choice) and node.body is None and answer_type == "expression":
        return Sym(node.letter)
    if isinstance(node, Percent | Unit | Ratio):
        return node
    if not isinstance(node, SCALARS) or (answer_type == "number" and symbols(node)):
        return None
    return node


def _collection(node: Node, answer_type: AnswerType) -> Node | None:
    if isinstance(node, Span) and answer_type == "tuple" and node.low_closed == node.high_closed:
        return Seq("tuple", (node.low, node.high))
    if answer_type == "interval":
        if isinstance(node, Seq) and node.kind == "tuple" and len(node.items) == 2:
            return Span(node.items[0], node.items[1], False, False)
        return node if isinstance(node, Span | SetOp | NamedSet | Builder | Chain | Seq) else None
    if answer_type == "list":
        if isinstance(node, Span):
            return Seq("list", (node.low, node.high))
        return Seq("list", node.items, node.joiner) if isinstance(node, Seq) else node
    return node if isinstance(node, Seq) or _is_record(node) else None


def _is_record(node: Node) -> bool:
    """``(x, y) = (1, 2)``."""
    return isinstance(node, Chain) and any(isinstance(item, Seq | Span) for item in node.items)


def _matrix(node: Node) -> Node | None:
    if isinstance(node, Matrix):
        return node
    if not isinstance(node, Seq) or node.kind != "tuple":
        return None
    rows: list[tuple[Node, ...]] = []
    for item in node.items:
        if isinstance(item, Span):
            rows.append((item.low, item.high))
        elif isinstance(item, Seq) and item.kind == "tuple":
            rows.append(item.items)
        else:
            return None
    return Matrix(tuple(rows)) if len({len(row) for row in rows}) == 1 else None
