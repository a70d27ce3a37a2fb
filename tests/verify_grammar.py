"""Answers of every kind made at random, each with another spelling and with another answer.

One grammar, two drivers: a seeded ``random.Random`` for bulk runs, and hypothesis, whose
``randoms`` make the same choices and shrink them. Also dressings that keep the meaning. Leaves
out: the values of scalars (``verify_trees``), damage and hostile text (``verify_damage``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from random import Random

import verify_trees as trees
from hypothesis import strategies as st
from verify_trees import Tree, latex_of


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer, the same answer written otherwise, and another answer of the same kind.

    ``tree`` and ``same_tree`` are the expressions behind a scalar.
    """

    kind: str
    text: str
    same: str
    other: str
    tree: Tree | None = None
    same_tree: Tree | None = None
    other_tree: Tree | None = None


def _integer(rng: Random) -> Sample:
    n = rng.choice([rng.randint(0, 30), rng.randint(31, 10**6), rng.randint(10**6, 10**15)])
    sign = rng.choice(["", "", "-"])
    spellings = [f"{sign}{n}.0", f"{sign}0{n}", f"{sign}\\frac{{{2 * n}}}{{2}}", f"{sign}{n}"]
    if n > 999:
        spellings += [sign + f"{n:,}".replace(",", mark) for mark in (",", "{,}", "\\,", ",\\!")]
    if not sign:
        spellings.append(f"+{n}")
    return Sample("integer", f"{sign}{n}", rng.choice(spellings), f"{sign}{n + rng.randint(1, 9)}")


def _decimal(rng: Random) -> Sample:
    places = rng.randint(1, 6)
    n = rng.randint(1, 10**places * 30)
    value = Fraction(n, 10**places)
    text = f"{n // 10**places}.{n % 10**places:0{places}d}"
    same = rng.choice([text + "0", f"\\frac{{{n}}}{{{10**places}}}", f"{value}"])
    return Sample("decimal", text, same, rng.choice([text + "1", f"-{text}", f"1{text}"]))


def _mixed(rng: Random) -> Sample:
    whole, down = rng.randint(1, 40), rng.randint(2, 12)
    up = rng.randint(1, down - 1)
    same = f"\\frac{{{whole * down + up}}}{{{down}}}"
    other = f"\\frac{{{whole * up}}}{{{down}}}"
    return Sample("mixed", f"{whole}\\frac{{{up}}}{{{down}}}", same, other)


def _repeating(rng: Random) -> Sample:
    cycle = str(rng.randint(1, 998))
    nines = int("9" * len(cycle))
    same = rng.choice([f"0.({cycle})", f"\\frac{{{cycle}}}{{{nines}}}"])
    return Sample("repeating", f"0.\\overline{{{cycle}}}", same, f"0.{cycle * 3}")


def _scientific(rng: Random) -> Sample:
    a, k = rng.randint(10, 99), rng.choice([rng.randint(1, 40), -rng.randint(1, 40)])
    text, other = (f"{a // 10}.{a % 10} \\times 10^{{{e}}}" for e in (k, k + 1))
    same = rng.choice([f"{a}\\cdot 10^{{{k - 1}}}", f"{a}*10^{{{k - 1}}}", f"{a}e{k - 1}"])
    return Sample("scientific", text, same, other)


def _scalar(rng: Random, names: tuple[str, ...] = ("x", "y"), kind: str = "scalar") -> Sample:
    tree = trees.scalar_tree(rng, rng.randint(1, 4), names)
    same, other = trees.rewritten(tree, rng), trees.altered(tree, rng)
    return Sample(kind, latex_of(tree, rng), latex_of(same, rng), latex_of(other, rng),
                  tree, same, other)  # fmt: skip


def _constant(rng: Random) -> Sample:
    return _scalar(rng, (), "constant")


def _rational(rng: Random) -> Sample:
    tree = trees.rational_tree(rng, rng.randint(1, 3))
    same, other = trees.rewritten(tree, rng, 1), trees.altered(tree, rng)
    return Sample("rational", latex_of(tree, rng), latex_of(same, rng), latex_of(other, rng),
                  tree, same, other)  # fmt: skip


