"""Seeded arithmetic and word problems whose every step is ``a op b = c`` with numbers from 0 to 99.

Four families: ``word`` (somebody buys, gives away, doubles, shares), ``shop`` (a bill, sometimes
with change), ``expr`` (a bracketed expression) and ``lineq`` (one unknown). A problem carries its
own solution as steps, so that a checker needs one regular expression and no judgement. Left out on
purpose: numbers above 99, negative numbers, fractions; they cost a tiny model minutes of training.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

LARGEST = 99
FAMILY_SHARES = {"word": 0.50, "shop": 0.15, "expr": 0.20, "lineq": 0.15}
NAMES = ("Ava", "Ben", "Eva", "Finn", "Gia", "Hugo", "Ivy", "Leo", "Mia", "Noah", "Ruth", "Tom")
THINGS = (
    "apples", "beads", "books", "cards", "coins", "eggs",
    "marbles", "pens", "rocks", "shells", "stamps", "toys",
)  # fmt: skip
_HELD_OUT = {"test": range(5), "validation": range(5, 8), "train": range(8, 100)}


@dataclass(frozen=True)
class Step:
    """One line of arithmetic, ``left op right = result``."""

    left: int
    op: str
    right: int
    result: int

    @property
    def text(self) -> str:
        """The line as a solution writes it."""
        return f"{self.left} {self.op} {self.right} = {self.result}"


@dataclass(frozen=True)
class Problem:
    """A problem and the steps that solve it; the last step's result is the answer."""

    family: str
    text: str
    steps: tuple[Step, ...]

    @property
    def answer(self) -> int:
        """The gold answer, 0 to 99."""
        return self.steps[-1].result

    @property
    def signature(self) -> str:
        """Operations and operands in order; names, things and wording are ignored."""
        return ";".join(f"{step.left}{step.op}{step.right}" for step in self.steps)

    @property
    def split(self) -> str:
        """The only split this problem may appear in, decided by its signature's SHA-256."""
        bucket = int(hashlib.sha256(self.signature.encode()).hexdigest(), 16) % 100
        return next(name for name, buckets in _HELD_OUT.items() if bucket in buckets)


def apply_op(left: int, op: str, right: int) -> Step:
    """Compute one step.

    Raises:
        ValueError: If the result is not a whole number from 0 to 99, or the operation is unknown.
    """
    if op == "/" and (right == 0 or left % right):
        raise ValueError(f"{left} / {right} is not a whole number")
    results = {"+": left + right, "-": left - right, "*": left * right}
    result = left // right if op == "/" else results[op]
    if not 0 <= result <= LARGEST:
        raise ValueError(f"{left} {op} {right} leaves 0..{LARGEST}")
    return Step(left, op, right, result)


def draw_problem(rng: random.Random) -> Problem:
    """Draw one problem; the family by its share, everything else by the same generator."""
    family = rng.choices(list(FAMILY_SHARES), list(FAMILY_SHARES.values()))[0]
    draw = {"word": _draw_word, "shop": _draw_shop, "expr": _draw_expr, "lineq": _draw_lineq}
    return draw[family](rng)


def _draw_word(rng: random.Random) -> Problem:
    name, other = rng.sample(NAMES, 2)
    thing = rng.choice(THINGS)
    held = rng.randint(2, 60)
    sentences = [f"{name} has {held} {thing}."]
    steps: list[Step] = []
    n_steps = rng.choice((2, 2, 3, 3, 4, 5))
    while len(steps) < n_steps:
        event = rng.choice(_possible_events(held))
        sentence, new_steps = _happen(rng, event, held, thing, other)
        sentences.append(f"{name} {sentence}.")
        steps += new_steps
        held = steps[-1].result
    sentences.append(f"How many {thing} does {name} have now?")
    return Problem("word", " ".join(sentences), tuple(steps))


def _possible_events(held: int) -> list[str]:
    possible = {
        "buys": held <= 90,
        "boxes": held <= 90,
        "gives": held >= 4,
        "loses": held >= 4,
        "doubles": 2 <= held <= 49,
        "triples": 2 <= held <= 33,
        "shares": bool(_divisors(held)),
    }
    return [event for event, can_happen in possible.items() if can_happen]


