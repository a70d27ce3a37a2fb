"""``butwait eval audit``: which printed percentages can be fractions over K x n."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.evals.audit import audit_row, audit_table
from butwait.pipelines.cli import run_command

HEADER = "name,expected_at_1,pass_at_n\n"


@pytest.fixture
def original(root: Path) -> Path:
    """The original table's 32 rows as printed, with what they decode to."""
    return root / "tests" / "fixtures" / "audit" / "update1.csv"


def test_exactly_two_rows_of_the_original_table_are_flagged_with_what_they_can_be(
    original: Path,
) -> None:
    flagged = [row for row in audit_table(original, 30, 8) if row.consistent is False]
    found = {row.name: [str(f) for f in row.fractions] for row in flagged}
    assert found == {
        "Phi-4 But-Wait + grpo ckpt-150": ["39/208 with 10/26"],
        "Phi-4 LIMO": ["64/200 with 12/25"],
    }


def test_every_filled_row_of_the_original_table_decodes_in_one_way(original: Path) -> None:
    with original.open(encoding="utf-8") as file:
        known = list(csv.DictReader(file))
    assert len(known) == 32
    for row, expected in zip(audit_table(original, 30, 8), known, strict=True):
        if expected["correct"]:
            [only] = row.fractions
            assert (only.expected_at_1, only.pass_at_n) == (expected["correct"], expected["solved"])
        else:
            assert row.consistent is None
            assert "nothing to check" in str(row)


@given(st.data())
def test_a_run_over_all_problems_is_never_flagged(data: st.DataObject) -> None:
    k, n = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 16))
    counts = data.draw(st.lists(st.integers(0, n), min_size=k, max_size=k))
    places = data.draw(st.integers(0, 4))
    shares = [Fraction(sum(counts), k * n), Fraction(sum(c > 0 for c in counts), k)]
    printed = [f"{Decimal(round(100 * 10**places * share)).scaleb(-places):f}" for share in shares]
    row = audit_row("run", *printed, k, n)
    assert row.consistent
    assert f"{sum(counts)}/{k * n}" in [f.expected_at_1 for f in row.fractions]


def test_halves_may_be_rounded_up_or_to_the_even_digit() -> None:
    # 1/16 = 6.25 %: printed with one digit it is 6.2 or 6.3.
    assert audit_row("even", "6.2", "", 16, 1).consistent
    assert audit_row("up", "6.3", "", 16, 1).consistent
    assert audit_row("cut", "6.1", "", 16, 1).consistent is False


def test_figures_that_fit_alone_and_not_together_are_flagged() -> None:
    assert audit_row("alone", "50.00", "", 30, 8).consistent
    assert audit_row("alone", "", "40.00", 30, 8).consistent
    assert audit_row("both", "50.00", "40.00", 30, 8).consistent is False  # 120 > 12 x 8
    assert audit_row("none solved", "10.00", "0.00", 30, 8).consistent is False


def test_json_has_one_record_a_row(original: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["eval", "audit", str(original), "--problems", "30", "--samples", "8", "--json"]
    assert run_command(arguments) == 0
    rows = json.loads(capfd.readouterr().out)
    assert len(rows) == 32
    [phi] = [row for row in rows if row["name"] == "phi-4"]
    assert phi["consistent"] is True
    assert phi["fractions"] == [{"n_problems": 30, "expected_at_1": "46/240", "pass_at_n": "13/30"}]
    assert [row["name"] for row in rows if row["consistent"] is None] == ["Phi-4 Bespoke-prompt"]


def test_the_printed_audit_ends_with_the_count(
    original: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["eval", "audit", str(original), "--problems", "30", "--samples", "8"]) == 0
    out = capfd.readouterr().out
    assert "Phi-4 LIMO: NOT POSSIBLE over these problems; can be 64/200 with 12/25" in out
    assert out.endswith("2 of 32 rows cannot be over 30 x 8 samples\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (HEADER, "no rows"),
        ("name,expected_at_1\na,1\n", "no column pass_at_n"),
        (HEADER + "a,many,\n", "expected_at_1 is 'many'"),
        (HEADER + "a,nan,\n", "expected_at_1 is 'nan'"),
        (HEADER + "a,1e1,\n", "expected_at_1 is '1e1'"),
        (HEADER + "a,,100.01\n", "lie in 0 to 100"),
        (HEADER + "a,-1,\n", "lie in 0 to 100"),
        (HEADER + "a,b,10.00,20.00\n", "more cells than columns"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_one_line(
    text: str, reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    assert run_command(["eval", "audit", str(path), "--problems", "30", "--samples", "8"]) == 2
    err = capfd.readouterr().err
    assert reason in err
    assert err.count("\n") == 1


def test_no_samples_and_a_missing_table_are_refused(
    tmp_path: Path, original: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["eval", "audit", str(original), "--problems", "30", "--samples", "0"]) == 2
    assert "at least 1, not 30 and 0" in capfd.readouterr().err
    gone = str(tmp_path / "gone.csv")
    assert run_command(["eval", "audit", gone, "--problems", "30", "--samples", "8"]) == 2
    assert "cannot read" in capfd.readouterr().err
