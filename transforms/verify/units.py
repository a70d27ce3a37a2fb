"""Units of answers: words to dimensions and exact factors.

Leaves out: temperatures with an offset (a degree Celsius is its own dimension) and currencies'
exchange rates. A word that is not in the table is a dimension of its own ("apples").
"""

from __future__ import annotations

import re
from fractions import Fraction

from butwait.transforms.verify.tree import Const, Div, Mul, Node, Num

Dims = tuple[tuple[str, int], ...]


def _number(value: Fraction | int) -> Num:
    return Num(Fraction(value), False)


_DEGREE: Node = Const("deg")
_MINUTE_OF_ARC: Node = Div(Const("deg"), _number(60))

# name: dimension, power, factor
_TABLE: dict[str, tuple[str, int, Fraction]] = {}


def _add(dimension: str, rows: dict[str, str], power: int = 1) -> None:
    for factor, words in rows.items():
        for word in words.split():
            _TABLE[word] = (dimension, power, Fraction(factor))


_add(
    "metre",
    {
        "1": "metre meter metres meters m",
        "1/100": "centimetre centimeter centimetres centimeters cm cms",
        "1/10": "decimetre decimeter decimetres decimeters dm",
        "1/1000": "millimetre millimeter millimetres millimeters mm",
        "1000": "kilometre kilometer kilometres kilometers km kms",
        "127/5000": "inch inches",
        "381/1250": "foot feet ft",
        "1143/1250": "yard yards yd yds",
        "201168/125": "mile miles mi",
    },
)
_add("metre", {"1/1000": "litre liter litres liters L", "1/1000000": "ml mL millilitre milliliter "
     "millilitres milliliters"}, 3)  # fmt: skip
_add("metre", {"10000": "hectare hectares ha"}, 2)
_add(
    "second",
    {
        "1": "second seconds sec secs s",
        "1/1000": "ms millisecond milliseconds",
        "60": "minute minutes min mins",
        "3600": "hour hours hr hrs h",
        "86400": "day days",
        "604800": "week weeks",
    },
)
_add("month", {"1": "month months", "12": "year years yr yrs"})
_add("gram", {"1": "gram grams g", "1/1000": "mg milligram milligrams", "1000": "kg kgs kilogram "
     "kilograms", "1000000": "tonne tonnes"})  # fmt: skip
_add("pound", {"1": "pound pounds lb lbs", "1/16": "ounce ounces oz", "2000": "ton tons"})
_add("dollar", {"1": "dollar dollars usd", "1/100": "cent cents"})
_add("euro", {"1": "euro euros eur"})
_add("rupee", {"1": "rupee rupees rs"})
_add("yuan", {"1": "yuan rmb"})
_add("yen", {"1": "yen"})
_add("penny", {"1": "pence penny"})
_add("newton", {"1": "newton newtons N", "1000": "kN"})
_add("joule", {"1": "joule joules J", "1000": "kJ"})
_add("watt", {"1": "watt watts W", "1000": "kW kilowatt kilowatts"})
_add("volt", {"1": "volt volts V"})
_add("ampere", {"1": "ampere amperes amp amps"})
_add("ohm", {"1": "ohm ohms"})
_add("pascal", {"1": "pascal pascals Pa", "1000": "kPa"})
_add("kelvin", {"1": "kelvin kelvins"})
_add("celsius", {"1": "celsius centigrade"})
_add("fahrenheit", {"1": "fahrenheit"})
_add("cup", {"1": "cup cups"})
_add("hertz", {"1": "hz hertz", "1000": "khz"})
_add("radian", {"1": "radian radians rad rads"})
_ANGLES = {"degree": _DEGREE, "degrees": _DEGREE, "deg": _DEGREE, "arcminutes": _MINUTE_OF_ARC}
_COMPOUND = {
    "mph": (("metre", 1), ("second", -1), Fraction(201168, 125 * 3600)),
    "kmh": (("metre", 1), ("second", -1), Fraction(5, 18)),
    "kph": (("metre", 1), ("second", -1), Fraction(5, 18)),
}
_POWER_BEFORE = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
# Words beside a unit that say nothing about it.
_EMPTY = frozenset(
    [
        "unit",
        "units",
        "of",
        "the",
        "a",
        "an",
        "in",
        "about",
        "total",
        "approximately",
        "each",
        "old",
        "tall",
        "long",
        "wide",
        "high",
        "deep",
        "away",
        "left",
        "more",
    ]
)
# Short nouns that would be read as products of letters.
_NOUNS = frozenset(
    [
        "way",
        "man",
        "men",
        "boy",
        "box",
        "bag",
        "pen",
        "egg",
        "day",
        "cat",
        "dog",
        "car",
        "hat",
        "jar",
        "pie",
        "toy",
        "bus",
        "ant",
        "bee",
        "cow",
        "hen",
        "pig",
    ]
)
# Words that may stand before the amount.
CURRENCY_WORDS = frozenset({"euros", "euro", "eur", "pounds", "yen", "rupees", "rs", "yuan", "usd"})
# Single letters that are units in "5 m" and variables elsewhere.
LETTER_UNITS = frozenset({"m", "g", "s", "h", "L", "N", "J", "W", "V"})
_KNOWN = (
    _NOUNS
    | frozenset(_TABLE)
    | frozenset(_ANGLES)
    | frozenset(_COMPOUND)
    | frozenset(_POWER_BEFORE)
)


