"""The ledger adds up, or says which account does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.schemas.ledger import Account, Ledger, LedgerError

EMPTY = Account(total=0, bins={})
bins = st.dictionaries(st.text(min_size=1, max_size=5), st.integers(0, 1000), max_size=6)


def ledger(**changes: object) -> Ledger:
    base = {
        "questions": EMPTY,
        "samples": EMPTY,
        "continuations": EMPTY,
        "rows": {},
        "flows": {},
        "considered": {},
    }
    return Ledger.model_validate({**base, **changes})


@given(bins)
def test_bins_that_add_up_to_the_total_pass(found: dict[str, int]) -> None:
    ledger(samples=Account(total=sum(found.values()), bins=found)).check()


@given(bins, st.integers(1, 50))
def test_one_item_too_few_in_the_bins_is_an_error_that_names_the_account(
    found: dict[str, int], lost: int
) -> None:
    broken = Account(total=sum(found.values()) + lost, bins=found)
    with pytest.raises(LedgerError, match="ledger of rows of default does not add up"):
        ledger(rows={"default": broken}).check()
    assert broken.balance == lost


def test_an_item_in_two_bins_is_an_error() -> None:
    with pytest.raises(LedgerError, match="questions"):
        ledger(questions=Account(total=1, bins={"kept": 1, "proof": 1})).check()


def test_a_negative_bin_cannot_balance_another() -> None:
    with pytest.raises(LedgerError):
        ledger(samples=Account(total=1, bins={"correct": 2, "failed": -1})).check()
