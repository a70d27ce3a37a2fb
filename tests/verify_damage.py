"""Text that no answer should be: damage, a Unicode zoo, code in every position, sizes that explode.

Shared by the property tests and the bulk run. Leaves out: well-formed answers (``verify_grammar``).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from verify_grammar import DRESSINGS, Sample, sample

MARK = "VERIFIER_RAN_THIS"

SNIPPETS = (
    f"__import__('os').system('touch {MARK}')",
    f"exec(\"open('{MARK}','w')\")",
    f'eval(\'__import__("pathlib").Path("{MARK}").touch()\')',
    f"$(touch {MARK})",
    f"`touch {MARK}`",
    f"; touch {MARK} #",
    f"\\write18{{touch {MARK}}}",
    f"\\immediate\\write18{{touch {MARK}}}",
    "\\input{/etc/passwd}",
    "\\include{/etc/passwd}",
    "\\def\\x{\\x\\x}\\x",
    "\\csname end\\endcsname",
    "{{7*7}}",
    "${7*7}",
    "<%= 7*7 %>",
    "{0.__class__.__mro__}",
    "%s%s%s%n",
    "%(x)s",
    "{gold!r:>9999999}",
    "().__class__.__bases__[0].__subclasses__()",
    "lambda: 0",
    "open('/etc/passwd').read()",
    "cos\nsystem",
    "!!python/object/apply:os.system ['touch x']",
    "\ud800",
    "\udfff\ud800",
    "1\udc80",
    "\x00",
    "1\x002",
    "\x1b[31m5\x1b[0m",
    "\u202e5\u202c",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    '{"gold": "5", "report": "ready"}',
    "\x00\x00\x00\x05{}",
    "../../../../etc/passwd",
    "Integer(5).__class__",
    "Symbol('x')",
    "sympify('2')",
    "E**(I*pi)",
    "nan",
    "inf",
    "-inf",
    "1e999999999",
    "0x" + "f" * 300,
    "1_000",
    "True",
    "None",
)


def in_every_position(snippet: str) -> list[str]:
    """The same text wherever a value, name or argument can stand."""
    return [
        snippet,
        f"\\text{{{snippet}}}",
        f"\\frac{{{snippet}}}{{2}}",
        f"\\frac{{1}}{{{snippet}}}",
        f"f({snippet})",
        f"x_{{{snippet}}}",
        f"2^{{{snippet}}}",
        f"\\sqrt[{snippet}]{{2}}",
        f"\\{{{snippet}, 1\\}}",
        f"({snippet}, 1]",
        f"x = {snippet}",
        f"{snippet} = 5",
        f"x < {snippet}",
        f"5 {snippet}",
        f"5 \\text{{ {snippet}}}",
        f"\\operatorname{{{snippet}}}(3)",
        f"\\begin{{{snippet}}} 1 \\end{{{snippet}}}",
        f"\\begin{{pmatrix}} {snippet} & 1 \\end{{pmatrix}}",
        f"(A) {snippet}",
        f"101_{{{snippet}}}",
    ]


# -- a Unicode zoo --------------------------------------------------------------------------------

_ZOO = (
    "½⅓⅞↉", "²³⁴ⁿ⁻¹", "₁₂₃ₙ", "٠١٢٣٤", "०१२३", "一二三", "１２３", "𝟏𝟐𝟑", "Ⅳⅷ", "①②⑳", "㈠㊿",
    "√∛∜", "π∞∅ℝℤ", "≤≥≠≈≡", "∪∩∈∖", "×÷·⋅", "−–—‐", "°′″", "µμΩΩ", "éé", "ﬁﬂ", "ßſ", "ǅ",
    "İı", "\u200b\u200c\u200d\ufeff", "\u202e\u2066\u2069", "\u00a0\u2003\u3000", "\u0300\u0301",
    "1\u0305\u0307\u0332",
    "😀👨‍👩‍👧🏽", "🇫🇷", "\U000e0041", "\ufffd\uffff", "\U0010ffff", "\x7f\x80\x9f",
    "\u2028\u2029", "𝒙𝐱𝔵", "ａｂｃＡ", "（１，２）", "｛１｝", "［１）",
    "‰％﹪", "€£¥₹¢", "∑∏∫∂∇", "⟨⟩⌊⌋",
    "…⋯", "‼⁉", "½½", "2½", "x̄", "x⃗", "ℯⅈℓ", "⁄∕", "٫٬", "﷽", "꧁꧂",
)  # fmt: skip


def zoo(rng: Random) -> str:
    """A few characters from everywhere."""
    parts = [rng.choice(_ZOO) for _ in range(rng.randint(1, 3))]
    parts += [chr(rng.randrange(0x110000)) for _ in range(rng.randint(0, 3))]
    parts += [rng.choice(["1", "x", "+", "^", "_", "{", "}", "\\frac", ""]) for _ in range(2)]
    rng.shuffle(parts)
    return "".join(parts)


# -- damage ---------------------------------------------------------------------------------------

_BITS = (
    "{", "}", "\\", "$", "(", ")", "[", "]", "^", "_", "|", "\\frac", "\\left", "\\right.", "&",
    "\\sqrt", "\\text{", "!", "!!", "'", ",", ";", ":", "=", "<", "\\in", "\\cup", "%", "\\%", "-",
    "+", "/", "*", "9", "0", ".", "e", "i", "x", "\\pi", "\\infty", "or", "and", "\\pm", "\\begin{",
    "\\end{pmatrix}", "\\\\", "\\boxed{", "\\cdot", "^\\circ", "cm", "mod", "\\pmod", "...",
    "\\overline{", "\\binom", "\\log_", "~", "`", "#", "@", "\n", "\t",
)  # fmt: skip


def damaged(text: str, rng: Random) -> str:
    """The text with one to four characters or pieces lost, doubled, moved, cut or put in."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(text))
        change = rng.randrange(6)
        if change == 0:
            text = text[:at] + text[at + 1 :]
        elif change == 1:
            text = text[:at] + rng.choice(_BITS) + text[at:]
        elif change == 2:
            end = rng.randint(at, len(text))
            text = text[:at] + text[at:end] * 2 + text[end:]
        elif change == 3:
            text = text[at:] + text[:at]
        elif change == 4:
            text = text[: at + 1]
        else:
            text = text[:at] + rng.choice(_BITS) + text[at + 1 :]
        text = text[:4_000]
    return text


