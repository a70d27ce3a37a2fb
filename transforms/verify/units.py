"""Units of answers: words to dimensions and exact factors.

Leaves out: temperatures with an offset (a degree Celsius is its own dimension) and currencies'
exchange rates. A word that is not in the table is a dimension of its own ("apples").
"""

from __future__ import annotations

import re
from fractions import Fraction

from butwait.transforms.verify.tree import Const, Div, Mul, Node, Num, Unreadable

Dims = tuple[tuple[str, int], ...]
SIDE_MARK = "side "


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
        "1/1000000": "micrometre micrometer micrometres micrometers um",
        "1/1000000000": "nanometre nanometer nanometres nanometers nm",
        "1000000": "Mm",
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
_add("sterling", {"1": "sterling gbp"})
_add("penny", {"1": "pence penny"})
_add("newton", {"1": "newton newtons N", "1000": "kN"})
_add("joule", {"1": "joule joules J", "1000": "kJ"})
_add("watt", {"1/1000": "mW milliwatt milliwatts", "1": "watt watts W",
     "1000": "kW kilowatt kilowatts", "1000000": "MW megawatt megawatts"})  # fmt: skip
_add("volt", {"1": "volt volts V", "1/1000": "mV", "1000": "kV"})
_add("ampere", {"1": "ampere amperes amp amps A", "1/1000": "mA"})
_add("ohm", {"1": "ohm ohms Omega"})
_add("pascal", {"1/1000": "mPa", "1": "pascal pascals Pa", "1000": "kPa", "1000000": "MPa"})
_add("kelvin", {"1": "kelvin kelvins"})
_add("celsius", {"1": "celsius centigrade"})
_add("fahrenheit", {"1": "fahrenheit"})
_add("cup", {"1": "cup cups"})
_add("hertz", {"1/1000": "mHz", "1": "hz Hz hertz", "1000": "khz kHz", "1000000": "MHz",
     "1000000000": "GHz"})  # fmt: skip
_add("radian", {"1": "radian radians rad rads"})
_ANGLES = {"degree": _DEGREE, "degrees": _DEGREE, "deg": _DEGREE, "arcminutes": _MINUTE_OF_ARC}
_COMPOUND = {
    "Nm": (("newton", 1), ("metre", 1), Fraction(1)),
    "mph": (("metre", 1), ("second", -1), Fraction(201168, 125 * 3600)),
    "kmh": (("metre", 1), ("second", -1), Fraction(5, 18)),
    "kph": (("metre", 1), ("second", -1), Fraction(5, 18)),
}
_POWER_BEFORE = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_POWER_AFTER = {"squared": 2, "cubed": 3}
# What is counted or where it lies: two of these that differ contradict each other.
SIDES = frozenset(
    [
        "left",
        "right",
        "more",
        "fewer",
        "less",
        "up",
        "down",
        "above",
        "below",
        "north",
        "south",
        "east",
        "west",
        "forward",
        "backward",
        "forwards",
        "backwards",
        "tall",
        "long",
        "wide",
        "high",
        "deep",
    ]
)
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
        "away",
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
CURRENCY_WORDS = frozenset({"euros", "euro", "eur", "pounds", "yen", "rupees", "rs", "yuan", "usd",
                            "sterling", "gbp"})  # fmt: skip
# Single letters that are units in "5 m" and variables elsewhere.
LETTER_UNITS = frozenset({"m", "g", "s", "h", "L", "N", "J", "W", "V", "Omega"})
_KNOWN = (
    _NOUNS
    | frozenset(_TABLE)
    | frozenset(_ANGLES)
    | frozenset(_COMPOUND)
    | frozenset(_POWER_BEFORE)
    | frozenset(_POWER_AFTER)
    | SIDES
)


def unit_parts(body: str) -> list[tuple[str, str]]:
    """The tokens of a unit written in letters, such as ``m/s^2``; empty when it is none.

    Returns:
        Kind and text of each token: ``unit``, ``op`` (``/`` or ``^``), ``num``.
    """
    body = _UNIT_SPACE.sub(" ", body)
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


_UNIT_SPACE = re.compile(r"\\(?:[,;:! ]|cdot(?![A-Za-z])|times(?![A-Za-z]))|~")
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
    for key, exponent in _with_powers(parts):
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
        elif key in SIDES:
            dims[f"{SIDE_MARK}{key}"] = 1
        elif key not in _EMPTY:
            name = _singular(key)
            dims[name] = dims.get(name, 0) + exponent
        elif abs(exponent) > 1:
            dims["unit"] = exponent  # square units
    scaled: Node = _number(factor)
    for item in angle:
        scaled = Mul((scaled, item))
    return tuple(sorted((k, v) for k, v in dims.items() if v)), scaled


def _with_powers(parts: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Known words with their powers, ``square`` and ``squared`` taken into account."""
    out: list[tuple[str, int]] = []
    before = 1
    for word, power in parts:
        key = _key(word)
        if key in _POWER_BEFORE:
            before = _POWER_BEFORE[key]
        elif key in _POWER_AFTER and out:
            out[-1] = (out[-1][0], out[-1][1] * _POWER_AFTER[key])
        elif key in _POWER_AFTER:
            raise Unreadable("a power of no unit")
        else:
            out.append((key, power * before))
            before = 1
    # "24 in": alone, or with a power, the word is the unit and no preposition.
    return [("inch", out[0][1])] if len(out) == 1 and out[0][0] == "in" else out


def _key(word: str) -> str:
    """The word as the table knows it. Short ones keep their case: mW is not MW, nm is not Nm."""
    low = word.lower()
    if word in _TABLE or word in _COMPOUND:
        return word
    sloppy = word.isupper() and word != "ML"
    titled = word[0].isupper() and word[1:].islower() and word[0] not in "MNGP"
    if len(word) <= 3 and word != low and not (low in _KNOWN | _EMPTY and (sloppy or titled)):
        return word
    return low


def _singular(word: str) -> str:
    """A word without the s of its plural."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith("ss") and len(word) > 3:
        return word[:-1]
    return word
