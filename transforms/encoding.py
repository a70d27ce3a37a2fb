"""Text that went through a wrong decoder: repaired where that can be shown, refused where not.

Shown means: the whole text decodes back as UTF-8 without a stray byte and to ordinary characters;
a control character stands where a TeX command lost its backslash escape (form feed + ``rac`` is
``\\frac``); a font's ligature code spells a word that the text itself spells elsewhere. Accents,
Chinese, mathematics and anything else that could be meant stay as they are. It leaves out
guessing: a text with a character whose meaning is lost raises ``bad_encoding``.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from butwait.schemas.errors import SchemaError

BAD_ENCODING = "bad_encoding"


@dataclass(frozen=True)
class Repaired:
    """A text without encoding damage, and which repairs it took."""

    text: str
    repairs: tuple[str, ...]

    @property
    def repaired(self) -> bool:
        """Whether anything was changed."""
        return bool(self.repairs)


def repair_text(text: str) -> Repaired:
    """Return the text with provable encoding damage undone.

    Raises:
        SchemaError: ``bad_encoding``: a character is lost (a replacement character, half a
            surrogate pair, a private-use or control character) and nothing shows which it was.
    """
    if _PLAIN.fullmatch(text):
        return Repaired(text, ())
    repairs = []
    for name, repair in _REPAIRS:
        mended = repair(text)
        if mended != text:
            repairs.append(name)
            text = mended
    _refuse_lost_characters(text)
    return Repaired(text, tuple(repairs))


_PLAIN = re.compile(r"[\n\x20-\x7e]*")


def _refuse_lost_characters(text: str) -> None:
    for position, character in enumerate(text):
        if character in "\t\n\r\x85" or " " <= character <= "~":
            continue
        category = unicodedata.category(character)
        if character == "\ufffd" or category in {"Cc", "Cs", "Co"}:
            around = text[max(0, position - 12) : position + 12]
            raise SchemaError(
                BAD_ENCODING,
                f"U+{ord(character):04X} at character {position} stands for something lost, and"
                f" nothing shows what: {around!a}",
            )


# Surrogates


def _join_surrogates(text: str) -> str:
    if not re.search("[\ud800-\udbff][\udc00-\udfff]", text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


# UTF-8 read as Windows-1252, Latin-1 or Mac Roman


def _high_bytes(codec: str) -> dict[str, int]:
    table = {chr(byte): byte for byte in range(0x80, 0xA0)}  # what a codec leaves undefined
    for byte in range(0x80, 0x100):
        try:
            table[bytes([byte]).decode(codec)] = byte
        except UnicodeDecodeError:
            continue
    return table


_WINDOWS = _high_bytes("cp1252")
_MAC = _high_bytes("mac_roman")


def _undo_mojibake(text: str) -> str:
    for high in (_WINDOWS, _MAC):
        once = _decode_again(text, high)
        if once and high is _MAC and max(once) < "\u0800" and not _MAC_SIGNATURE.search(text):
            continue
        twice = _decode_again(once, high) if once else None
        for mended in (twice, once):  # text that was mangled twice is not rare
            if mended and _is_ordinary(mended):
                return mended
    return _WINDOWS_PUNCTUATION.sub(_decode_punctuation, text)


_MAC_SIGNATURE = re.compile("√[©®™§¶ßÆØ†£¢¥•°À-ÿ]|¬[∞©®£§]")
"""A root or a negation sign followed by a Greek letter is mathematics, by ``©`` it is not."""

_WINDOWS_PUNCTUATION = re.compile("â[€‚ƒ„…†‡ˆ‰\x80-\x89][\x80-¿Œœ\u0152-\u2122]")
"""UTF-8 of U+2000 to U+225F: a circumflexed a before one of these marks is no language."""


def _decode_punctuation(match: re.Match[str]) -> str:
    decoded = _decode_again(match.group(), _WINDOWS)
    return decoded if decoded and _is_ordinary(decoded) else match.group()


def _decode_again(text: str, high: dict[str, int]) -> str | None:
    """Return what the text's bytes mean as UTF-8, or None where they are not UTF-8."""
    raw = bytearray()
    for character in text:
        byte = ord(character) if character < "\x80" else high.get(character)
        if byte is None:
            return None
        raw.append(byte)
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return decoded if len(decoded) < len(text) else None


def _is_ordinary(text: str) -> bool:
    for position, character in enumerate(text):
        if character >= "\x80" and not _is_expected(character, text, position):
            return False
    return True