_VALUES = (
    "0", "1", "2", "3", "7", "-1", "-4", "\\frac{1}{2}", "-\\frac{3}{5}", "\\sqrt{2}", "\\pi",
    "2\\sqrt{3}", "x+1", "2k", "1-\\sqrt{5}", "0.25", "12", "\\frac{\\pi}{4}",
)  # fmt: skip


def _several(rng: Random, least: int = 2, most: int = 5) -> tuple[list[str], list[str]]:
    """Values that differ, and the same values, one of them perhaps written otherwise."""
    texts = rng.sample(_VALUES, rng.randint(least, most))
    same = list(texts)
    if rng.random() < 0.4:
        tree = trees.scalar_tree(rng, 2, ())
        if trees.values_differ(tree, tree, rng, 1)[0] is False:
            texts.append(latex_of(tree, rng))
            same.append(latex_of(trees.rewritten(tree, rng), rng))
    return texts, same


def _changed(items: list[str], rng: Random) -> list[str]:
    """The list with one item replaced by a value that is not in it."""
    k = rng.randrange(len(items))
    return [*items[:k], "101", *items[k + 1 :]]


def _set(rng: Random) -> Sample:
    items, same = _several(rng)
    turned = [*rng.sample(same, len(same)), rng.choice(same)]
    text = f"\\{{{', '.join(items)}\\}}"
    same = f"\\left\\{{{', '.join(turned)}\\right\\}}"
    return Sample("set", text, same, f"\\{{{', '.join(_changed(items, rng))}\\}}")


def _list(rng: Random) -> Sample:
    items, same = _several(rng)
    turned = rng.sample(same, len(same))
    joined = rng.choice([", ", " \\text{ and } ", " \\text{ or } "])
    return Sample("list", ", ".join(items), joined.join(turned), ", ".join(_changed(items, rng)))


def _tuple(rng: Random) -> Sample:
    items, same = _several(rng, 2, 4)
    turned = [*items[1:], items[0]]
    return Sample("tuple", f"({', '.join(items)})", f"\\left({', '.join(same)}\\right)",
                  f"({', '.join(turned)})")  # fmt: skip


def _interval(rng: Random) -> Sample:
    low, gap = rng.randint(-20, 20), rng.randint(1, 9)
    left, right = rng.choice("(["), rng.choice(")]")
    ends = ("<" if left == "(" else "\\le"), ("<" if right == ")" else "\\leq")
    flipped = "[" if left == "(" else "("
    text = f"{left}{low}, {low + gap}{right}"
    same = f"\\left{left}{low},{low + gap}\\right{right}"
    # Both ends open could be a pair, which is no inequality.
    if left + right != "()" and rng.random() < 0.5:
        same = f"{low} {ends[0]} x {ends[1]} {low + gap}"
    return Sample("interval", text, same, f"{flipped}{low}, {low + gap}{right}")


def _union(rng: Random) -> Sample:
    a = rng.randint(-9, 9)
    b = a + rng.randint(1, 6)
    text = f"(-\\infty, {a}) \\cup [{b}, \\infty)"
    same = rng.choice([f"[{b},\\infty)\\cup(-\\infty,{a})", f"x<{a} \\text{{ or }} x\\ge {b}"])
    return Sample("union", text, same, f"(-\\infty, {a}] \\cup [{b}, \\infty)")


def _inequality(rng: Random) -> Sample:
    a = rng.randint(1, 20)
    name = rng.choice(["<", ">", "\\le", "\\ge"])
    back = {"<": ">", ">": "<", "\\le": "\\geq", "\\ge": "\\leq"}
    same = rng.choice([f"{a} {back[name]} x", f"3x {name} {3 * a}"])
    return Sample("inequality", f"x {name} {a}", same, f"x {back[name]} {a}")


