"""What a build's questions are compared with, so that no benchmark's problem is trained on.

Leaves out the comparison itself (``transforms/decontaminate``) and the command for files
(``decontaminate``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from butwait.pipelines.benchmarks import find_benchmark_place, read_benchmark
from butwait.pipelines.sampling.identity import is_local
from butwait.pipelines.sources import ResolvedSource
from butwait.schemas.benchmark import BENCHMARKS, BenchmarkSpec
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.errors import SourceError
from butwait.schemas.question import Question
from butwait.schemas.recipe import Recipe
from butwait.transforms.decontaminate import DETECTOR_VERSION, Hit, Target

CONTAMINATED = "contaminated"
"""The ledger's bin of questions that are copies of benchmark problems."""
PACKAGED_NAMES = ("pocket-test", "pocket-validation")
HUB_NAMES = ("aime24", "aime25", "math500", "amc23", "gsm8k", "olympiadbench")
EXCERPT_CHARACTERS = 500


@dataclass(frozen=True)
class FoundCheck:
    """A benchmark that questions are compared with; its problems are read when they are needed."""

    spec: BenchmarkSpec
    revision: str


@dataclass(frozen=True)
class Checks:
    """All benchmarks of a build, and the ones that are left out, with the reason."""

    found: tuple[FoundCheck, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    base: Path = Path()
    is_strict: bool = False
    """Whether a benchmark that cannot be read is an error: the recipe names it."""
    enabled: bool = True

    def key(self) -> list[object]:
        """What of the checks shapes the questions; paths do not count, content does."""
        exclude = {"path"}
        specs = [(c.spec.model_dump(mode="json", exclude=exclude), c.revision) for c in self.found]
        return [DETECTOR_VERSION, specs] if specs else []


def plan_checks(recipe: Recipe, base: Path, sources: Sequence[ResolvedSource]) -> Checks:
    """Find the benchmarks that a recipe's questions are compared with.

    Args:
        recipe: Its ``decontaminate`` section decides.
        base: Folder that relative paths start from.
        sources: A packaged split that is a source is not compared with itself.

    Raises:
        SourceError: A benchmark that the recipe names cannot be reached.
    """
    spec = recipe.decontaminate
    if not spec.enabled:
        return Checks(enabled=False)
    if spec.against != "auto":
        found = tuple(_find(benchmark, base) for benchmark in spec.against)
        return Checks(found, base=base, is_strict=True)
    names = (*PACKAGED_NAMES, *(HUB_NAMES if _uses_hub(recipe) else ()))
    checks: list[FoundCheck] = []
    left_out: list[tuple[str, str]] = []
    for name in names:
        try:
            check = _find(BENCHMARKS[name], base)
        except SourceError as error:
            left_out.append((name, str(error)))
            continue
        if any(_is_source(check, source) for source in sources):
            left_out.append((name, "the questions are this benchmark itself"))
        else:
            checks.append(check)
    return Checks(tuple(checks), tuple(left_out), base)


def read_checks(
    checks: Checks, say: Callable[[str], None]
) -> tuple[tuple[Target, ...], dict[str, str]]:
    """Read the benchmarks' problems.

    Returns:
        The problems, and notes on what is checked and what is not, for the run's records.

    Raises:
        SourceError: A benchmark that the recipe names cannot be read.
    """
    targets: list[Target] = []
    checked, left_out = [], list(checks.left_out)
    for check in checks.found:
        try:
            found = read_benchmark(check.spec, checks.base)
        except SourceError as error:
            if checks.is_strict:
                raise
            left_out.append((check.spec.name, str(error)))
            continue
        targets += found.targets
        checked.append(f"{found.name} ({len(found.targets)} problems, {found.revision[:19]})")
    notes = {"compared_with": ", ".join(checked) or "no benchmark"}
    if not checks.enabled:
        notes["compared_with"] = "no benchmark: the recipe switches it off"
    if left_out:
        notes["not_compared_with"] = "; ".join(f"{name}: {reason}" for name, reason in left_out)
    say(f"questions: compared with {notes['compared_with']}")
    for name, reason in left_out:
        say(f"questions: not checked against {name}: {reason}")
    return tuple(targets), notes


def refuse_copy(question: Question, hits: Sequence[Hit]) -> DeadLetter:
    """Return the dead letter of a question that is a copy.

    Args:
        question: The question.
        hits: At least one, the likeliest first.
    """
    hit = hits[0]
    return DeadLetter(
        stage="questions",
        reason=CONTAMINATED,
        detail=(
            f"{hit.kind} copy of {hit.benchmark} {hit.benchmark_id} (score {hit.score:.2f},"
            f" confidence {hit.confidence}): {hit.evidence}"
        ),
        item=question.id,
        question_id=question.id,
        dataset=question.dataset,
        row=question.row,
        excerpt=question.problem[:EXCERPT_CHARACTERS],
    )


def _find(spec: BenchmarkSpec, base: Path) -> FoundCheck:
    return FoundCheck(spec, find_benchmark_place(spec, base).revision)


def _is_source(check: FoundCheck, source: ResolvedSource) -> bool:
    theirs = source.spec
    if check.spec.hub is not None:
        same = (theirs.hub, theirs.config, theirs.split)
        return same == (check.spec.hub, check.spec.config, check.spec.split)
    return check.revision == source.revision


def _uses_hub(recipe: Recipe) -> bool:
    """Whether something of the recipe is on the Hub; a server's model is wherever it is."""
    if any(source.hub for source in recipe.sources) or (recipe.replay and recipe.replay.hub):
        return True
    is_attached = recipe.server.url is not None or recipe.server.mode == "attach"
    return recipe.model is not None and not is_local(recipe.model) and not is_attached
