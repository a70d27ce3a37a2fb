"""Whole builds on the real rows beside the checkout: every number of docs/real-runs.md.

Recorded trajectories are verified and transformed anew and compared with the labels that came with
them; the real questions are asked of a server on loopback that says 7 and 8 in turn. What a real
model says to them is no fixed number and stands in the page alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.sources import resolve_source
from butwait.pipelines.stages.beam_run import DEFAULT_RUNNER
from butwait.pipelines.stages.questions import QuestionsPlan, make_questions
from butwait.pipelines.summary import read_ledger
from butwait.pipelines.tables import read_columns, read_records
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.recipe_source import Columns, SourceSpec
from butwait.schemas.row import SftRow
from butwait.transforms.verify import compare, verify
from tests.build_world import build
from tests.fake_openai import FakeOpenAI

ROOT = Path(__file__).resolve().parents[1]
TEXT_CONFIGS = ("default", "stitched", "limo")
MARKERS = {
    "bespoke": r"<\|(?:begin|end)_of_(?:thought|solution)\|>",
    "think_boxed": r"</?think>",
    "thinking_answer": r"</?(?:thinking|answer)>",
}


@dataclass(frozen=True)
class Expected:
    """What one recording gives."""

    questions: dict[str, int]
    verdicts: dict[tuple[str, bool], int]
    """(verdict, recorded label) → samples."""
    disagreements: frozenset[tuple[int, int]]
    """(row, sample) where one of verdict and label says right and the other does not."""
    rows: dict[str, int]


# Each of these was looked at; docs/real-runs.md says who is right (the verifier, in all of them).
R1_EQUIVALENT = frozenset(
    (row, 0)
    for row in (
        11, 16, 17, 28, 43, 63, 70, 71, 72, 76, 78, 80, 81, 87, 89, 94, 104, 111, 115, 116, 123,
        130, 139, 147,
    )
)  # fmt: skip
NEED_THE_PROBLEM = {70, 71, 72, 123}
"""R1-distill boxed an option's letter against the option's text; 44 % against 44, "in percent"."""
CLOCK_TIME = frozenset((3, sample) for sample in range(8))
"""Gold and answer are the same time of day with the text command in other places."""

EXPECTED = {
    "qwen25-math": Expected(
        questions={"used": 96},
        verdicts={("correct", True): 702, ("correct", False): 9, ("incorrect", False): 57},
        disagreements=CLOCK_TIME | {(68, 7)},
        rows={"default": 94, "stitched": 10, "limo": 94, "rl": 96},
    ),
    "prime-rl": Expected(
        questions={"duplicate": 98, "used": 14},
        verdicts={("correct", True): 37, ("truncated", False): 75},
        disagreements=frozenset(),
        rows={"default": 8, "stitched": 0, "limo": 8, "rl": 14},
    ),
    "r1-distill": Expected(
        questions={"used": 153},
        verdicts={
            ("correct", True): 118,
            ("correct", False): 24,
            ("truncated", False): 9,
            ("incorrect", False): 2,
        },
        disagreements=R1_EQUIVALENT,
        rows={"default": 142, "limo": 142, "rl": 153},
    ),
    "gsm8k-openai": Expected(
        questions={"used": 1319},
        verdicts={("correct", True): 2001, ("incorrect", False): 3265, ("no_answer", False): 10},
        disagreements=frozenset(),
        rows={"default": 887, "stitched": 731, "limo": 887, "rl": 1319},
    ),
}


@dataclass(frozen=True)
class Replayed:
    """A finished replay with its samples by (row of the source, sample)."""

    name: str
    run: RunFolder
    samples: dict[tuple[int, int], dict[str, Any]]


def absolute(recipe: Path) -> dict[str, Any]:
    """Read a recipe with its paths made absolute."""
    document: dict[str, Any] = yaml.safe_load(recipe.read_text("utf-8"))
    for part in [*document["sources"], document.get("replay")]:
        if part is not None:
            part["path"] = str((recipe.parent / part["path"]).resolve())
    return document


def read_samples(run: RunFolder) -> dict[tuple[int, int], dict[str, Any]]:
    rows = {
        q["id"]: q["row"]
        for path in run.question_shards()
        for q in read_columns(path, ["id", "row"])
    }
    names = ["question_id", "sample_index", "verdict", "rule", "label", "finish_reason", "text"]
    return {
        (rows[t["question_id"]], t["sample_index"]): t
        for path in run.trajectory_parts()
        for t in read_columns(path, names)
    }


@pytest.fixture(scope="module", params=list(EXPECTED))
def replayed(
    request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Replayed:
    folder = tmp_path_factory.mktemp(request.param)
    run = build(folder, absolute(ROOT / "recipes" / "replay" / f"{request.param}.yaml"))
    return Replayed(request.param, run, read_samples(run))


def published(run: RunFolder) -> Iterator[tuple[str, SftRow]]:
    for config in TEXT_CONFIGS:
        for path in run.row_shards(config):
            for row in read_records(path, SftRow):
                yield config, row


def dead_letters(run: RunFolder) -> dict[int, DeadLetter]:
    letters = [
        letter
        for path in run.dead_letters.glob("questions-*.parquet")
        for letter in read_records(path, DeadLetter)
    ]
    return {letter.row: letter for letter in letters if letter.row is not None}


def test_the_ledger_of_a_replay_adds_up_and_holds_every_recorded_sample(
    replayed: Replayed,
) -> None:
    expected, ledger = EXPECTED[replayed.name], read_ledger(replayed.run.root)
    ledger.check()
    assert ledger.questions.bins == expected.questions
    assert ledger.samples.total == len(replayed.samples)
    verdicts = Counter(t["verdict"] for t in replayed.samples.values())
    assert ledger.samples.bins == dict(verdicts)
    for config, count in expected.rows.items():
        assert ledger.rows[config].bins == {"written": count}, "nothing made is refused"


def test_verdicts_against_recorded_labels_are_the_counts_of_the_page(replayed: Replayed) -> None:
    expected = EXPECTED[replayed.name]
    samples = replayed.samples
    assert Counter((t["verdict"], t["label"]) for t in samples.values()) == expected.verdicts
    differ = {key for key, t in samples.items() if (t["verdict"] == "correct") != t["label"]}
    assert differ == expected.disagreements


def test_every_published_final_answer_verifies_again_from_the_file_alone(
    replayed: Replayed,
) -> None:
    for config, row in published(replayed.run):
        text, problem = row.completion[0].content, row.prompt[-1].content
        assert verify(row.answer, text, problem=problem).correct, (config, row.id)
        alone = verify(row.answer, text).correct
        assert alone or row.provenance.dataset_row in NEED_THE_PROBLEM, (config, row.id)


def test_published_markers_are_balanced_and_spans_leave_no_word_uncovered(
    replayed: Replayed,
) -> None:
    for config, row in published(replayed.run):
        text = row.completion[0].content
        marker = MARKERS[row.provenance.renderer or ""]
        found = re.findall(marker, text)
        assert len(found) == len(set(found)) == len(re.findall("|".join(MARKERS.values()), text))
        assert len(found) == {"think_boxed": 2}.get(row.provenance.renderer or "", 4)
        bounds = [0, *(edge for span in row.spans for edge in (span.start, span.end)), len(text)]
        between = "".join(text[a:b] for a, b in zip(bounds[::2], bounds[1::2], strict=True))
        assert not re.sub(marker, "", between).strip(), (config, row.id)
        roles = Counter(span.role for span in row.spans)
        assert roles["transition"] == roles["wrong_branch"] == row.n_transitions


def test_a_replayed_row_claims_nothing_of_how_it_was_sampled(replayed: Replayed) -> None:
    for _, row in published(replayed.run):
        provenance = row.provenance
        assert provenance.seed is None and provenance.temperature is None
        assert provenance.engine == "replay"


def test_a_stitched_text_goes_wrong_and_ends_right(replayed: Replayed) -> None:
    verdicts = {
        f"{t['question_id']}-sample-{t['sample_index']}": t["verdict"]
        for t in replayed.samples.values()
    }
    for config, row in published(replayed.run):
        *wrong, right = (verdicts[parent] for parent in row.provenance.parents)
        assert right == "correct", row.id
        assert wrong == ["incorrect"] * row.n_transitions, row.id
        assert bool(wrong) == (config == "stitched")


def test_rollouts_cut_before_their_box_are_truncated_and_never_wrong(replayed: Replayed) -> None:
    if replayed.name == "gsm8k-openai":
        assert all(t["finish_reason"] == "unknown" for t in replayed.samples.values())
        return
    for key, sample in replayed.samples.items():
        if sample["verdict"] == "truncated":
            assert sample["finish_reason"] == "length" or "</think>" not in sample["text"], key
        if sample["finish_reason"] == "length":
            assert sample["verdict"] in ("truncated", "correct"), key


def bins_of_nm20k(folder: Path, path: Path) -> tuple[dict[str, int], dict[int, str]]:
    """Stage 1 over all 20,000 rows; its counts and the bin of every row."""
    source = resolve_source(
        SourceSpec(path=str(path), columns=Columns(problem="problem", answer="answer")), path.parent
    )
    run = RunFolder(folder / "nm20k")
    plan = QuestionsPlan(run, n_shards=2, block_size=256, datasets=(source.dataset,))
    record = make_questions(plan, [source], "all rows", DEFAULT_RUNNER, ())
    bins = {row: letter.reason for row, letter in dead_letters(run).items()}
    for shard in run.question_shards():
        for question in read_columns(shard, ["row"]):
            assert question["row"] not in bins
            bins[question["row"]] = "question"
    return dict(record.counts), bins


@pytest.fixture(scope="module")
def nm20k(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, int], dict[int, str]]:
    folder = tmp_path_factory.mktemp("stage1")
    return bins_of_nm20k(folder, shared_data / "numina_nm20k" / "numina_nm20k.jsonl")


def test_all_twenty_thousand_rows_end_in_one_bin_each(
    nm20k: tuple[dict[str, int], dict[int, str]],
) -> None:
    counts, bins = nm20k
    totals = Counter(bins.values())
    assert counts["read"] == len(bins) == 20_000
    assert counts["kept"] == totals["question"]
    assert totals["conflicting_duplicate"] == 61
    assert totals["duplicate"] == 125
    assert totals["gold_unusable"] < 400


def test_a_build_of_named_rows_alone_puts_each_where_the_whole_file_does(
    nm20k: tuple[dict[str, int], dict[int, str]], shared_data: Path, tmp_path: Path
) -> None:
    _, bins = nm20k
    named = [
        5, 12244, 1784, 5926, 3662, 18129, 4517, 12136, 14263, 1219, 5631, 13905, 16501, 2850, 4326,
        15284, 146, 2895, 7270, 15370, 1810, 708, 4374, 13728,
    ]  # fmt: skip
    lines = (shared_data / "numina_nm20k" / "numina_nm20k.jsonl").read_text("utf-8").split("\n")
    (tmp_path / "named.jsonl").write_text("\n".join(lines[row] for row in named) + "\n", "utf-8")
    with FakeOpenAI(say_seven_or_eight).running() as server:
        source = {"path": "named.jsonl", "columns": {"problem": "problem", "answer": "answer"}}
        run = build(tmp_path, asked_of(server.url, [source]))
    ledger = read_ledger(run.root)
    ledger.check()
    letters = dead_letters(run)
    for place, row in enumerate(named):
        found = letters[place].reason if place in letters else "question"
        assert found == bins[row], row
    assert ledger.questions.bins["conflicting_duplicate"] == 9
    assert "12244" not in letters[0].detail, "rows are counted in the file that was read"
    assert "row 1 of named.jsonl" in letters[0].detail


def say_seven_or_eight(payload: dict[str, Any], index: int) -> str:
    """Answer 7 and 8 in turn."""
    number = 7 + ((payload.get("seed") or 0) + index) % 2
    return f"I look at the numbers.\n\nThe answer is \\boxed{{{number}}}."


def asked_of(url: str, sources: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": "real",
        "sources": sources,
        "model": {"id": "fake/model"},
        "server": {"mode": "attach", "url": url, "served_name": "fake/model"},
        "sampling": {"n": 4, "max_tokens": 64},
        "rows": {
            "default": {"transform": "verified"},
            "stitched": {"transform": "stitch"},
            "limo": {"transform": "limo"},
            "rl": {"transform": "rl"},
        },
        "shards": 2,
    }


@pytest.mark.parametrize(
    ("name", "read", "refused"),
    [
        ("numina-cot-107", 107, {"proof": 37, "gold_unusable": 6, "empty_box": 4, "no_answer": 2}),
        ("limo-40", 40, {"answer_conflicts_with_solution": 1}),
        ("numina-nm20k-200", 200, {"gold_unusable": 4}),
    ],
)
def test_a_build_on_real_questions_accounts_for_every_row(
    shared_data: Path, tmp_path: Path, name: str, read: int, refused: dict[str, int]
) -> None:
    sources = absolute(ROOT / "recipes" / "real" / f"{name}.yaml")["sources"]
    with FakeOpenAI(say_seven_or_eight).running() as server:
        run = build(tmp_path, asked_of(server.url, sources))
    ledger = read_ledger(run.root)
    ledger.check()
    kept = read - sum(refused.values())
    assert ledger.questions.total == read
    assert {k: v for k, v in ledger.questions.bins.items() if k in refused} == refused
    assert ledger.samples.total == 4 * kept == 4 * ledger.considered["default"].total
    golds = {
        q["row"]: q["gold"]
        for path in run.question_shards()
        for q in read_columns(path, ["row", "gold"])
    }
    made = {row.provenance.dataset_row for config, row in published(run) if config == "default"}
    assert made == {row for row, gold in golds.items() if compares_with_seven_or_eight(gold)}
    for _, row in published(run):
        text, problem = row.completion[0].content, row.prompt[-1].content
        assert verify(row.answer, text, problem=problem).correct


def compares_with_seven_or_eight(gold: str) -> bool:
    return any(compare(gold, number).correct for number in ("7", "8"))