def _equation(rng: Random) -> Sample:
    a, b, k = rng.randint(2, 9), rng.randint(1, 20), rng.randint(2, 5)
    text = f"y = {a}x + {b}"
    same = rng.choice([f"{a}x - y + {b} = 0", f"{k}y = {k * a}x + {k * b}", f"y-{b}={a}x"])
    return Sample("equation", text, same, f"y = {a}x - {b}")


def _named(rng: Random) -> Sample:
    value = rng.choice([value for value in _VALUES if "x" not in value])
    name = rng.choice(["x", "a", "n", "x_{1}", "f(2)"])
    return Sample("named", f"{name} = {value}", rng.choice([value, f"{name}={value}"]),
                  f"{name} = {value}+1")  # fmt: skip


def _matrix(rng: Random) -> Sample:
    n_rows, n_columns = rng.randint(2, 4), rng.randint(1, 4)
    cells = [[str(rng.randint(-9, 9)) for _ in range(n_columns)] for _ in range(n_rows)]
    cells[-1][0] = rng.choice([cells[-1][0], *_VALUES])
    other = [[*cells[0][:-1], "77"], *cells[1:]]

    def write(rows: list[list[str]], kind: str) -> str:
        body = " \\\\ ".join(" & ".join(row) for row in rows)
        return f"\\begin{{{kind}}} {body} \\end{{{kind}}}"

    return Sample("matrix", write(cells, "pmatrix"), write(cells, "bmatrix"),
                  write(other, "pmatrix"))  # fmt: skip


_UNITS = (("m", "cm", 100), ("km", "m", 1000), ("hours", "minutes", 60), ("kg", "g", 1000),
          ("cm", "mm", 10), ("minutes", "seconds", 60), ("dollars", "cents", 100))  # fmt: skip


def _unit(rng: Random) -> Sample:
    big, small, factor = rng.choice(_UNITS)
    n = rng.randint(2, 90)
    same = rng.choice([f"{n * factor} \\text{{ {small}}}", f"{n}\\text{{ {big}}}", f"{n}"])
    return Sample("unit", f"{n} \\text{{ {big}}}", same, f"{n} \\text{{ {small}}}")


def _percent(rng: Random) -> Sample:
    n = rng.randint(1, 140)
    same = rng.choice([f"{n}%", f"{n}\\text{{ percent}}", f"\\frac{{{n}}}{{100}}", f"{n}.0\\%"])
    return Sample("percent", f"{n}\\%", same, f"{n + 1}\\%")


def _degrees(rng: Random) -> Sample:
    n = rng.randint(1, 359)
    same = rng.choice(
        [f"{n}°", f"{n}^{{\\circ}}", f"{n}\\text{{ degrees}}", f"\\frac{{{n}\\pi}}{{180}}"]
    )
    return Sample("degrees", f"{n}^\\circ", same, f"{n + 1}^\\circ")


_WORDS = ("Monday", "even", "odd", "no solution", "isosceles triangle", "always", "ellipse",
          "the second one", "parabola", "True", "False", "infinitely many")  # fmt: skip


def _text(rng: Random) -> Sample:
    one, two = rng.sample(_WORDS, 2)
    same = rng.choice([one.upper(), f"\\text{{{one}}}", f"\\textbf{{{one}}}.", one.lower()])
    return Sample("text", one, same, two)


def _choice(rng: Random) -> Sample:
    one, two = rng.sample("ABCDE", 2)
    same = rng.choice([f"({one})", f"\\text{{({one})}}", f"\\textbf{{{one}}}", f"{one}."])
    return Sample("choice", one, same, two)


def _residue(rng: Random) -> Sample:
    m = rng.randint(3, 19)
    a = rng.randint(0, m - 1)
    return Sample("residue", f"x \\equiv {a} \\pmod{{{m}}}", f"{a + m} \\pmod {m}",
                  f"x \\equiv {a + 1} \\pmod{{{m}}}")  # fmt: skip


