"""Scores and comparisons from handmade cells: every figure by hand, every refusal."""

from __future__ import annotations

import csv
import io
import json
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.evals.arm_score import ArmScore, score_arm
from butwait.evals.cells import read_arms
from butwait.evals.compare import Table, compare_runs
from butwait.evals.forest import draw_table
from butwait.evals.metrics import best_at_k
from butwait.evals.names import describe_score
from butwait.evals.render import notes_of, to_csv, to_json, to_markdown
from butwait.pipelines.cli import run_command
from butwait.schemas.errors import ConfigError
from tests.eval_world import make_arm, make_cell, problem_ids, spread, write_run

OF_30 = [4] * 7 + [3] * 6 + [0] * 17
"""46 of 240 right, 13 of 30 solved: the original table's Phi-4 in one possible spread."""


def score(folder: Path, *arms: object, **more: object) -> list[ArmScore]:
    write_run(folder, arms, **more)  # type: ignore[arg-type]
    return [score_arm(cells) for cells in read_arms(folder)]


def test_the_published_baseline_prints_46_of_240_and_13_of_30(tmp_path: Path) -> None:
    [found] = score(tmp_path, make_arm(spread(OF_30, 8)))
    assert (found.n_correct, found.n_cells, found.n_solved) == (46, 240, 13)
    assert round(100 * found.expected_at_1.value, 2) == 19.17
    assert found.pass_at_k is not None and round(100 * found.pass_at_k.value, 2) == 43.33
    assert "(46/240)" in describe_score(found)[1]


def test_five_missing_problems_do_not_print_12_of_25(tmp_path: Path) -> None:
    rows: list[list[str | None]] = [[*row] for row in spread([8] * 4 + [4] * 8 + [0] * 13, 8)]
    rows += [[None] * 8] * 5
    [found] = score(tmp_path, make_arm(rows))
    assert (found.n_correct, found.n_missing) == (64, 40)
    assert round(100 * found.expected_at_1.value, 2) == 26.67
    assert found.completed is not None
    assert round(100 * found.completed.value, 2) == 32.0
    text = "\n".join(describe_score(found))
    assert "INCOMPLETE" in text and "completed only: 32.0 %" in text and "25 of 30" in text
    with pytest.raises(ConfigError, match="40 of 240 cells are missing"):
        compare_runs([tmp_path])


def test_every_kind_of_failure_has_its_own_column_and_counts_as_wrong(tmp_path: Path) -> None:
    row = ["correct", "truncated", "gold_unusable", "timeout", "error", "!context_overflow",
           "no_answer", "ambiguous"]  # fmt: skip
    [found] = score(tmp_path, make_arm([row, row]))
    assert found.outcomes == {
        "missing": 0, "errored": 2, "truncated": 2, "ungradable": 6, "wrong": 4, "correct": 2,
    }  # fmt: skip
    assert found.expected_at_1.value == 2 / 16
    assert found.completed is not None and found.completed.value == pytest.approx(1 / 3)


def test_a_majority_counts_classes_and_a_tie_shares(tmp_path: Path) -> None:
    record, _ = make_arm([["correct"] * 4] * 2)
    cells = [
        make_cell(record, 0, 0, "correct", answer_class=0),
        make_cell(record, 0, 1, "correct", answer_class=0),
        make_cell(record, 0, 2, "incorrect", answer_class=1),
        make_cell(record, 0, 3, "no_answer", answer_class=None),
        make_cell(record, 1, 0, "correct", answer_class=0),
        make_cell(record, 1, 1, "incorrect", answer_class=1),
        make_cell(record, 1, 2, "incorrect", answer_class=2),
        make_cell(record, 1, 3, "incorrect", answer_class=3),
    ]
    [found] = score(tmp_path, (record, cells))
    assert found.maj_at_k is not None and found.maj_at_k.value == pytest.approx((1 + 0.25) / 2)
    assert found.best_at_k is None


def test_the_best_by_reward_is_the_one_with_the_highest(tmp_path: Path) -> None:
    record, _ = make_arm([["correct"] * 2] * 2)
    cells = [
        make_cell(record, 0, 0, "correct", prm_score=0.9),
        make_cell(record, 0, 1, "incorrect", prm_score=0.1),
        make_cell(record, 1, 0, "correct", prm_score=0.2),
        make_cell(record, 1, 1, "incorrect", prm_score=0.3),
    ]
    [found] = score(tmp_path, (record, cells))
    assert found.best_at_k is not None and found.best_at_k.value == 0.5


