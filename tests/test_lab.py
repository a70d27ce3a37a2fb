"""The pocket lab's driver: jobs done once, the order of things, the table and its words."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.lab.arms import ARMS, BASE, REINFORCED, SUPERVISED
from benchmarks.lab.jobs import JobFailed, Jobs
from benchmarks.lab.picture import draw_forest
from benchmarks.lab.plan import RECIPES, Lab
from benchmarks.lab.table import (
    Line,
    make_table,
    to_markdown,
    to_records,
    write_evaluations,
)
from butwait.evals.paired import Difference
from butwait.evals.statistics import Estimate
from butwait.pipelines.recipe_file import check_recipe, load_recipe, read_document
from butwait.schemas.recipe_grpo import GrpoRecipe
from butwait.schemas.recipe_train import SftRecipe

N_PROBLEMS = 40


def write_exam(run: Path, rate: float, seed: int) -> None:
    """Write a run folder of 40 questions x 8 samples, of which about ``rate`` are right."""
    rng = np.random.default_rng(seed)
    ids = [f"q{k:03}" for k in range(N_PROBLEMS)]
    (run / "questions").mkdir(parents=True)
    (run / "trajectories").mkdir()
    pq.write_table(pa.table({"id": ids}), run / "questions" / "questions-00000-of-00001.parquet")
    rows = [
        {
            "question_id": i,
            "parent_id": None,
            "verdict": "correct" if rng.random() < rate else "incorrect",
            "n_completion_tokens": 40,
        }
        for i in ids
        for _ in range(8)
    ]
    schema = pa.schema(
        [
            ("question_id", pa.string()),
            ("parent_id", pa.string()),
            ("verdict", pa.string()),
            ("n_completion_tokens", pa.int64()),
        ]
    )
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, run / "trajectories" / "part-00000.parquet")


class PaperJobs(Jobs):
    """Jobs that only write down what they were asked, and leave what the plan reads."""

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.work = work
        self.ended: list[str] = []

    async def run(self, name: str, command: list[str]) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        if name in self.ended:
            return
        if name.startswith("validate-"):
            arm = name.removeprefix("validate-")
            write_exam(self.work / "validation" / arm, 0.8 if arm == "stitch-0" else 0.3, 0)
        if name.startswith("data-search"):
            for run, config in (("samples", "default"), ("search", "backtrack")):
                folder = self.work / "data" / run / "rows" / config
                folder.mkdir(parents=True)
                row = {"prompt": "p", "completion": "c", "spans": [1], "question_id": "q"}
                pq.write_table(pa.Table.from_pylist([row]), folder / "train-0.parquet")
        if name.startswith("exam-"):
            arm = name.removeprefix("exam-")
            write_exam(self.work / "exams" / arm, 0.6 if "grpo" in arm else 0.3, len(self.ended))
        if name.startswith("train-"):
            folder = self.work / "models" / name.removeprefix("train-")
            (folder / "final").mkdir(parents=True)
            recipe = Path(command[2])
            manifest = {
                "kind": command[1],
                "steps": 20,
                "samples": 640,
                "data": {"from": "rows", "revision": "sha256:0"},
                "gate": {"rows": 330, "kept": 320, "tokens": 9000, "findings": {"too_long": 10}},
                "versions": {"trl": "1.16.0"},
            }
            (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
            (folder / "recipe.yaml").write_text(recipe.read_text("utf-8"), "utf-8")
        self.ended.append(name)


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Lab, PaperJobs, str]:
    jobs = PaperJobs(tmp_path)
    lab = Lab(tmp_path, jobs)
    return lab, jobs, asyncio.run(lab.run())


def test_every_arm_is_trained_and_examined_once_a_seed_after_what_it_needs(
    finished: tuple[Lab, PaperJobs, str],
) -> None:
    _, jobs, _ = finished
    ended = jobs.ended
    for arm in ARMS:
        for seed in arm.seeds:
            exam = ended.index(f"exam-{arm.name}-{seed}")
            assert ended.count(f"exam-{arm.name}-{seed}") == 1
            if arm.kind != "base":
                assert ended.index(f"train-{arm.name}-{seed}") < exam
    assert ended.index("data-search") < min(ended.index(f"train-{a.name}-0") for a in SUPERVISED)


def test_the_best_arm_is_chosen_on_validation_before_any_test_question_is_looked_at(
    finished: tuple[Lab, PaperJobs, str],
) -> None:
    _, jobs, best = finished
    assert best == "stitch"
    first_exam = min(k for k, name in enumerate(jobs.ended) if name.startswith("exam-"))
    last_validation = max(k for k, n in enumerate(jobs.ended) if n.startswith("validate-"))
    assert last_validation < first_exam


def test_the_table_holds_every_arm_in_the_original_shape(
    finished: tuple[Lab, PaperJobs, str], tmp_path: Path
) -> None:
    lab, _, best = finished
    lines = make_table(lab)
    assert [line.arm for line in lines] == list(ARMS)
    text = to_markdown(lines, best)
    assert text.count("\n") == len(ARMS) + 1
    assert "from the best SFT (stitch)" in text
    base = lines[0]
    assert base.arm is BASE
    assert base.difference is None
    assert base.finding == ""
    grpo = next(line for line in lines if line.arm.name == "grpo-base")
    assert grpo.finding == "better"
    assert len(grpo.by_seed) == 3
    assert grpo.expected_at_1.value == pytest.approx(np.mean(grpo.by_seed))
    records = json.loads(json.dumps(to_records(lines)))
    assert {r["arm"] for r in records} == {arm.name for arm in ARMS}
    draw_forest(lines, tmp_path / "forest.svg")
    assert (tmp_path / "forest.svg").read_text("utf-8").count("<path") > len(ARMS)


def test_the_cards_of_the_models_get_their_figures(finished: tuple[Lab, PaperJobs, str]) -> None:
    lab, _, _ = finished
    lines = make_table(lab)
    write_evaluations(lab, lines)
    for line in lines:
        if line.arm.kind != "base":
            card = (lab.model(line.arm, line.arm.seeds[0]) / "README.md").read_text("utf-8")
            low, high = (round(100 * x, 1) for x in (line.pass_at_8.low, line.pass_at_8.high))
            assert f"[{low}, {high}]" in card


@pytest.mark.parametrize(
    ("difference", "p_holm", "finding"),
    [
        (Difference(0.05, 0.01, 0.09, 0.001), 0.01, "better"),
        (Difference(-0.05, -0.09, -0.01, 0.001), 0.01, "worse"),
        (Difference(0.05, -0.01, 0.11, 0.04), 0.04, "no difference shown"),
        (Difference(0.05, 0.01, 0.09, 0.02), 0.12, "no difference shown"),
    ],
)
def test_nothing_is_called_better_where_zero_is_inside_or_many_arms_explain_it(
    difference: Difference, p_holm: float, finding: str
) -> None:
    estimate = Estimate(0.4, 0.3, 0.5)
    line = Line(
        SUPERVISED[0], "samples_1", 1, estimate, estimate, (0.4,), 40.0, 1, difference, None, p_holm
    )
    assert line.finding == finding


def test_a_finished_job_is_not_done_again_unless_its_command_is_another(tmp_path: Path) -> None:
    count = tmp_path / "count"
    code = f"open({str(count)!r}, 'a').write('x')"

    async def three_times() -> None:
        jobs = Jobs(tmp_path, program=sys.executable)
        await asyncio.gather(*(jobs.run("count", ["-c", code]) for _ in range(3)))

    asyncio.run(three_times())
    asyncio.run(three_times())
    assert count.read_text("utf-8") == "x"
    asyncio.run(Jobs(tmp_path, program=sys.executable).run("count", ["-c", code + " "]))
    assert count.read_text("utf-8") == "xx"


def test_a_job_that_fails_is_named_with_its_last_words_and_done_again_next_time(
    tmp_path: Path,
) -> None:
    jobs = Jobs(tmp_path, program=sys.executable)
    command = ["-c", "import sys; sys.exit('no space left')"]
    with pytest.raises(JobFailed, match=r"train-x failed \(1\):\nno space left"):
        asyncio.run(jobs.run("train-x", command))
    assert jobs.cpu_s() == {}


@pytest.mark.parametrize("name", ["samples", "search", "eval"])
def test_the_recipes_of_data_and_examination_are_valid(name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml", ())
    assert recipe.name


@pytest.mark.parametrize("arm", [*SUPERVISED, *REINFORCED], ids=lambda arm: arm.name)
def test_the_settings_of_every_arm_fit_its_training_recipe(arm) -> None:  # type: ignore[no-untyped-def]
    document = read_document(RECIPES / f"{arm.kind}.yaml", arm.settings)
    kind = SftRecipe if arm.kind == "sft" else GrpoRecipe
    recipe = check_recipe(document, arm.name, kind)
    assert recipe.model.id.endswith("policy")


def test_an_examination_that_lacks_samples_is_refused(tmp_path: Path) -> None:
    from butwait.evals.score import read_samples
    from butwait.schemas.errors import ConfigError

    write_exam(tmp_path / "run", 0.5, 0)
    part = tmp_path / "run" / "trajectories" / "part-00000.parquet"
    table = pq.read_table(part)
    pq.write_table(table.slice(0, table.num_rows - 1), part)
    with pytest.raises(ConfigError, match="is incomplete: 1 of 40"):
        read_samples(tmp_path / "run")
