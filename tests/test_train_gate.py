"""The gate: rows that would train a model wrongly are counted by reason, before it loads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from test_train_examples import NO_END, STRIPS_THOUGHT
from train_world import POLICY, make_doubt, make_row, write_recipe

from butwait.pipelines.cli import run_command


def check(folder: Path, capsys: Any, *more: str, **recipe: Any) -> tuple[int, str]:
    """Run the gate alone; exit code and what was printed."""
    path = write_recipe(folder, **recipe)
    code = run_command(["train", "sft", str(path), "--out", str(folder), "--check", *more])
    return code, capsys.readouterr().err


def test_good_rows_pass_with_their_counts(tmp_path: Path, capsys: Any) -> None:
    code, said = check(tmp_path, capsys)
    assert code == 0 and "20 of 20 to train on, 10 steps" in said
    assert not (tmp_path / "sums" / "final").exists()


@pytest.mark.parametrize(
    ("template", "text", "problem"),
    [
        (STRIPS_THOUGHT, "<think>3 + 1</think>4", "thought lost: 20 of 20 rows"),
        (NO_END, None, "no end token: 20 of 20 rows"),
        ("{{ raise_exception('no') }}", None, "not rendered: 20 of 20 rows"),
    ],
)
def test_a_template_that_trains_wrongly_stops_the_run(
    tmp_path: Path, capsys: Any, template: str, text: str | None, problem: str
) -> None:
    (tmp_path / "chat.jinja").write_text(template, "utf-8")

    rows = [make_row(n, text) for n in range(20)]
    model = {"id": str(POLICY), "chat_template": "chat.jinja"}
    code, said = check(tmp_path, capsys, rows=rows, model=model)
    assert code == 2 and problem in said and "e.g. r0" in said


def test_force_trains_on_what_is_left(tmp_path: Path, capsys: Any) -> None:
    masked = make_row(99, "2 + 2 = 5", [{"start": 0, "end": 9, "role": "wrong_branch"}])
    rows = [*(make_doubt(n) for n in range(19)), masked]
    (tmp_path / "chat.jinja").write_text(NO_END, "utf-8")
    model = {"id": str(POLICY), "chat_template": "chat.jinja"}
    code, said = check(tmp_path, capsys, rows=rows, model=model, mask="wrong")
    assert code == 2 and "fully masked: 1 of 20 rows" in said and "--force" in said
    code, said = check(tmp_path, capsys, "--force", rows=rows, model=model, mask="wrong")
    assert code == 0 and "19 of 20 to train on" in said


@pytest.mark.parametrize(("rule", "kept"), [("drop", 19), ("keep", 20), ("cut_end", 20)])
def test_over_long_rows_are_counted_whatever_the_rule(
    tmp_path: Path, capsys: Any, rule: str, kept: int
) -> None:
    rows = [*(make_row(n) for n in range(19)), make_row(77, "so " * 300)]
    code, said = check(tmp_path, capsys, rows=rows, too_long=rule, max_length=100)
    assert code == 0 and f"{kept} of 20 to train on" in said
    assert "too long" in said and "e.g. r77" in said


def test_too_many_over_long_rows_stop_the_run(tmp_path: Path, capsys: Any) -> None:
    code, said = check(tmp_path, capsys, max_length=20)
    assert code == 2 and "too long: 20 of 20 rows have more than max_length 20 tokens" in said


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        ({"batch_size": 50}, "batch_size 50 is larger than the dataset: 20 rows"),
        ({"data": {"path": "nowhere.jsonl"}}, "does not exist"),
        ({"data": {"run": "."}}, "has no finished rows"),
        ({"model": {"id": "./nowhere"}}, "is not a model's folder"),
        ({"mask": "wrongs"}, "mask: Input should be 'none', 'wrong' or 'wrong_and_transition'"),
        ({"epoch": 3}, "unknown key 'epoch'; did you mean 'epochs'?"),
        ({"packing": True, "too_long": "keep"}, "too_long cannot be keep"),
        ({"rows": [{"question": "2?", "answer": "2"}]}, "needed: prompt and completion, or mess"),
        ({"data": {"path": "rows.jsonl", "max_pass_rate": 0.5}}, "need a column 'pass_rate'"),
        (
            {
                "rows": [make_row(n) | {"pass_rate": "high"} for n in range(20)],
                "data": {"path": "rows.jsonl", "max_pass_rate": 0.5},
            },
            "the column 'pass_rate' holds 'high': it must hold numbers",
        ),
        (
            {"rows": [make_row(0) | {"completion": [{"role": "assistant", "content": None}]}]},
            "not rendered: 1 of 1 rows (it is no chat of roles and texts",
        ),
        ({"report_to": ["trackio"]}, "report_to: trackio is not installed"),
    ],
)
def test_bad_input_is_one_line_with_the_way_out(
    tmp_path: Path, capsys: Any, recipe: dict[str, Any], problem: str
) -> None:
    code, said = check(tmp_path, capsys, **recipe)
    assert code == 2 and problem in said and "Traceback" not in said


def test_questions_that_are_too_easy_or_too_hard_are_left_out(tmp_path: Path, capsys: Any) -> None:
    rows = [make_row(n) | {"pass_rate": n / 20} for n in range(20)]
    rates = {"path": "rows.jsonl", "min_pass_rate": 0.25, "max_pass_rate": 0.75}
    code, said = check(tmp_path, capsys, rows=rows, data=rates)
    assert code == 0 and "11 of 11 to train on" in said


def test_a_tokenizer_without_a_chat_template_is_named(tmp_path: Path, capsys: Any) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(POLICY, bare)
    (bare / "chat_template.jinja").unlink()
    code, said = check(tmp_path, capsys, model={"id": str(bare)})
    assert code == 2 and "its tokenizer has no chat template" in said
