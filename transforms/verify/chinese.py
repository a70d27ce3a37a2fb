"""Answers with Chinese words: connectives, units, numerals, fractions and per cent as LaTeX.

Leaves out: sentences. Traditional and simplified forms of the same words are both known.
"""

from __future__ import annotations

import re

HAN = re.compile("[\u4e00-\u9fff]")
_WORDS = {
    "或者": " or ", "或": " or ", "以及": " and ", "并且": " and ", "和": " and ", "与": " and ",
    "與": " and ", "及": " and ", "且": " and ", "无解": r"\emptyset ", "無解": r"\emptyset ",
    "空集": r"\emptyset ", "全体实数": r"\mathbb{R}", "正无穷": r"+\infty ", "负无穷": r"-\infty ",
}  # fmt: skip
_UNITS = {
    "平方厘米": "cm^2", "平方米": "m^2", "平方公里": "km^2", "平方千米": "km^2", "立方厘米": "cm^3",
    "立方米": "m^3", "厘米": "cm", "毫米": "mm", "分米": "dm", "千米": "km", "公里": "km",
    "米": "m",
    "千克": "kg", "公斤": "kg", "毫克": "mg", "克": "g", "吨": "tonnes", "毫升": "mL", "升": "L",
    "小时": "hours", "分钟": "minutes", "秒": "seconds", "天": "days", "周": "weeks",
    "个月": "months", "年": "years", "美元": "dollars", "欧元": "euros", "人民币": "yuan",
    "元": "yuan", "角": "jiao", "弧度": "radians", "度": "degrees", "单位": "units",
}  # fmt: skip
# Words that count things: they say nothing about the number.
_COUNTERS = "个個只隻人名位条條本张張件台辆支种種次对對套组組"
_DIGITS = dict(zip("零〇一二三四五六七八九两", (0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 2), strict=True))
_TENS = {"十": 10, "百": 100, "千": 1_000}
_GREAT = {"万": 10**4, "亿": 10**8}
_NUMERAL = "[零〇一二三四五六七八九两十百千万亿]"
_AFTER_NUMBER = r"(?<=[0-9}\])])\s*"
_UNIT = re.compile(_AFTER_NUMBER + "(" + "|".join(_UNITS) + r")(?![\u4e00-\u9fff])")
_COUNTER = re.compile(_AFTER_NUMBER + f"[{_COUNTERS}]" + r"(?![\u4e00-\u9fff])")
_PERCENT = re.compile(f"百分之({_NUMERAL}{{1,24}}|[0-9.]{{1,20}})")
_MIXED = re.compile(f"({_NUMERAL}{{1,24}})又({_NUMERAL}{{1,24}})分之({_NUMERAL}{{1,24}})")
_PART = re.compile(f"({_NUMERAL}{{1,24}}|[0-9]{{1,20}})分之({_NUMERAL}{{1,24}}|[0-9]{{1,20}})")
_POINT = re.compile(f"({_NUMERAL}{{1,24}})[点點]([零〇一二三四五六七八九]{{1,24}})")
_WHOLE = re.compile(f"(负|負)?({_NUMERAL}{{1,24}})")
_LABEL = re.compile(r"\A\s*(?:故|所以|因此)?(?:选|答案(?:是|为|為)?|解|答)[:： ]*")
_WORD = re.compile("|".join(_WORDS))
_RELATION = re.compile(
    "(大于或?等于|不小于|至少|小于或?等于|不大于|至多|大于|小于|等于|属于|不等于)"
)
_RELATIONS = {
    "大于等于": r"\ge ", "大于或等于": r"\ge ", "不小于": r"\ge ", "至少": r"\ge ",
    "小于等于": r"\le ", "小于或等于": r"\le ", "不大于": r"\le ", "至多": r"\le ",
    "大于": ">", "小于": "<", "等于": "=", "属于": r"\in ", "不等于": r"\ne ",
}  # fmt: skip


def without_han(text: str) -> str:
    """The text with the words of this module rewritten; others stay.

    >>> without_han("三分之二")
    '\\\\frac{2}{3}'
    """
    text = _LABEL.sub("", text)
    text = _PERCENT.sub(lambda m: f"{_value(m[1])}\\%", text)
    text = _MIXED.sub(lambda m: f"{_value(m[1])}\\frac{{{_value(m[3])}}}{{{_value(m[2])}}}", text)
    text = _PART.sub(lambda m: f"\\frac{{{_value(m[2])}}}{{{_value(m[1])}}}", text)
    text = _POINT.sub(lambda m: f"{_value(m[1])}.{''.join(str(_DIGITS[c]) for c in m[2])}", text)
    whole = _WHOLE.fullmatch(text.strip(" 。．."))
    if whole is not None:
        return f"{'-' if whole[1] else ''}{_value(whole[2])}"
    text = _RELATION.sub(lambda m: _RELATIONS[m[0]], text)
    text = _UNIT.sub(lambda m: f"\\text{{ {_UNITS[m[1]]}}}", text)
    text = _COUNTER.sub("", text)
    return _WORD.sub(lambda m: _WORDS[m[0]], text)


def _value(numeral: str) -> str:
    """A numeral in digits; ASCII digits, and numerals that are not written out, stay.

    >>> _value("三十六"), _value("一万零五"), _value("两千三")
    ('36', '10005', '两千三')
    """
    if numeral[0] in "0123456789.":
        return numeral
    if not any(c in _TENS or c in _GREAT for c in numeral):
        # "五六" is five or six; "二〇二五" a year.
        said = len(numeral) == 2 and not set(numeral) & {"零", "〇"}
        return numeral if said else "".join(str(_DIGITS[c]) for c in numeral)
    value = _counted(
        numeral, (("亿", 10**8), ("万", 10**4), ("千", 1_000), ("百", 100), ("十", 10))
    )
    return numeral if value is None else str(value)


def _counted(numeral: str, places: tuple[tuple[str, int], ...]) -> int | None:
    """The value of a numeral by its largest place first; None where a place is left out."""
    if not places:
        digits = numeral.lstrip("零〇")
        return _DIGITS[digits] if len(digits) == 1 and digits in _DIGITS else None
    (name, worth), rest = places[0], places[1:]
    above, found, below = numeral.rpartition(name)
    if not found:
        return _counted(numeral, rest)
    high = (
        1
        if not above and (worth == 10 or not below)
        else _counted(above, places if worth == 10**8 else rest)
    )
    low = _counted(below, rest) if below else 0
    # "三百五" leaves the tens out without a zero: three hundred and fifty.
    short = bool(below) and len(below) == 1 and worth > 10
    return None if high is None or low is None or short else high * worth + low
