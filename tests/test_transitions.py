"""Where a text turns round, by example and by law."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.transforms.transitions import find_turns


@pytest.mark.parametrize(
    ("text", "backtracks"),
    [
        ("It is 7.\n\nHold on! I made a mistake. Let me try again.\n\nIt is 8.", [True]),
        ("So 7.\n\nBut wait, let me check.\n\nYes, 7.", [False]),
        ("Wait, that's wrong. So 8. Hmm, is it? Alternatively, use 9.", [True, False]),
        ("First 3. Let me double-check. Fine.\nLet's start over.\nNow 4.", [False, True]),
        ("We wait for the bus. The waiting time is 3.", []),
        ("He will hold on to 3 apples.", []),
        ("", []),
    ],
)
def test_turns_at_the_start_of_a_sentence_are_found(text: str, backtracks: list[bool]) -> None:
    assert [turn.is_backtrack for turn in find_turns(text)] == backtracks


def test_a_turn_begins_where_its_words_begin() -> None:
    text = "It is 7.\n\nBut wait, no."
    assert text[find_turns(text)[0].start :].startswith("But wait")


@given(st.text(alphabet="Wait, hold on.!\nB1u", max_size=200))
def test_turns_come_in_order_and_lie_in_the_text(text: str) -> None:
    starts = [turn.start for turn in find_turns(text)]
    assert starts == sorted(set(starts))
    assert all(0 <= start < len(text) for start in starts)


def test_a_long_text_without_turns_takes_no_time() -> None:
    assert find_turns("wait " * 200_000) != []
    assert find_turns(("a " * 100 + ". ") * 2_000) == []