def _divisors(number: int) -> list[int]:
    return [d for d in range(2, 10) if number % d == 0 and number // d >= 2]


def _happen(
    rng: random.Random, event: str, held: int, thing: str, other: str
) -> tuple[str, list[Step]]:
    if event == "buys":
        n = rng.randint(2, min(60, LARGEST - held))
        return f"buys {n} more {thing}", [apply_op(held, "+", n)]
    if event == "boxes":
        room = LARGEST - held
        pairs = [(a, b) for a in range(2, 10) for b in range(2, 10) if a * b <= room]
        n_boxes, n_each = rng.choice(pairs)
        bought = apply_op(n_boxes, "*", n_each)
        sentence = f"buys {n_boxes} boxes with {n_each} {thing} each"
        return sentence, [bought, apply_op(held, "+", bought.result)]
    if event in ("gives", "loses"):
        n = rng.randint(2, held - 2)
        sentence = f"gives {n} {thing} to {other}" if event == "gives" else f"loses {n} {thing}"
        return sentence, [apply_op(held, "-", n)]
    if event in ("doubles", "triples"):
        factor = 2 if event == "doubles" else 3
        return f"{event} the number of {thing}", [apply_op(held, "*", factor)]
    n = rng.choice(_divisors(held))
    return f"shares them equally in {n} groups and keeps one group", [apply_op(held, "/", n)]


def _draw_shop(rng: random.Random) -> Problem:
    name = rng.choice(NAMES)
    first, second = rng.sample(THINGS, 2)
    (a, b), (c, d) = (_draw_bill(rng) for _ in range(2))
    steps = [apply_op(a, "*", b), apply_op(c, "*", d), apply_op(a * b, "+", c * d)]
    text = f"{name} buys {a} {first} for {b} dollars each and {c} {second} for {d} dollars each."
    if rng.random() < 0.5:
        paid = rng.randint(steps[-1].result + 1, LARGEST)
        steps.append(apply_op(paid, "-", steps[-1].result))
        text += f" {name} pays with {paid} dollars. How many dollars does {name} get back?"
    else:
        text += f" How many dollars does {name} pay?"
    return Problem("shop", text, tuple(steps))


def _draw_bill(rng: random.Random) -> tuple[int, int]:
    return rng.choice([(a, b) for a in range(2, 10) for b in range(2, 10) if a * b <= 49])


def _draw_expr(rng: random.Random) -> Problem:
    steps: list[Step] = []
    text, _ = _draw_tree(rng, rng.choice((2, 3, 3, 4)), steps)
    return Problem("expr", f"Compute {text}.", tuple(steps))


def _draw_tree(rng: random.Random, n_ops: int, steps: list[Step]) -> tuple[str, int]:
    """Append the steps of a random expression with ``n_ops`` operations; give text and value."""
    if n_ops == 0:
        value = rng.randint(2, 9) if rng.random() < 0.5 else rng.randint(2, 60)
        return str(value), value
    n_left = rng.randint(0, n_ops - 1)
    while True:
        mark = len(steps)
        left_text, left = _draw_tree(rng, n_left, steps)
        right_text, right = _draw_tree(rng, n_ops - 1 - n_left, steps)
        try:
            step = apply_op(left, rng.choice("+-*/"), right)
        except ValueError:
            del steps[mark:]
            continue
        steps.append(step)
        left_text = f"({left_text})" if n_left else left_text
        right_text = f"({right_text})" if n_left < n_ops - 1 else right_text
        return f"{left_text} {step.op} {right_text}", step.result


def _draw_lineq(rng: random.Random) -> Problem:
    shape = rng.randrange(4)
    factor = rng.randint(2, 9)
    unknown = rng.randint(1, LARGEST // factor - 1)
    if shape == 2:  # x / factor + shift
        whole = rng.randint(1, 11)
        total = apply_op(whole, "+", rng.randint(1, LARGEST - whole))
        left_side = f"x / {factor} + {total.right}"
        undo = (total.right, "-", factor, "*")
    elif shape == 3:  # (x + shift) * factor
        shift = rng.randint(1, LARGEST // factor - unknown)
        total = apply_op(unknown + shift, "*", factor)
        left_side = f"(x + {shift}) * {factor}"
        undo = (factor, "/", shift, "-")
    else:  # factor * x, plus or minus shift
        product, op = factor * unknown, "+-"[shape]
        shift = rng.randint(1, LARGEST - product if op == "+" else product)
        total = apply_op(product, op, shift)
        left_side = f"{factor} * x {op} {shift}"
        undo = (shift, "-+"[shape], factor, "/")
    first = apply_op(total.result, undo[1], undo[0])
    second = apply_op(first.result, undo[3], undo[2])
    return Problem("lineq", f"Solve {left_side} = {total.result} for x.", (first, second))