def _based(rng: Random) -> Sample:
    n, base = rng.randint(9, 500), rng.randint(2, 9)
    digits, rest = "", n
    while rest:
        digits, rest = str(rest % base) + digits, rest // base
    return Sample("based", f"{digits}_{{{base}}}", rng.choice([f"{digits}_{base}", str(n)]),
                  f"{digits}_{{{base + 1}}}")  # fmt: skip


def _plus_minus(rng: Random) -> Sample:
    a, b = rng.randint(1, 9), rng.choice([2, 3, 5, 7])
    same = f"{a} - \\sqrt{{{b}}}, {a} + \\sqrt{{{b}}}"
    return Sample("plus-minus", f"{a} \\pm \\sqrt{{{b}}}", same, f"{a} \\pm \\sqrt{{{b + 1}}}")


def _complex(rng: Random) -> Sample:
    a, b = rng.randint(1, 9), rng.randint(2, 9)
    return Sample("complex", f"{a}+{b}i", f"{b}i + {a}", f"{a}-{b}i")


def _ratio(rng: Random) -> Sample:
    # Not two digits at the end: "3:14" may be a time of day.
    a, b, k = rng.randint(1, 4), rng.randint(5, 9), rng.choice([100, 121, 250])
    return Sample("ratio", f"{a}:{b}", f"{k * a}:{k * b}", f"{b}:{a}")


def _clock(rng: Random) -> Sample:
    hour, minute = rng.randint(1, 12), rng.randint(0, 59)
    text = f"{hour}:{minute:02d} \\text{{ p.m.}}"
    return Sample("clock", text, f"\\text{{{hour}:{minute:02d} p.m.}}",
                  text.replace("p.m.", "a.m."))  # fmt: skip


def _huge(rng: Random) -> Sample:
    a, k = rng.randint(2, 9), rng.choice([40, 300, 5_000, 10**9])
    return Sample("huge", f"{a}^{{{k}}}", f"{a}\\cdot {a}^{{{k - 1}}}", f"{a}^{{{k}}} + 1")


_IDENTITIES = (
    ("\\sin 2x", "2\\sin x\\cos x", "2\\sin x"),
    ("\\cos 3x", "4\\cos^3 x - 3\\cos x", "4\\cos^3 x - 2\\cos x"),
    ("1", "\\sin^2 x + \\cos^2 x", "\\sin^2 x - \\cos^2 x"),
    ("\\sec^2 x", "1 + \\tan^2 x", "1 - \\tan^2 x"),
    ("\\ln 12", "2\\ln 2 + \\ln 3", "2\\ln 3 + \\ln 2"),
    ("\\log_2 3", "\\frac{\\ln 3}{\\ln 2}", "\\frac{\\ln 2}{\\ln 3}"),
    ("\\sqrt{5+2\\sqrt{6}}", "\\sqrt{2}+\\sqrt{3}", "\\sqrt{2}+\\sqrt{5}"),
    ("\\arctan\\frac{1}{2}+\\arctan\\frac{1}{3}", "\\frac{\\pi}{4}", "\\frac{\\pi}{3}"),
    ("n!", "n(n-1)!", "n(n+1)!"),
    ("\\binom{n}{2}", "\\frac{n(n-1)}{2}", "\\frac{n(n+1)}{2}"),
    ("x^3 - y^3", "(x-y)(x^2+x y+y^2)", "(x-y)(x^2-x y+y^2)"),
    ("\\frac{x^2-1}{x-1}", "x+1", "x-1"),
    ("4^n", "2^{2n}", "2^{n+2}"),
    ("e^{i\\pi}", "-1", "1"),
    ("|x|", "\\sqrt{x^2}", "x"),
    ("\\cos 36^\\circ", "\\frac{1+\\sqrt{5}}{4}", "\\frac{\\sqrt{5}-1}{4}"),
    ("\\sinh x", "\\frac{e^x-e^{-x}}{2}", "\\frac{e^x+e^{-x}}{2}"),
)


def _identity(rng: Random) -> Sample:
    text, same, other = rng.choice(_IDENTITIES)
    name = rng.choice("xntu")
    if "n!" not in text and "binom" not in text:
        text, same, other = (
            re.sub(r"(?<![A-Za-z\\])x(?![A-Za-z])", name, part) for part in (text, same, other)
        )
    return Sample("identity", text, same, other)


