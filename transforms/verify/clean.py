"""Unicode and typography to the plain LaTeX the lexer knows; linear passes only.

Leaves out: any decision about meaning. Two texts that clean to the same string are equal.
"""

from __future__ import annotations

import html
import re
import unicodedata

from butwait.transforms.verify.chinese import HAN, without_han
from butwait.transforms.verify.habits import mend_escapes, towers, without_habits

_SUPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱˣʸᵃᵇᵏᵐ", "0123456789+-=()nixyabkm", strict=True))
_SUB = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙₐₓₖ", "0123456789+-=()naxk", strict=True))
_FRACTIONS = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5),
    "⅗": (3, 5), "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅐": (1, 7), "⅛": (1, 8), "⅜": (3, 8),
    "⅝": (5, 8), "⅞": (7, 8), "⅑": (1, 9), "⅒": (1, 10),
}  # fmt: skip
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩϵϕϑ",
        [
            "alpha",
            "beta",
            "gamma",
            "delta",
            "epsilon",
            "zeta",
            "eta",
            "theta",
            "iota",
            "kappa",
            "lambda",
            "mu",
            "nu",
            "xi",
            "pi",
            "rho",
            "sigma",
            "tau",
            "upsilon",
            "phi",
            "chi",
            "psi",
            "omega",
            "Gamma",
            "Delta",
            "Theta",
            "Lambda",
            "Xi",
            "Pi",
            "Sigma",
            "Phi",
            "Psi",
            "Omega",
            "epsilon",
            "phi",
            "theta",
        ],
        strict=False,
    )
)
_GREEK = {k: f"\\{v} " for k, v in _GREEK.items()}
_PLAIN = {
    "−": "-", "–": "-", "—": "-", "‒": "-", "‐": "-", "‑": "-", "﹣": "-", "－": "-", "＋": "+",
    "×": r"\times ", "✕": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ",
    "•": r"\cdot ", "＊": "*", "∗": "*", "÷": "/", "／": "/", "⁄": "/", "∕": "/",
    "√": r"\sqrt ", "∛": r"\sqrt[3] ", "∜": r"\sqrt[4] ", "∞": r"\infty ",
    "≤": r"\le ", "⩽": r"\le ", "≦": r"\le ", "≥": r"\ge ", "⩾": r"\ge ", "≧": r"\ge ",
    "≠": r"\ne ", "≈": r"\approx ", "≡": r"\equiv ", "＝": "=", "＜": "<", "＞": ">",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "∖": r"\setminus ",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}",
    "ℂ": r"\mathbb{C}", "±": r"\pm ", "∓": r"\mp ", "°": r"^\circ ", "º": r"^\circ ",
    "˚": r"^\circ ", "∘": r"\circ ", "℃": r"\text{ celsius}",
    "℉": r"\text{ fahrenheit}", "′": "'", "’": "'", "‘": "'",
    "″": "''", "“": '"', "”": '"', "％": "%", "﹪": "%", "（": "(", "）": ")", "［": "[",
    "］": "]", "｛": "{", "｝": "}", "，": ",", "、": ",", "；": ";", "：": ":", "∶": ":",
    "．": ".",
    "。": ".", "！": "!", "｜": "|", "∣": "|", "∨": r"\lor ", "∧": r"\land ", "…": r"\ldots ",
    "⋯": r"\ldots ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ",
    "〈": "(", "〉": ")", "⟨": r"\langle ", "⟩": r"\rangle ", "∠": "", "△": "", "＾": "^",
    "′′": "''", "€": r"\text{ euros}", "£": r"\text{ sterling}", "¢": r"\text{ cents}",
    "¥": r"\text{ yen}", "₹": r"\text{ rupees}", "‰": "/1000", "∑": r"\sum ", "∏": r"\prod ",
    "↑": r"\uparrow ",
    "\u2061": "", "\u2062": " ", "\u2063": ",", "²": "", "ℓ": "l", "ℯ": "e", "ⅈ": "i",
}  # fmt: skip
_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\t\n\r\f\v"  # noqa: E501
_NOTHING = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
_TABLE: dict[int, str] = {
    **{ord(k): v for k, v in _PLAIN.items() if len(k) == 1 and k != "²"},
    **{ord(k): v for k, v in _GREEK.items()},
    **{ord(k): rf"\frac{{{a}}}{{{b}}}" for k, (a, b) in _FRACTIONS.items()},
    **dict.fromkeys(map(ord, _SPACES), " "),
    **dict.fromkeys(map(ord, _NOTHING), ""),
    **dict.fromkeys([*range(9), *range(14, 32), 127], ""),
    **{0xFF10 + d: str(d) for d in range(10)},
    **{0xFF21 + k: chr(65 + k) for k in range(26)},
    **{0xFF41 + k: chr(97 + k) for k in range(26)},
    # Mathematical letters and digits: italic, bold, double-struck.
    **{
        code: _GREEK.get(plain, plain)
        for code in range(0x1D400, 0x1D800)
        if (plain := unicodedata.normalize("NFKC", chr(code))) != chr(code)
    },
}
_SUPER_RUN = re.compile("[" + "".join(_SUPER) + "]+")
_SUB_RUN = re.compile("[" + "".join(_SUB) + "]+")
_COMBINING_LONG = re.compile("([0-9])[\u0305\u0304]")
_COMBINING_DOT = re.compile("([0-9])\u0307")
# Every command with two backslashes: text that was escaped once too often.
_DOUBLED = re.compile(r"\\\\[A-Za-z]{2,}")
_SINGLE = re.compile(r"(?<!\\)\\[A-Za-z]")
_BRACED_OPERATOR = re.compile(
    r"(?<![\^_}A-Za-z])\{ *([:=<>]|\\(?:times|cdot|div|leq?|geq?|leqslant|geqslant|neq?)) *\}"
    r"(?=[^}])"
)
_INDEX = r"(\{[0-9A-Za-z]{1,4}\}|[0-9a-z])"
# ``{}_5C_2`` and ``^5C_2`` for a binomial coefficient, P for permutations.
_COUNT = re.compile(
    rf"(?:\{{\}}|(?<![0-9A-Za-z)}}\]]))[_^]{_INDEX} ?(?:\\(?:mathrm|text|mathbf) ?)?\{{?([CP])\}}?"
    rf" ?_ ?{_INDEX}"
)
_COLOUR = re.compile(r"\\(?:text)?color ?\{[A-Za-z]{1,20}\}")
_TEMPERATURE = re.compile(
    r"\^\{? ?\\circ ?\}? ?(?:\\(?:text|mathrm|rm) ?\{ ?)?([CF])(?![A-Za-z])(?: ?\})?"
)
_TEMPERATURES = {"C": r"\text{ celsius}", "F": r"\text{ fahrenheit}"}
_DEGREES_OF = re.compile(r"\bdegrees? (?=(?:celsius|fahrenheit|centigrade)\b)", re.I)
_LETTER_TIMES = re.compile(r"(?<=\d) ?[xX] ?(?=10 ?\^)")
_COUNT_BARE = re.compile(r"(?<![0-9A-Za-z_.])(\d{1,4}) ?([CP]) ?(\d{1,4})(?![0-9A-Za-z_.])")
# Intervals with brackets turned outwards, as in ``[1, 3[``.
_OUTWARD = re.compile(r"([\[\](])([^\[\]()]{1,80}[,;][^\[\]()]{1,80})([\[\])])")
_COMMAND_END = re.compile(r"\\[A-Za-z]{1,20}\Z")
_PARAMETER = re.compile(
    r"(?:\\(?:[,;: ]|q?quad)|[,~ ]){0,6}(?:\\text\{ ?,? ?(?:where|with|for(?: all| any| some)?)"
    r"[~ ]?\}|\bwhere\b|\bfor\b|\bwith\b|\(|\\left ?\()(?:\\[,;: ]|[~ ]){0,6}([a-z]) ?\\in ?"
    r"(\\(?:mathbb|mathbf|bf) ?\{? ?[ZN] ?\}?|[ZN])(?:\\right)? ?\)?\Z"
)
# ``C^2_9``: the index on top is the smaller number.
_COUNT_TURNED = re.compile(rf"(?<![A-Za-z\\])([CPA])\^{_INDEX} ?_ ?{_INDEX}")
# ``[2]_5``: the residue class of 2 modulo 5.
_CLASS = re.compile(r"\[(-?\d{1,20})\]_\{?(\d{1,20})\}?")
_BASED_BRACKET = re.compile(r"(?<![A-Za-z0-9])\(([0-9][0-9A-F]*)\)(?=_[0-9{])")
_BASE_BRACKET = re.compile(r"(?<=[0-9A-F])_\{ ?\((\d{1,2})\) ?\}")
_TOUCHING = re.compile(r"[0-9A-Za-z][ \\,;:]*[ \\][ \\,;:]*[0-9A-Za-z]")
_SPACE_RUN = re.compile(" {2,}")
_NO_STOPS = ("..", "\\,", "\\;", "\\:", "\\right.")
_OUTER = (
    ("$$", "$$"),
    ("$", "$"),
    (r"\(", r"\)"),
    (r"\[", r"\]"),
    ("**", "**"),
    ("`", "`"),
    ('"', '"'),
    ("'", "'"),
)


