"""Notations of other systems and of plain words, rewritten as the LaTeX that the lexer knows.

Plain TeX, siunitx, printed Python, escapes lost on the way through JSON, derivatives, "at least 3",
"5 out of 18", "base 2". Text in, text out, linear passes. Leaves out: typography (``clean``).
"""

from __future__ import annotations

import re

# "\frac" read as an escape by somebody's JSON: form feed, backspace, tab.
_LOST = re.compile(
    r"\x0c(?=rac|loor)|\x08(?=inom|oxed|egin|ar\b|eta|mod|igcup)|\t(?=imes|ext\b|heta|frac|an\b)"
    r"|\r(?=ight|angle|ceil|floor|ho\b)"
)
_LOST_LETTER = {"\x0c": "\\f", "\x08": "\\b", "\t": "\\t", "\r": "\\r"}
_CURRENCIES = {"pounds": "sterling", "textsterling": "sterling", "euro": "euros", "yen": "yen"}
_CURRENCY = re.compile(r"\\(pounds|textsterling|euro|yen)(?![A-Za-z])")
_ROOT_OF = re.compile(r"\\root ?\{?([0-9A-Za-z]{1,3})\}? ?\\of ?")
_PLAIN_MATRIX = re.compile(r"\\(p?matrix|cases) ?\{")
_QUANTITY = re.compile(r"\\(?:SI|qty) ?(?:\[[^\]]{0,40}\])?\{([^{}]{1,60})\} ?\{([^{}]{1,60})\}")
_NUMBER_ONLY = re.compile(r"\\num ?\{([^{}]{1,60})\}")
_ANGLE_ONLY = re.compile(r"\\ang ?\{([0-9.+-]{1,20})\}")
_UNIT_ONLY = re.compile(r"\\(?:si|unit) ?\{([^{}]{1,60})\}")
# "^{5}/_{9}": raised and lowered digits around a slash.
_RAISED = re.compile(
    r"(?<![A-Za-z)}\]])(?:\{\})?\^\{?(\d{1,9})\}?(?:\\[!,])*/(?:\\[!,])*_\{?(\d{1,9})\}?(?!\d)"
)
_RING = re.compile(
    r"(?<=[0-9)}])\^(?:o(?![A-Za-z])|\{ ?o ?\}|\\(?:text|mathrm) ?\{ ?o ?\}"
    r"|\{ ?\\(?:text|mathrm) ?\{ ?o ?\} ?\}|\{ ?\\rm ?o ?\})"
)
_SLASHED = re.compile(r"(?<![A-Za-z\\])d([a-z]) ?/ ?d([a-z])(?![A-Za-z])")
_PRIMES = re.compile(r"\^ ?(?:\\prime(?![A-Za-z])|\{((?: ?\\prime)+) ?\})")
_POWER_LINE = r"([0-9A-Za-z]{1,9}|\([^()]{1,40}\)) ?\^ ?\{ ?\\%s ?(?:\{([^{}]{1,40})\}|(\w)) ?\}"
_FALLING = re.compile(_POWER_LINE % "underline")
_RISING = re.compile(_POWER_LINE % "overline")
_TOWER = re.compile(r"(?<![\d.^{])(\d{1,9}) ?\\uparrow ?\\uparrow ?([1-9])(?!\d)")
_BASE = re.compile(
    r"([0-9A-Fa-f]{1,80}(?:\.[0-9A-Fa-f]{1,40})?)"
    r"(?:\\[,;: ]|[ ~(]|\\text ?\{){1,6}(?:in )?base[ ~-]{0,3}(\d{1,2}|[a-z]{3,9})[ )}]{0,3}"
)
_BRACKET_MODULUS = re.compile(r"(\\equiv[^\[\]]{1,60}?)(?:\\[,;: ]|[ ~])*\[ ?(\d{1,12}) ?\]\Z")
_DIVIDES = re.compile(
    r"(\d{1,12}) ?(?:\\mid(?![A-Za-z])|\|) ?([^|=<>\\]{1,60}[a-z][^|=<>\\]{0,60})"
)
_AXIS = re.compile(r"(?:\\text ?\{)?\$?\b([xyz])\$?(?:\\text ?\{)?[ -]{1,2}axis\b(?: ?\})?")
_OUT_OF = re.compile(r"(\d{1,9})(?: |\\text ?\{ ?){1,2}out of(?: every)?(?: ?\} ?| )(\d{1,9})")
_CAPITAL = re.compile("[A-HJ-Z]")
_PRINTED_I = re.compile(r"(?<![A-Za-z])I(?![A-Za-z])")
_WORD_SPACE = r"(?:[ ~]|\\text ?\{|\\[,;: ]|\})*"
_IS = r"\b(?:is|be|are) (?:strictly )?"
_ORDERS = tuple(
    (re.compile(rf"{_WORD_SPACE}(?:{words}){_WORD_SPACE}"), f" {sign} ")
    for words, sign in (
        (rf"{_IS}(?:greater|more|larger|bigger) than or equal to|(?:{_IS})?at least"
         rf"|{_IS}not? (?:less|smaller|fewer) than", r"\ge"),
        (rf"{_IS}(?:less|smaller|fewer) than or equal to|(?:{_IS})?at most"
         rf"|{_IS}not? (?:more|greater|larger) than", r"\le"),
        (rf"{_IS}(?:greater|more|larger|bigger) than", ">"),
        (rf"{_IS}(?:less|smaller|fewer) than", "<"),
    )
)  # fmt: skip
_SECOND_ORDER = re.compile(
    rf"\A\$?([a-z])\$?( (?:\\[gl]e|[<>]) .{{1,60}}?){_WORD_SPACE}(and|but)\b{_WORD_SPACE}"
    r"( (?:\\[gl]e|[<>]) .{1,60})\Z"
)