def hostile(rng: Random) -> str:
    """Code, a piece of the zoo, two pieces over and over, or pieces in no order."""
    pick = rng.randrange(4)
    if pick == 0:
        return rng.choice(in_every_position(rng.choice(SNIPPETS)))
    if pick == 1:
        return zoo(rng)
    if pick == 2:
        one, two, n = rng.choice(_BITS), rng.choice(_BITS), rng.choice([9, 60, 900])
        return rng.choice([(one + two) * n, one * n + two * n, one * n + "1" + two * n])
    return " ".join(rng.choice(_BITS) for _ in range(rng.randint(1, 25)))


# -- pairs of everything --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers and how the second was made; ``one`` is the sample behind same and other."""

    gold: str
    answer: str
    how: str
    kind: str
    one: Sample | None = None


def pair_of(seed: int, index: int) -> Pair:
    """The pair of that number; the same one in every process."""
    rng = Random(f"{seed}:{index}")
    one = sample(rng)
    pick = rng.random()
    if pick < 0.3:
        return Pair(one.text, one.same, "same", one.kind, one)
    if pick < 0.5:
        return Pair(one.text, one.other, "other", one.kind, one)
    if pick < 0.65:
        name = rng.choice(list(DRESSINGS))
        return Pair(one.text, DRESSINGS[name](one.text, rng), f"dressed: {name}", one.kind)
    if pick < 0.75:
        two = sample(rng, one.kind if rng.random() < 0.5 else None)
        return Pair(one.text, two.text, "cross", one.kind)
    if pick < 0.9:
        return Pair(one.text, damaged(one.text, rng), "damaged", one.kind)
    if pick < 0.94:
        return Pair(damaged(one.text, rng), damaged(one.same, rng), "both damaged", one.kind)
    text = hostile(rng)
    return Pair(text, rng.choice([text, one.text, damaged(text, rng)]), "hostile", one.kind)


# -- sizes that explode ---------------------------------------------------------------------------


def _continued(n: int) -> str:
    return "1+\\frac{1}{" * n + "2" + "}" * n


def _sums(n: int) -> str:
    return "+".join(f"\\sqrt{{{k}}}" for k in range(2, n))