def clean_text(text: str) -> str:
    """Typographic characters as plain LaTeX, spaces single, outer dollars and stops removed."""
    if text.isascii() and text.isdigit():
        return text
    if not text.isprintable():
        text = mend_escapes(text)
    if not text.isascii():
        text = _COMBINING_LONG.sub(r"\\overline{\1}", text)
        text = _COMBINING_DOT.sub(r"\\dot{\1}", text)
        text = _SUPER_RUN.sub(lambda m: "^{" + "".join(_SUPER[c] for c in m[0]) + "}", text)
        text = _SUB_RUN.sub(lambda m: "_{" + "".join(_SUB[c] for c in m[0]) + "}", text)
        text = unicodedata.normalize("NFC", text)
        text = without_han(text) if HAN.search(text) else text
    text = text.translate(_TABLE)
    if "&" in text and ";" in text:
        text = html.unescape(text)
    if "{.}" in text:
        text = text.replace("{.}", ".")
    text = strip_wrapping(text).removeprefix("\\displaystyle").lstrip()
    if ("[" in text or "]" in text) and ("," in text or ";" in text):
        text = _OUTWARD.sub(_inward, text)
    if "degree" in text:
        text = _DEGREES_OF.sub("", text)
    if "x" in text or "X" in text:
        text = _LETTER_TIMES.sub(r"\\times ", text)
    if "C" in text or "P" in text:
        text = _COUNT_BARE.sub(_counted, text)
    text = without_habits(text)
    if "\\" in text or "_" in text or "{" in text:
        text = _plain_latex(text)
    text = strip_wrapping(_SPACE_RUN.sub(" ", text) if "  " in text else text)
    # Braces closed once too often at the end.
    extra = text.count("}") - text.count("{") if text.endswith("}") else 0
    while extra > 0 and text.endswith("}"):
        text, extra = text[:-1].rstrip(), extra - 1
    return text