def _is_expected(character: str, text: str, position: int) -> bool:
    if character < "\xa0":
        return False
    if "\u0100" <= character <= "\u017f":  # a letter of a word; "10 Å²" is an area
        around = text[max(0, position - 1) : position] + text[position + 1 : position + 2]
        return any(neighbour.isalpha() for neighbour in around)
    if character < "\u0800":
        return (
            character <= "\xff" or "\u0370" <= character < "\u03d0" or "\u0400" <= character < "ѡ"
        )
    if character < "\u2000" and not "\u1e00" <= character <= "\u1eff":
        return False
    return unicodedata.category(character) not in {"Cn", "Co", "Cs", "Cc"}


# TeX commands whose backslash and first letter were read as an escape

_TEX_TAILS = {
    "\a": "lpha|ngle|pprox|rcsin|rccos|rctan|st|lign",
    "\b": "oxed|eta|egin|inom|ar|mod|ig[glr]?|ullet|ecause|oldsymbol|ot|f",
    "\f": "rac|orall|lat|box|rown",
    "\v": "ec|ar(?:phi|epsilon|theta|nothing)|ee|dots|ert|space|dash",
    # A tab or a carriage return may be white space, so only tails that are no words.
    "\t": r"imes|heta|riangle|herefore|frac(?=\{)|ext(?:bf|it|rm)?(?=\{)|ilde(?=\{)|binom(?=\{)",
    "\r": r"ight(?=[)\]}.|\\])|ho|angle|ceil|floor|ightarrow",
}
_ESCAPE_LETTERS = {"\a": "a", "\b": "b", "\f": "f", "\v": "v", "\t": "t", "\r": "r"}
_LOST_COMMAND = re.compile(
    "|".join(f"(?:{control}(?:{tails})(?![A-Za-z]))" for control, tails in _TEX_TAILS.items())
)


def _restore_commands(text: str) -> str:
    return _LOST_COMMAND.sub(
        lambda match: "\\" + _ESCAPE_LETTERS[match.group()[0]] + match.group()[1:], text
    )


# Windows-1252 punctuation read as Latin-1 control characters

_C1 = re.compile("[\x80-\x84\x86-\x9f]")


def _restore_punctuation(text: str) -> str:
    found = set(_C1.findall(text))
    if not found:
        return text
    names = {chr(byte): character for character, byte in _WINDOWS.items() if character >= "\xa0"}
    if not found <= names.keys():
        return text
    return re.sub("[\x80-\x9f]", lambda match: names[match.group()], text)


# Ligature codes of TeX's fonts, copied out of a PDF

_LIGATURES = {
    "\x0b": "ff",
    "\x0c": "fi",
    "\x0e": "ffi",
    "\x0f": "ffl",
    "\x1b": "ff",
    "\x1c": "fi",
    "\x1d": "fl",
    "\x1e": "ffi",
    "\x1f": "ffl",
}
_LIGATURE = re.compile("([A-Za-z]*)([\x0b\x0c\x0e\x0f\x1b-\x1f])([A-Za-z]*)")


def _spell_ligatures(text: str) -> str:
    """Drop a code beside its own letters; spell it where the word stands elsewhere in the text."""
    text = _LIGATURE.sub(_drop_doubled, text)
    words = {word.casefold() for word in re.findall("[A-Za-z]+", text)}

    def spell(match: re.Match[str]) -> str:
        word = match[1] + _LIGATURES[match[2]] + match[3]
        return word if len(word) > 3 and word.casefold() in words else match.group()

    return _LIGATURE.sub(spell, text)


def _drop_doubled(match: re.Match[str]) -> str:
    letters = _LIGATURES[match[2]]
    if match[1].endswith(letters) or match[3].startswith(letters):
        return match[1] + match[3]
    return match.group()


def _drop_page_breaks(text: str) -> str:
    """A form feed at the edge of a line is a page break and nothing else."""
    return re.sub("(?:(?<=\n)|\\A)[\f\v]+|[\f\v]+(?=\r?\n|\\Z)", "", text)


_REPAIRS = (
    ("surrogates", _join_surrogates),
    ("mojibake", _undo_mojibake),
    ("tex_escapes", _restore_commands),
    ("windows_punctuation", _restore_punctuation),
    ("ligatures", _spell_ligatures),
    ("page_breaks", _drop_page_breaks),
)
