"""Encoding damage is undone where it can be shown, and nothing else is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.schemas.errors import SchemaError
from butwait.transforms.encoding import repair_text


def read_as(text: str, codec: str) -> str:
    """Return what a reader with the wrong codec makes of UTF-8; undefined bytes pass through."""
    characters = []
    for byte in text.encode():
        try:
            characters.append(bytes([byte]).decode(codec))
        except UnicodeDecodeError:
            characters.append(chr(byte))
    return "".join(characters)


WORDS = (
    *("café", "Joãozinho", "Tomáš", "Győr", "naïve", "It’s", "“so”", "—", "解方程", "三角形"),
    *("30°", "x²±3", "π≤4", "∠ABC", "½", "Ω", "→", "Привет"),
)
PROSE = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
LATEX = st.lists(
    st.sampled_from(
        [
            r"\frac{1}{2}",
            r"\theta",
            "$x^2$",
            r"\boxed{3}",
            r"\right)",
            "\n",
            "\t",
            " ",
            "tan x",
            "√π",
        ]
    ),
    max_size=8,
).map("".join)


@given(PROSE, LATEX)
def test_accents_chinese_and_latex_never_change(prose: str, latex: str) -> None:
    text = f"{prose} {latex}"
    assert repair_text(text).text == text
    assert not repair_text(text).repaired


@given(PROSE, st.sampled_from(["cp1252", "latin-1"]))
def test_utf8_read_as_a_windows_codec_comes_back(prose: str, codec: str) -> None:
    assert repair_text(read_as(prose, codec)).text == prose


@given(PROSE)
def test_text_mangled_twice_comes_back(prose: str) -> None:
    assert repair_text(read_as(read_as(prose, "cp1252"), "cp1252")).text == prose


@given(st.text(max_size=40))
def test_what_was_repaired_needs_no_second_repair(text: str) -> None:
    try:
        once = repair_text(text).text
    except SchemaError as refusal:
        assert refusal.reason == "bad_encoding"
        return
    assert repair_text(once).text == once


@pytest.mark.parametrize("text", ["It’s 3 — four", "Joãozinho", "解方程", "José’s “quote”"])
def test_utf8_read_as_mac_roman_comes_back(text: str) -> None:
    assert repair_text(text.encode().decode("mac_roman")).text == text


@pytest.mark.parametrize(
    "text", ["√π ≈ 3", "¬p ∧ q", "10 Å² of copper", "3×² ±²", "„Ä“", "«É»", "¿Qué? ¡No!", "a·∑π"]
)
def test_what_could_be_meant_is_left_alone(text: str) -> None:
    assert repair_text(text).text == text


def test_one_mangled_quote_in_good_text_is_repaired_alone() -> None:
    assert repair_text("good é and â€™").text == "good é and ’"


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("$\frac{1}{2}$", r"$\frac{1}{2}$"),
        ("\boxed{3}", r"\boxed{3}"),
        ("3 \times 4", r"3 \times 4"),
        ("x \right) y", "x \\right) y"),
        ("\alpha", r"\alpha"),
        ("\vec{a}", r"\vec{a}"),
    ],
)
def test_a_tex_command_that_lost_its_backslash_gets_it_back(broken: str, whole: str) -> None:
    assert repair_text(broken).text == whole


def test_a_tab_before_a_word_stays_a_tab() -> None:
    text = "x\ttan x\ttext\r\n\tan example"
    assert repair_text(text).text == text


def test_windows_quotes_as_control_characters_come_back() -> None:
    assert repair_text("\x93Hi\x94 it\x92s").text == "“Hi” it’s"


def test_a_ligature_code_is_spelled_only_where_the_text_shows_the_word() -> None:
    assert repair_text("the \x0cfirst player").text == "the first player"
    assert repair_text("Find x. Then \x1cnd y.").text == "Find x. Then find y."
    with pytest.raises(SchemaError, match=r"bad_encoding: U\+001C"):
        repair_text("Then \x1cnd y.")


@pytest.mark.parametrize(
    "text", ["\ud800", "a\ufffdb", "\x00", "\ue000 is lost", "$\x0c|x|$", "\x7f"]
)
def test_a_lost_character_is_refused(text: str) -> None:
    with pytest.raises(SchemaError) as caught:
        repair_text(text)
    assert caught.value.reason == "bad_encoding"


def test_two_halves_of_a_surrogate_pair_are_one_character() -> None:
    assert repair_text("\ud83d\ude00").text == "\U0001f600"


def test_the_real_rows_with_control_characters_are_told_apart(shared_data: Path) -> None:
    lines = (shared_data / "numina_nm20k" / "numina_nm20k.jsonl").read_text("utf-8").split("\n")
    problems = {row: json.loads(lines[row])["problem"] for row in (2850, 4326, 15284)}
    assert "$ , find  $(A,B,C)$" in repair_text(problems[2850]).text
    assert "the players, the first or the second" in repair_text(problems[15284]).text
    with pytest.raises(SchemaError):
        repair_text(problems[4326])
