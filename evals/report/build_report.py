"""The report of a build: ledger, samples, continuations, searches, speed, rows."""

from __future__ import annotations

from collections.abc import Iterator

from butwait.evals.report.content import Report, Section, make_table, percent, shorten, tell
from butwait.evals.report.folder import STAGES, RunFiles, read_ledger
from butwait.evals.report.ledger_flow import count_refused, draw_ledger
from butwait.evals.report.sample_plots import plot_answers, plot_chains, plot_samples
from butwait.evals.report.samples import SampleTally, tally_samples
from butwait.evals.report.search_plots import plot_searches
from butwait.evals.report.searches import SearchTally, tally_searches
from butwait.evals.report.stream import read_text
from butwait.evals.report.texts import Shown, sample_rows
from butwait.evals.report.timeline import Session, read_sessions
from butwait.evals.report.timeline_plot import plot_sessions
from butwait.schemas.ledger import Ledger

_MOST_RECIPE = 60_000


def report_build(run: RunFiles) -> Report:
    """Count and draw a build; what is not there yet is said."""
    ledger = read_ledger(run)
    missing = [stage for stage in STAGES if not run.stage(stage)]
    if missing:
        run.notes.add(
            f"the build has not come to its end: {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing or unfinished; shown is what there is"
        )
    samples = tally_samples(run.root, run.notes)
    searches = tally_searches(run.root, run.notes)
    sessions = read_sessions(run.root, run.notes)
    shown = sample_rows(run.root, _configurations(run, ledger), run.notes)
    sections = [
        section
        for section in (
            _flow(run, ledger),
            _samples(samples),
            _searches(searches),
            _speed(sessions, run, samples, searches),
            _rows(shown),
            describe_recipe(run),
        )
        if section is not None
    ]
    return Report(
        name=run.name,
        kind="build",
        figures=tuple(_figures(ledger, samples, searches, shown)),
        notes=run.notes.lines,
        sections=tuple(sections),
    )


def _configurations(run: RunFiles, ledger: Ledger | None) -> list[str]:
    """Configurations that have rows, in the recipe's order where the ledger tells it."""
    folders = sorted(path.name for path in (run.root / "rows").glob("*") if path.is_dir())
    folders = [name for name in folders if not name.startswith(".")]
    known = list(ledger.rows) if ledger else []
    return sorted(folders, key=lambda name: known.index(name) if name in known else len(known))


def _figures(
    ledger: Ledger | None, samples: SampleTally, searches: SearchTally, shown: list[Shown]
) -> Iterator[tuple[str, str]]:
    if ledger is not None:
        yield "questions read", tell(ledger.questions.total)
    if samples.n_samples:
        yield "samples", tell(samples.n_samples)
        yield "of them correct", percent(samples.verdicts["correct"], samples.n_samples)
    if searches.n_trees:
        yield "searches", tell(searches.n_trees)
        yield "chosen answer right", percent(searches.chosen_right, searches.n_trees)
    if shown:
        yield "rows", tell(sum(s.total for s in shown))
        yield "configurations", tell(len(shown))


def _flow(run: RunFiles, ledger: Ledger | None) -> Section | None:
    if ledger is None:
        return None
    words = tuple(
        f"Questions {shorten(name.replace('_', ' '))} {shorten(note, 600)}."
        for name, note in list(ledger.notes.items())[:10]
    )
    return Section("flow", "The ledger", words, (draw_ledger(ledger, count_refused(run)),))


def _samples(tally: SampleTally) -> Section | None:
    if not tally.n_samples:
        return None
    words = (
        f"{tell(tally.n_samples)} samples of {tell(tally.n_questions)} questions. A pass rate is "
        "the share of correct samples among those judged on the merits."
        + " The recording does not say how many tokens they have."
        * (not tally.has_lengths),
    )
    plots = (*plot_samples(tally), *plot_answers(tally), *plot_chains(tally))
    return Section("samples", "Samples", words, plots)


def _searches(tally: SearchTally) -> Section | None:
    if not tally.n_trees:
        return None
    methods = ", ".join(f"{n:,} {shorten(name)}" for name, n in tally.methods.most_common(5))
    words = (
        f"{methods}. The chosen answer is right for "
        f"{percent(tally.chosen_right, tally.n_trees)} of the questions, some solution in the "
        f"tree for {percent(tally.any_right, tally.n_trees)}.",
    )
    return Section("search", "Search", words, tuple(plot_searches(tally)))


def _speed(
    sessions: list[Session], run: RunFiles, samples: SampleTally, searches: SearchTally
) -> Section | None:
    rows = []
    for stage in STAGES:
        record = run.stage(stage)
        told = list(_mapping(record.get("counts")).items())[:12]
        counts = ", ".join(f"{tell(n)} {name}" for name, n in told)
        engine = _word(_mapping(record.get("notes")).get("engine"))
        state = "whole" if record else "not there"
        rows.append((stage, state, record.get("seconds"), counts, engine))
    table = make_table(("stage", "state", "seconds", "counts", "engine"), rows)
    words: tuple[str, ...] = ()
    if not sessions and (samples.n_samples or searches.n_trees):
        words = ("The build kept no counts over time (it is of an older version).",)
    plots = (plot_sessions(sessions),) if any(s.points for s in sessions) else ()
    return Section("speed", "Stages and speed", words, plots, (("Stages", table),))


def _rows(shown: list[Shown]) -> Section | None:
    if not shown:
        return None
    words = ("Some rows of every configuration, drawn by a fixed seed.",)
    return Section("rows", "Rows", words, shown=tuple(shown))


def describe_recipe(run: RunFiles) -> Section:
    """Return the recipe of any run with what it was made with."""
    manifest = run.manifest
    facts = [(key, _word(manifest.get(key))) for key in
             ("butwait_version", "git_commit", "begun", "status", "seed", "schema_version",
              "verifier_version", "recipe_sha256")]  # fmt: skip
    for key in ("model", "versions"):
        found = list(_mapping(manifest.get(key)).items())[:40]
        facts += [(f"{key}: {name}", _word(value)) for name, value in found]
    sources = manifest.get("sources")
    for source in sources[:40] if isinstance(sources, list) else ():
        if isinstance(source, dict):
            told = ", ".join(f"{k} {_word(v)}" for k, v in list(source.items())[:8] if k != "name")
            facts.append((f"source {_word(source.get('name'))}", told))
    table = make_table(("what", "value"), [fact for fact in facts if fact[1]])
    recipe = read_text(run.root / "recipe.yaml", run.notes, _MOST_RECIPE)
    return Section("recipe", "Recipe and versions", tables=(("Versions", table),), code=recipe)


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _word(value: object) -> str:
    return "" if value is None else str(value)[:300]