samples = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.booleans()), min_size=1, max_size=6
)


@given(samples, st.integers(1, 6))
def test_best_at_k_is_the_mean_over_all_subsets(drawn: list[tuple[float, bool]], k: int) -> None:
    k = min(k, len(drawn))
    total = 0.0
    subsets = list(combinations(drawn, k))
    for subset in subsets:
        top = max(value for value, _ in subset)
        tied = [hit for value, hit in subset if value == top]
        total += sum(tied) / len(tied)
    found = best_at_k([value for value, _ in drawn], [hit for _, hit in drawn], k)
    assert found == pytest.approx(total / len(subsets))


def test_flows_count_first_and_final_answers(tmp_path: Path) -> None:
    record, _ = make_arm([["correct"] * 3])
    cells = [
        make_cell(record, 0, 0, "incorrect", first_verdict="correct", n_transitions=1),
        make_cell(record, 0, 1, "correct", first_verdict="incorrect", n_transitions=2),
        make_cell(record, 0, 2, "correct"),
    ]
    [found] = score(tmp_path, (record, cells))
    assert found.behaviour.flows == {
        "right_right": 0, "right_wrong": 1, "wrong_right": 1, "wrong_wrong": 0,
    }  # fmt: skip
    assert found.behaviour.transitions == 1.0


def test_problems_seen_in_training_are_left_out_beside_the_score(tmp_path: Path) -> None:
    touched = dict.fromkeys(problem_ids(4)[:2], "copy")
    arm = make_arm(spread([8, 8, 4, 0], 8))
    [found] = score(tmp_path, arm, touched=touched)
    assert found.n_touched == 2
    assert found.untouched is not None and found.untouched.value == 0.25
    assert found.expected_at_1.value == 0.625


# Comparisons


def compared(folder: Path, *arms: object, **more: object) -> Table:
    return compare_runs([write_run(folder, arms)], **more)  # type: ignore[arg-type]


def test_two_more_right_of_240_are_no_difference_and_twenty_points_are(tmp_path: Path) -> None:
    near = [5, *OF_30[1:13], 1, *OF_30[14:]]
    table = compared(
        tmp_path,
        make_arm(spread(OF_30, 8)),
        make_arm(spread(near, 8), model="near"),
        make_arm(spread([min(8, c + 2) for c in OF_30], 8), model="far"),
    )
    assert [row.finding for row in table.rows] == ["", "no difference shown", "better"]
    assert table.rows[1].difference is not None
    assert table.rows[1].difference.value == pytest.approx(2 / 240)
    assert table.rows[2].p_holm is not None and table.rows[2].difference is not None
    assert table.rows[2].p_holm >= table.rows[2].difference.p_value


def test_the_best_of_several_checkpoints_stands_beside_what_chance_prints(tmp_path: Path) -> None:
    arms = [
        make_arm(spread([*OF_30[:12], 3 - i % 2, *OF_30[13:]], 8), model=f"c{i}", arm="GRPO",
                 checkpoint=f"step {i}")
        for i in range(4)
    ]  # fmt: skip
    table = compared(tmp_path, make_arm(spread(OF_30, 8)), *arms)
    [found] = table.selections
    assert (found.m, found.arm) == (4, "GRPO")
    assert found.by_chance.mean > found.score
    assert "best of 4 checkpoints of GRPO" in notes_of(table)[0]


def test_another_prompt_is_refused_unless_it_is_asked_for(tmp_path: Path) -> None:
    arms = make_arm(spread([4, 2], 8)), make_arm(spread([4, 2], 8), model="m", prompt="none")
    with pytest.raises(ConfigError, match=r"prompt 'none'.*--across-prompts"):
        compared(tmp_path, *arms)
    table = compared(tmp_path, *arms, across_prompts=True)
    assert table.rows[1].is_other_prompt