MAKERS: dict[str, Callable[[Random], Sample]] = {
    "integer": _integer, "decimal": _decimal, "mixed": _mixed, "repeating": _repeating,
    "scientific": _scientific, "scalar": _scalar, "constant": _constant, "rational": _rational,
    "set": _set, "list": _list, "tuple": _tuple, "interval": _interval, "union": _union,
    "inequality": _inequality, "equation": _equation, "named": _named, "matrix": _matrix,
    "unit": _unit, "percent": _percent, "degrees": _degrees, "text": _text, "choice": _choice,
    "residue": _residue, "based": _based, "plus-minus": _plus_minus, "complex": _complex,
    "ratio": _ratio, "clock": _clock, "huge": _huge, "identity": _identity,
}  # fmt: skip


def sample(rng: Random, kind: str | None = None) -> Sample:
    """One answer; of any kind, expressions most often, when none is named."""
    if kind is None:
        heavy = ["scalar"] * 6 + ["constant"] * 3 + ["rational"] * 6
        kind = rng.choice([*MAKERS, *heavy])
    return MAKERS[kind](rng)


def samples(*kinds: str) -> st.SearchStrategy[Sample]:
    """Hypothesis draws of these kinds, or of all."""
    randoms = st.randoms(use_true_random=False)
    return st.builds(
        lambda rng, kind: sample(rng, kind), randoms, st.sampled_from(kinds or tuple(MAKERS))
    )


# -- dressings that keep the meaning --------------------------------------------------------------

_TOKENS = re.compile(
    r"\\(?:text|textbf|mathrm|begin|end) ?\{[^{}]*\}|\\[A-Za-z]+ ?|\\.|\d[\d.,]*|[A-Za-z]+|\s+|."
)
_ROOMY = frozenset({"+", "-", "=", "<", ">", "*"})
_ROOMY_COMMANDS = frozenset({"\\cdot", "\\times", "\\le", "\\ge", "\\leq", "\\geq", "\\cup"})
_SPACES = (" ", "  ", "\\,", "\\;", "\\!", "\\ ", "\\:", "\u00a0", "\u2009", "~", "\\quad ")


def spaced(text: str, rng: Random) -> str:
    """Spaces of all sorts around operators, where TeX and people may put them."""
    parts = []
    for token in _TOKENS.findall(text):
        if token in _ROOMY or token.strip() in _ROOMY_COMMANDS:
            token = f"{rng.choice(_SPACES)}{token}{rng.choice(_SPACES)}"
        parts.append(token)
    return "".join(parts)


def sized_brackets(text: str, rng: Random) -> str:
    """Round brackets and set braces with ``\\left`` and ``\\right`` where they match."""
    if "\\left" in text or text.count("(") != text.count(")"):
        return text
    text = text.replace("(", "\\left(").replace(")", "\\right)")
    return text.replace("\\{", "\\left\\{").replace("\\}", "\\right\\}")


def refracted(text: str, rng: Random) -> str:
    """Another command for the same fraction."""
    plain = re.sub(r"\\[dtc]frac", r"\\frac", text)
    return plain.replace("\\frac", rng.choice(["\\dfrac", "\\tfrac", "\\frac", "\\cfrac"]))


def delimited(text: str, rng: Random) -> str:
    """Math delimiters around the whole."""
    left, right = rng.choice(
        [("$", "$"), ("\\(", "\\)"), ("$$", "$$"), ("\\[", "\\]"), ("$ ", " $")]
    )
    return f"{left}{text}{right}"


def stopped(text: str, rng: Random) -> str:
    """A full stop after the answer."""
    return text + rng.choice([".", " .", ".  "])


DRESSINGS: dict[str, Callable[[str, Random], str]] = {
    "spaces": spaced, "left and right": sized_brackets, "fraction commands": refracted,
    "delimiters": delimited, "full stop": stopped,
}  # fmt: skip