BOMBS: dict[str, str] = {
    "tower": "9^{9^{9^{9}}}",
    "tower of twos": "2^{2^{2^{2^{2^{2^{2}}}}}}",
    "tower of a variable": "2^{2^{2^{2^{2^{x}}}}}",
    "tower upwards": "((((((9^9)^9)^9)^9)^9)^9)^9",
    "tower in a fraction": "\\frac{9^{9^{9^{9}}}+1}{9^{9^{9}}-1}",
    "tower minus tower": "9^{9^{9^{9}}} - 9^{9^{9^{9}}} + 5",
    "tower of fractions": "(1/3)^{(1/3)^{(1/3)^{-99999}}}",
    "negative tower": "10^{-10^{10^{10}}}",
    "power of two to sixty": "2^{2^{60}}",
    "remainder of a power": "2^{2^{60}} \\bmod (10^{9}+7)",
    "remainder by a tower": "5 \\bmod 9^{9^{9^{9}}}",
    "residue class": "x \\equiv 7^{7^{7^{7}}} \\pmod{10^{30}+57}",
    "huge modulus": "x \\equiv 3 \\pmod{9^{9^{9}}}",
    "factorial": "10^{10^{10}}!",
    "factorial of factorial": "((9!)!)!",
    "many factorials": "3" + "!" * 500,
    "double factorial": "(10^{9})!!",
    "binomial": "\\binom{10^9}{5 \\cdot 10^8}",
    "binomial of a tower": "\\binom{9^{9^{9}}}{3}",
    "permutations": "P(10^9, 10^8)",
    "gcd": "\\gcd(10^{5000}+1, 10^{4999}+3)",
    "digits": "9" * 60_000,
    "decimal digits": "0." + "123456789" * 6_600,
    "digits below the limit": "7" * 9_900,
    "repeating digits": "0.\\overline{" + "1234567" * 1_300 + "}",
    "exponent digits": "1e9999",
    "written exponent": "10^{" + "9" * 4_000 + "}",
    "grouped digits": "1" + ",000" * 3_000,
    "braces": "{" * 60_000,
    "balanced braces": "{" * 4_900 + "1" + "}" * 4_900,
    "brackets": "(" * 30_000 + ")" * 30_000,
    "square and round": "([" * 20_000,
    "backslashes": "\\" * 60_000,
    "dollars": "$" * 60_000,
    "carets": "2" + "^" * 60_000,
    "underscores": "x" + "_" * 60_000,
    "minus signs": "-" * 9_000 + "5",
    "bars": "|" * 9_000 + "x" + "|" * 900,
    "commas": "," * 60_000,
    "spaces": "5" + " " * 59_000 + "5",
    "boxes": "\\boxed{" * 8_000 + "5" + "}" * 8_000,
    "think tags": "<think>" * 8_000 + "5" + "</think>" * 8_000,
    "answer tags": "<answer>" * 7_000 + "5" + "</answer>" * 7_000,
    "hedges": "either " * 8_000,
    "labels": "the final answer is " * 3_000,
    "lines": "\n\n" * 30_000,
    "text in text": "\\text{" * 1_200 + "5" + "}" * 1_200,
    "left without right": "\\left(" * 1_600,
    "nested fractions": "\\frac{1}{" * 1_000 + "2" + "}" * 1_000,
    "fractions on top": "\\frac{" * 1_000 + "1" + "}{2}" * 1_000,
    "continued fraction": _continued(45),
    "long continued fraction": _continued(110),
    "continued fraction of x": "x+\\frac{1}{" * 40 + "x" + "}" * 40,
    "nested radicals": "\\sqrt{2+" * 50 + "2" + "}" * 50,
    "nested radicals of x": "\\sqrt{1+" * 50 + "x" + "}" * 50,
    "sum of radicals": _sums(120),
    "numerals": "三" * 9_000,
    "parts in Chinese": "三分之" * 3_000,
    "groups in a group": "5" + "{a}" * 3_000,
    "matrix power": "\\begin{pmatrix}a&b&c\\\\d&f&g\\\\h&j&k\\end{pmatrix}^{12}",
    "powers in a set": "\\{"
    + ",".join(f"(x+{k})^4(y+{k + 1})^4(z+{k})^2" for k in range(60))
    + "\\}",
    "product of radicals": "".join(f"(1+\\sqrt{{{k}}})" for k in range(2, 40)),
    "quotient of radicals": "\\frac{1}{" + _sums(24) + "}",
    "power of a radical": "(1+\\sqrt{2}+\\sqrt{3}+\\sqrt[3]{5})^{400}",
    "power of a sum": "(a+b+c+d+e)^{80}",
    "huge power of a sum": "(a+b)^{10^{9}}",
    "quotient of powers": "\\frac{(x+1)^{900}-1}{(x-2)^{700}+y}",
    "product of sums": "".join(f"(x_{{{k}}}+{k})" for k in range(1, 60)),
    "power of a complex": "(1+2i)^{100000}",
    "sines": "\\sin(" * 60 + "x" + ")" * 60,
    "sines of one": "\\sin(" * 60 + "1" + ")" * 60,
    "exponentials": "e^{" * 50 + "x" + "}" * 50,
    "exponentials of one": "e^{" * 7 + "1" + "}" * 7,
    "logarithms": "\\ln(" * 60 + "10^{10^{5}}" + ")" * 60,
    "logarithm of a tower": "\\log_{2}(9^{9^{9^{9}}})",
    "sine of a tower": "\\sin(10^{10^{10}})",
    "floor of a tower": "\\lfloor 9^{9^{9}} \\pi \\rfloor",
    "cosine of many multiples": "\\cos(99x)+\\cos(98x)\\sin(97y)",
    "product of cosines": "".join(f"\\cos({k}x)" for k in range(1, 40)),
    "tangents": "\\tan(x+\\tan(x+\\tan(x+\\tan(x+\\tan(x)))))",
    "plus-minus": "\\pm 1" * 300,
    "nested plus-minus": "\\pm\\sqrt{1" * 30 + "}" * 30,
    "set": "\\{" + ", ".join(map(str, range(1_900))) + "\\}",
    "five thousand items": "\\{" + ",".join(map(str, range(5_000))) + "\\}",
    "set of radicals": "\\{" + ", ".join(f"\\sqrt{{{k}}}+\\pi" for k in range(60)) + "\\}",
    "set of sets": "\\{" * 90 + "1" + "\\}" * 90,
    "union": " \\cup ".join(f"({k},{k}.5)" for k in range(400)),
    "inequalities": " < ".join(map(str, range(1_000))),
    "equations": " = ".join(["x"] * 1_500),
    "ratio": ":".join(map(str, range(1, 1_500))),
    "matrix": "\\begin{pmatrix}"
    + "\\\\".join("&".join("12" for _ in range(60)) for _ in range(60))
    + "\\end{pmatrix}",
    "matrix of radicals": "\\begin{pmatrix}"
    + "\\\\".join("&".join(f"\\sqrt{{{k + 2}}}+x" for k in range(20)) for _ in range(20))
    + "\\end{pmatrix}",
    "determinant": "\\begin{vmatrix}"
    + "\\\\".join("&".join(f"x_{{{j}}}^{k}" for k in range(9)) for j in range(9))
    + "\\end{vmatrix}",
    "power of a matrix": "\\begin{pmatrix} 1 & 1 \\\\ 1 & 0 \\end{pmatrix}^{10^{9}}",
    "finite sum": "\\sum_{k=1}^{10^{9}} k^{k}",
    "product": "\\prod_{k=1}^{10^{7}} k",
    "sum in sum": "\\sum_{i=1}^{999}\\sum_{j=1}^{999}\\sum_{k=1}^{999} ijk",
    "words": "seven " * 9_000,
    "number words": "one hundred million " * 400,
    "letters and digits": "a1" * 4_500,
    "digits and letters": "1a" * 4_500,
    "choices": "A) " * 3_000,
    "choices with stops": "a." * 4_500,
    "memberships": "\\in" * 1_500 + "," * 4_500,
    "half-open sets": "\\{a" * 400,
    "unit powers": "5 cm" + "^2 m" * 2_000,
    "percent signs": "5" + "\\%" * 9_000,
    "degrees": "5" + "^\\circ" * 1_600,
    "primes": "f" + "'" * 9_000 + "(x)",
    "base": "z" * 400 + "_{36}",
    "zoo": "𝟏½√²₂∑\u202e\u0301😀" * 1_000,
    "combining marks": "1" + "\u0305" * 9_000,
    "vulgar fractions": "½" * 3_000,
    "superscripts": "2" + "⁹" * 4_000,
}