def test_other_parameters_problems_and_names_are_refused(tmp_path: Path) -> None:
    base = make_arm(spread([4, 2], 8))
    hot = make_arm(spread([4, 2], 8), model="hot", parameters={"temperature": 1.0})
    with pytest.raises(ConfigError, match="difference would be that of both"):
        compared(tmp_path / "a", base, hot)
    one = write_run(tmp_path / "one", [base])
    more = write_run(tmp_path / "more", [make_arm(spread([4, 2, 1], 8), model="m")])
    with pytest.raises(ConfigError, match="another denominator"):
        compare_runs([one, more])
    with pytest.raises(ConfigError, match="stands in one and in"):
        compare_runs([one, write_run(tmp_path / "two", [base])])
    with pytest.raises(ConfigError, match="their models are base"):
        compare_runs([one], base="phi")


def test_rows_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    record, cells = make_arm(spread([4, 2], 8))
    mixed = [cells[0].model_copy(update={"prompt": "none"}), *cells[1:]]
    with pytest.raises(ConfigError, match="mixes rows of prompt"):
        read_arms(write_run(tmp_path / "mixed", [(record, mixed)]))
    with pytest.raises(ConfigError, match="stands twice"):
        read_arms(write_run(tmp_path / "twice", [(record, [*cells, cells[0]])]))
    stray = [cells[0].model_copy(update={"sample_index": 9}), *cells[1:]]
    with pytest.raises(ConfigError, match="not among the 2 x 8"):
        read_arms(write_run(tmp_path / "stray", [(record, stray)]))


def test_a_k_larger_than_n_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path, [make_arm(spread([2, 1], 4)), make_arm(spread([1, 1], 4), model="m")])
    with pytest.raises(ConfigError, match="pass@8 is undefined with n = 4"):
        compare_runs([run], k=8)


def test_a_search_is_compared_with_the_bases_samples(tmp_path: Path) -> None:
    record, cells = make_arm(
        [["correct"]] * 9 + [["incorrect"]], method="particle-32", any_right=True
    )
    table = compared(tmp_path, make_arm(spread([1] * 10, 8)), (record, cells))
    row = table.rows[1]
    assert row.base is not None and row.base.method == "sample"
    assert row.finding == "better" and row.difference_at_k is None
    assert row.score.any_right is not None and row.score.any_right.value == 1


def test_tables_for_machines_hold_every_figure(tmp_path: Path) -> None:
    arms = make_arm(spread(OF_30, 8)), make_arm(spread(OF_30, 8), model="m|x", arm="a")
    table = compared(tmp_path, *arms)
    records = json.loads(to_json(table))["arms"]
    assert records[0]["expected_at_1"]["value"] == 46 / 240
    assert records[1]["difference"]["value"] == 0
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert float(rows[0]["expected_at_1_value"]) == 46 / 240
    assert "m\\|x" in to_markdown(table)
    assert to_markdown(table).count("| 46/240 |") == 2


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_forest_plot_is_drawn(tmp_path: Path, suffix: str) -> None:
    table = compared(tmp_path, make_arm(spread(OF_30, 8)), make_arm(spread(OF_30, 8), model="m"))
    draw_table(table, tmp_path / f"f.{suffix}")
    assert (tmp_path / f"f.{suffix}").stat().st_size > 2000
    with pytest.raises(ConfigError, match="must end with"):
        draw_table(table, tmp_path / "f.gif")
    with pytest.raises(ConfigError, match="nothing was compared"):
        draw_table(compared(tmp_path / "b", make_arm(spread([1, 2], 8))), tmp_path / "g.svg")


def test_the_command_prints_all_formats(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "r", [make_arm(spread([4, 2], 8)),
                                     make_arm(spread([5, 2], 8), model="m")])  # fmt: skip
    for form, word in (("table", "less base"), ("markdown", "| m |"), ("json", '"arms"'),
                       ("csv", "expected_at_1_low")):  # fmt: skip
        assert run_command(["compare", str(run), "--format", form]) == 0
        assert word in capfd.readouterr().out
    assert run_command(["compare", str(run), "--format", "xml"]) == 2
    assert run_command(["compare", str(tmp_path)]) == 2
    assert run_command(["compare", str(run), "--plot", str(tmp_path / "f.svg")]) == 0


def test_a_build_is_no_evaluation(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "x"}')
    with pytest.raises(ConfigError, match="of another kind"):
        read_arms(tmp_path)
