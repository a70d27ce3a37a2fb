"""What depends on what: data, supervised arms, choice of the best, reinforced arms, examinations.

The best supervised arm is chosen on the validation questions; the test questions are looked at once
an arm and seed, at the end.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.lab.arms import ARMS, MIXTURE, REINFORCED, SUPERVISED, Arm
from benchmarks.lab.jobs import Jobs
from butwait.evals.score import read_samples

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes" / "lab"
POLICY = ROOT / "trainer" / "pocket" / "checkpoints" / "policy"
VALIDATION = ROOT / "pipelines" / "pocket" / "data" / "validation.jsonl"
_EXAM_SEED, _VALIDATION_SEED = 1000, 2000


class Lab:
    """The experiment in a work folder: ``data``, ``models``, ``exams``."""

    def __init__(self, work: Path, jobs: Jobs) -> None:
        self.work = work
        self._jobs = jobs

    async def run(self) -> str:
        """Run all arms and their examinations; return the supervised arm that won on validation."""
        await self._make_data()
        best = await self._choose()
        async with asyncio.TaskGroup() as group:
            # The long ones begin first, so that both cores are busy to the end.
            for arm in (*REINFORCED, *SUPERVISED):
                for seed in arm.seeds:
                    parent = best if arm.start == "best" else None
                    group.create_task(self._train_and_examine(arm, seed, parent))
            for arm in ARMS:
                if arm.kind == "base":
                    for seed in arm.seeds:
                        group.create_task(self._examine(arm, seed, POLICY))
        return best.name

    def model(self, arm: Arm, seed: int) -> Path:
        """Return the folder of an arm's finished model."""
        return self.work / "models" / f"{arm.name}-{seed}" / "final"

    def exam(self, arm: Arm, seed: int) -> Path:
        """Return the run folder of an examination."""
        return self.work / "exams" / f"{arm.name}-{seed}"

    async def _make_data(self) -> None:
        for name in ("samples", "search"):
            recipe = str(RECIPES / f"{name}.yaml")
            await self._jobs.run(f"data-{name}", self._build(recipe, "data"))
        await asyncio.to_thread(self._mix)

    def _mix(self) -> None:
        """Put the rows of the mixture into one file."""
        tables = []
        for run, config in MIXTURE:
            for path in sorted((self.work / "data" / run / "rows").glob(f"**/{config}/*.parquet")):
                columns = ["prompt", "completion", "spans", "question_id"]
                tables.append(pq.read_table(path, columns=columns))
        target = self.work / "data" / "mixed.parquet"
        pq.write_table(pa.concat_tables(tables, promote_options="default"), target)

    async def _choose(self) -> Arm:
        """Train every supervised arm once and return the one that wins on validation."""

        async def train_and_validate(arm: Arm) -> float:
            await self._train(arm, arm.seeds[0], POLICY)
            return await self._validate(arm)

        found = await asyncio.gather(*(train_and_validate(arm) for arm in SUPERVISED))
        return max(zip(found, SUPERVISED, strict=True), key=lambda pair: pair[0])[1]

    async def _train_and_examine(self, arm: Arm, seed: int, parent: Arm | None) -> None:
        start = POLICY
        if parent is not None:
            seed_of_parent = seed if seed in parent.seeds else parent.seeds[0]
            await self._train(parent, seed_of_parent, POLICY)
            start = self.model(parent, seed_of_parent)
        await self._train(arm, seed, start)
        await self._examine(arm, seed, self.model(arm, seed))

    async def _train(self, arm: Arm, seed: int, start: Path) -> None:
        command = "sft" if arm.kind == "sft" else "grpo"
        settings = [f"name={arm.name}-{seed}", f"seed={seed}", f"model.id={start}", *arm.settings]
        if arm.data is not None and arm.data[0] == "mixed":
            settings += ["data.run=null", f"data.path={self.work / 'data' / 'mixed.parquet'}"]
        elif arm.data is not None:
            folder = self.work / "data" / arm.data[0]
            settings += [f"data.run={folder}", f"data.config={arm.data[1]}"]
        else:
            settings.append(f"data.run={self.work / 'data' / 'samples'}")
        head = ["train", command, str(RECIPES / f"{arm.kind}.yaml"), "--out"]
        await self._jobs.run(
            f"train-{arm.name}-{seed}", [*head, str(self.work / "models"), *_set(settings)]
        )

    async def _examine(self, arm: Arm, seed: int, model: Path) -> None:
        settings = [
            f"name={arm.name}-{seed}", f"seed={_EXAM_SEED + seed}", f"model.id={model}",
            f"sampling.prompt={arm.prompt}",
        ]  # fmt: skip
        command = self._build(str(RECIPES / "eval.yaml"), "exams", settings)
        await self._jobs.run(f"exam-{arm.name}-{seed}", command)

    async def _validate(self, arm: Arm) -> float:
        """Return an arm's expected@1 on the validation questions."""
        name = f"{arm.name}-{arm.seeds[0]}"
        settings = [
            f"name={name}", f"seed={_VALIDATION_SEED}", f"sampling.prompt={arm.prompt}",
            f"model.id={self.model(arm, arm.seeds[0])}", f"sources.0.path={VALIDATION}",
        ]  # fmt: skip
        command = self._build(str(RECIPES / "eval.yaml"), "validation", settings)
        await self._jobs.run(f"validate-{name}", command)
        samples = read_samples(self.work / "validation" / name)
        return float(samples.n_correct.sum() / (len(samples.problems) * samples.n))

    def _build(self, recipe: str, folder: str, settings: list[str] | None = None) -> list[str]:
        cache = str(self.work / "completions.sqlite")
        out = str(self.work / folder)
        return ["build", recipe, "--out", out, "--cache", cache, *_set(settings or [])]


def _set(settings: list[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]