def unit_parts(body: str) -> list[tuple[str, str]]:
    """The tokens of a unit written in letters, such as ``m/s^2``; empty when it is none.

    Returns:
        Kind and text of each token: ``unit``, ``op`` (``/`` or ``^``), ``num``.
    """
    if not _BODY.fullmatch(body) or (body.isalpha() and len(body) > 1):
        return []
    pieces = _PIECE.findall(body)
    if any(word and not _is_unit(word) for word, _, _ in pieces):
        return []
    out: list[tuple[str, str]] = []
    for word, power, slash in pieces:
        out.append(("op", "/") if slash else ("unit", word))
        if power:
            out += [("op", "^"), ("num", power)]
    return out


_BODY = re.compile(r"[A-Za-z/ *^{}1-9-]{1,40}")
_PIECE = re.compile(r"([A-Za-z]{1,12})(?:\^?\{?(-?[1-9])\}?)?|(/)")


def _is_unit(word: str) -> bool:
    return word in _TABLE or word.lower() in _TABLE or word.lower() in _COMPOUND


def is_unit_word(word: str) -> bool:
    """Whether a word of two or more letters is a unit wherever it follows a number."""
    return len(word) > 1 and (word.lower() in _KNOWN or word in _KNOWN or word.lower() in _EMPTY)


def read_unit(parts: list[tuple[str, int]]) -> tuple[Dims, Node]:
    """Dimensions and factor of words with powers.

    Args:
        parts: Words in order, each with its power (negative after "per" or a slash).

    Returns:
        Sorted dimension powers (empty for "units") and the exact factor to base units.
    """
    dims: dict[str, int] = {}
    factor = Fraction(1)
    angle: list[Node] = []
    before = 1
    for word, power in parts:
        key = word if word in _TABLE else word.lower()
        if key in _POWER_BEFORE:
            before = _POWER_BEFORE[key]
            continue
        exponent = power * before
        before = 1
        if key in _ANGLES:
            angle.append(_ANGLES[key])
            dims["radian"] = dims.get("radian", 0) + exponent
        elif key in _COMPOUND:
            one, two, scale = _COMPOUND[key]
            for name, step in (one, two):
                dims[name] = dims.get(name, 0) + step
            factor *= scale
        elif key in _TABLE:
            name, own, scale = _TABLE[key]
            dims[name] = dims.get(name, 0) + own * exponent
            factor *= scale**exponent
        elif key not in _EMPTY:
            name = _singular(key)
            dims[name] = dims.get(name, 0) + exponent
    scaled: Node = _number(factor)
    for item in angle:
        scaled = Mul((scaled, item))
    return tuple(sorted((k, v) for k, v in dims.items() if v)), scaled


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith("ss") and len(word) > 3:
        return word[:-1]
    return word