def _plain_latex(text: str) -> str:
    """Habits of data sets and of TeX that mean nothing, undone."""
    if "\\\\" in text and _DOUBLED.search(text) and not _SINGLE.search(text):
        text = text.replace("\\\\", "\\")
    # Each expression behind a substring test: most answers hold none of these.
    if "\\_" in text:
        text = text.replace("\\_", "_")
    if "color" in text:
        text = _COLOUR.sub("", text)
    if "circ" in text:
        text = _TEMPERATURE.sub(lambda m: _TEMPERATURES[m[1]], text)
    if any(mark in text for mark in ("{\\", "{:", "{=", "{<", "{>", "{ ")):
        text = _BRACED_OPERATOR.sub(r"\1 ", text)
    if "uparrow" in text:
        text = towers(text)
    if "\\in" in text:
        text = _PARAMETER.sub(r", \1 \\in \2", text)
    return _indexed(text) if "_" in text else text


def _indexed(text: str) -> str:
    """Counts, residue classes and bases written with an index."""
    text = _COUNT.sub(_counted, text)
    text = _COUNT_TURNED.sub(_counted_turned, text)
    text = _CLASS.sub(r"\1 \\pmod{\2}", text)
    return _BASE_BRACKET.sub(r"_{\1}", _BASED_BRACKET.sub(r"\1", text))


def _inward(match: re.Match[str]) -> str:
    if match[1] != "]" and match[3] != "[":
        return match[0]
    inside, before = match[2], match.string[: match.start()].rstrip()
    # The bracket of a root's degree is none of an interval.
    opens = _COMMAND_END.search(before) is not None or not before[-1:].isalnum()
    turned = match[1] != "]" or (opens and before[-1:] not in ("}", "]", ")", "[", "("))
    if inside.count("{") != inside.count("}") or inside.endswith("\\sqrt") or not turned:
        return match[0]
    left = "(" if match[1] == "]" else match[1]
    return f"{left}{match[2]}{')' if match[3] == '[' else match[3]}"


def _counted_turned(match: re.Match[str]) -> str:
    command = "binom" if match[1] == "C" else "perm"
    return f"\\{command}{{{match[3].strip('{}')}}}{{{match[2].strip('{}')}}}"


def _counted(match: re.Match[str]) -> str:
    command = "binom" if match[2] == "C" else "perm"
    return f"\\{command}{{{match[1].strip('{}')}}}{{{match[3].strip('{}')}}}"


def strip_wrapping(text: str) -> str:
    """The text without math delimiters, bold marks and sentence stops around all of it."""
    if text and (text[-1].isalnum() or text[-1] == "}") and text[0] not in " &":
        return text  # no delimiter ends like this
    for _ in range(6):
        before = text
        text = text.strip()
        if text.endswith(("\\ ", "\\\\")):
            text = text[:-2]
        text = text.removeprefix("&")
        # A factorial is not a sentence stop, an ellipsis is not one either.
        while text and text[-1] in ".,;:" and not text.endswith(_NO_STOPS):
            text = text[:-1].rstrip()
        for left, right in _OUTER:
            inner = text[len(left) : len(text) - len(right)]
            if len(text) >= len(left) + len(right) and text.startswith(left) and (
                text.endswith(right) and left not in inner and right not in inner
            ):  # fmt: skip
                text = inner
        if text == before:
            break
    return text


def squeeze(text: str) -> str:
    """The cleaned text without what never changes meaning: for the first, string-equal stage."""
    if _TOUCHING.search(text):
        return text
    for old, new in _SQUEEZE:
        text = text.replace(old, new)
    return text


_SQUEEZE = (
    ("\\!", ""), ("\\,", " "), ("\\;", " "), ("\\:", " "), ("\\ ", " "), ("\\left", ""),
    ("\\right", ""), ("dfrac", "frac"), ("tfrac", "frac"), ("{,}", ","), (" ", ""),
)  # fmt: skip