def mend_escapes(text: str) -> str:
    """Commands whose backslash and first letter became one control character."""
    return _LOST.sub(lambda m: _LOST_LETTER[m[0]], text)


def without_habits(text: str) -> str:
    """The text with everything of this module rewritten.

    >>> without_habits("x is at least 3")
    'x \\\\ge 3'
    """
    if "\\" in text:
        text = _other_tex(text)
    if "^" in text:
        text = _raised(text)
    if "d" in text and "/d" in text:
        text = _SLASHED.sub(r"\\frac{d\1}{d\2}", text)
    if "base" in text and (match := _BASE.fullmatch(text)):
        text = f"{match[1]}_{{{match[2]}}}"
    if " than" in text or "at least" in text or "at most" in text:
        text = _order_words(text)
    if "axis" in text:
        text = _AXIS.sub(r"\\text{\1-axis}", text)
    if "out of" in text and (match := _OUT_OF.fullmatch(text)):
        text = f"\\frac{{{match[1]}}}{{{match[2]}}}"
    if ("*I" in text or "I*" in text) and "\\" not in text and not _CAPITAL.search(text):
        text = _PRINTED_I.sub("i", text)
    if "|" in text or "\\mid" in text:
        match = _DIVIDES.fullmatch(text.strip("$ "))
        text = f"{match[2]} \\equiv 0 \\pmod{{{match[1]}}}" if match else text
    return text.replace("+/-", "\\pm ") if "+/-" in text else text


# -- parts ----------------------------------------------------------------------------------------


def _other_tex(text: str) -> str:
    """Plain TeX and siunitx."""
    if "\\pounds" in text or "\\euro" in text or "\\yen" in text or "\\textsterling" in text:
        text = _CURRENCY.sub(lambda m: f"\\text{{ {_CURRENCIES[m[1]]}}}", text)
    if "\\surd" in text:
        text = text.replace("\\surd", "\\sqrt ")
    if "\\root" in text:
        text = _ROOT_OF.sub(r"\\sqrt[\1]", text)
    if "\\cr" in text:
        text = _plain_matrix(text)
    if "{" in text and any(name in text for name in ("\\SI", "\\qty", "\\num", "\\ang", "\\unit")):
        text = _QUANTITY.sub(lambda m: f"{m[1]}\\text{{ {_unit_macros(m[2])}}}", text)
        text = _ANGLE_ONLY.sub(r"\1^\\circ ", _NUMBER_ONLY.sub(r"\1", text))
        text = _UNIT_ONLY.sub(lambda m: f"\\text{{ {_unit_macros(m[1])}}}", text)
    if "\\equiv" in text and text.endswith("]"):
        text = _BRACKET_MODULUS.sub(r"\1\\pmod{\2}", text)
    return text


def _unit_macros(body: str) -> str:
    """``\\metre\\per\\second`` as words."""
    return re.sub(r"\\([A-Za-z]+)", r" \1 ", body).strip() if "\\" in body else body


def _plain_matrix(text: str) -> str:
    match = _PLAIN_MATRIX.search(text)
    end = matching_brace(text, match.end() - 1) if match else -1
    if match is None or end < 0:
        return text
    rows = text[match.end() : end].strip().removesuffix("\\cr").replace("\\cr", "\\\\")
    inside = f"\\begin{{{match[1]}}}{rows}\\end{{{match[1]}}}"
    return text[: match.start()] + inside + text[end + 1 :]


def _raised(text: str) -> str:
    """Raised digits, rings and underlined exponents."""
    if "/" in text and "_" in text:
        text = _RAISED.sub(r"\\frac{\1}{\2}", text)
    if "o" in text:
        text = _RING.sub(r"^\\circ ", text)
    if "\\prime" in text:
        text = _PRIMES.sub(lambda m: "'" * max((m[1] or "").count("prime"), 1), text)
    if "line" in text:
        text = _FALLING.sub(lambda m: f"\\perm{{{m[1]}}}{{{m[2] or m[3]}}}", text)
        text = _RISING.sub(lambda m: f"\\perm{{({m[1]}+{m[2] or m[3]}-1)}}{{{m[2] or m[3]}}}", text)
    return text


def towers(text: str) -> str:
    """Knuth's arrows of small height as towers of powers."""
    return _TOWER.sub(lambda m: _tower(m[1], int(m[2])), text)


def _tower(base: str, height: int) -> str:
    return base if height == 1 else f"{base}^{{{_tower(base, height - 1)}}}"


def _order_words(text: str) -> str:
    """``x is at least 0 and at most 10`` as inequalities."""
    for words, sign in _ORDERS:
        text = words.sub(lambda m, sign=sign: sign, text)  # type: ignore[misc]
    match = _SECOND_ORDER.match(text)
    return f"{match[1]}{match[2]} and {match[1]}{match[4]}" if match else text


def matching_brace(text: str, start: int) -> int:
    """Index of the brace that closes the one at ``start``, or -1; escapes are skipped."""
    depth = 0
    at = start
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return -1
