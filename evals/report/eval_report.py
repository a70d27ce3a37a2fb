"""The report of an evaluation: scores, the forest of differences, outcomes, some texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from butwait.evals.arm_score import score_arm
from butwait.evals.cells import ArmCells, Outcome, read_arm, read_arms, read_manifest
from butwait.evals.compare import Table as Comparison
from butwait.evals.compare import compare_runs
from butwait.evals.forest import draw_panels, forest_lines
from butwait.evals.names import describe_score
from butwait.evals.render import COLUMNS, benchmarks_of, notes_of, table_rows, title_of
from butwait.evals.report.build_report import describe_recipe
from butwait.evals.report.content import Plot, Report, Section, make_table, percent, shorten, tell
from butwait.evals.report.folder import RunFiles
from butwait.evals.report.plots import WIDTH, draw_shares
from butwait.evals.report.svg import COLOURS, drawing, to_svg
from butwait.evals.report.texts import Shown, ShownRow, draw_rows, plain, trim_all
from butwait.schemas.errors import ConfigError
from butwait.schemas.eval_run import ArmRecord
from butwait.schemas.record import SCHEMA_VERSION

_CELL = (
    "problem_id", "sample_index", "text", "verdict", "failure", "extracted", "n_tokens", "method",
)  # fmt: skip
_NAMES = {Outcome.WRONG: "incorrect", Outcome.ERRORED: "error", Outcome.UNGRADABLE: "gold_unusable",
          Outcome.MISSING: "missing"}  # fmt: skip


def report_evaluation(run: RunFiles) -> Report:
    """Score, compare and draw an evaluation; what is missing is said.

    Raises:
        ConfigError: The manifest or the cells are damaged.
    """
    version = run.manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"{run.root} is an evaluation of schema version {version!r}, this program reads "
            f"{SCHEMA_VERSION}: run its `butwait eval` again, samples are taken from the cache"
        )
    manifest = read_manifest(run.root)
    arms = _read(run)
    sections = [
        _scores(run, arms),
        Section("outcomes", "Outcomes", plots=(_outcomes(arms),)) if arms else None,
        _texts(run, [cells.record for cells in arms]),
        describe_recipe(run),
    ]
    figures = (
        ("benchmarks", tell(len(manifest.benchmarks))),
        ("arms", tell(len(manifest.arms))),
        ("cells", tell(sum(int(cells.outcomes.size) - cells.n_missing for cells in arms))),
        ("missing", tell(sum(cells.n_missing for cells in arms))),
    )
    return Report(run.name, "evaluation", figures, run.notes.lines, tuple(s for s in sections if s))


def _read(run: RunFiles) -> list[ArmCells]:
    """Read the arms that can be read; the others are noted."""
    import pyarrow as pa

    try:
        return read_arms(run.root)
    except (ConfigError, pa.ArrowException, OSError):
        pass
    manifest = read_manifest(run.root)
    benchmarks = {b.name: b for b in manifest.benchmarks}
    found = []
    for arm in manifest.arms:
        try:
            benchmark = benchmarks[arm.benchmark]
            problems = _problems(run, benchmark.file)
            found.append(read_arm(run.root, arm, benchmark, problems))
        except (ConfigError, pa.ArrowException, OSError, KeyError) as error:
            run.notes.unreadable(run.root / arm.file, error)
    return found


def _problems(run: RunFiles, file: str) -> tuple[str, ...]:
    import pyarrow.parquet as pq

    return tuple(pq.read_table(run.root / file, columns=["id"])["id"].to_pylist())


def _scores(run: RunFiles, arms: list[ArmCells]) -> Section:
    lines = [line for cells in arms for line in (*describe_score(score_arm(cells, None)), "")]
    described = "\n".join(lines)
    try:
        compared = compare_runs([run.root])
    except Exception as error:  # noqa: BLE001 - incomplete or damaged cells: the scores alone
        run.notes.add(f"the arms are not compared: {error}")
        return Section("scores", "Scores", code=described)
    tables = tuple(
        (title_of(compared, name), _slim(table_rows(compared, name)))
        for name in benchmarks_of(compared)
    )
    plots = _forest(compared)
    return Section("scores", "Scores", tuple(notes_of(compared)), plots, tables, code=described)


def _slim(rows: list[list[str]]) -> Any:
    """A table without the columns that are empty for all."""
    shown = [i for i in range(len(COLUMNS)) if any(row[i] not in ("", "-") for row in rows)]
    return make_table([COLUMNS[i] for i in shown], [[row[i] for i in shown] for row in rows])


def _forest(compared: Comparison) -> tuple[Plot, ...]:
    try:
        lines, titles = forest_lines(compared)
    except ConfigError:
        return ()
    colours = {"ink": COLOURS["ink"], "better": COLOURS["correct"], "worse": COLOURS["incorrect"]}
    told = "Points above the base with 95 % intervals, paired by problem. "
    told += "; ".join(f"{shorten(line.label)}: {line.finding}" for line in lines[:20])
    alt = ("forest", "Differences to the base", told)
    with drawing(WIDTH, 1.2 + 0.36 * len(lines)) as figure:
        grid = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
        draw_panels(grid, lines, titles, colours)
        svg = to_svg(figure, *alt)
    rows = [(line.label, *(str(d) if d else "" for d in line.differences), line.finding)
            for line in lines]  # fmt: skip
    return (Plot(*alt, svg, make_table(("arm", *titles, "finding"), rows)),)


def _outcomes(arms: list[ArmCells]) -> Plot:
    rows = []
    for cells in arms:
        counts: Counter[str] = Counter()
        for outcome in Outcome:
            n = int((cells.outcomes == outcome).sum())
            if n:
                counts[_NAMES.get(outcome, outcome.name.lower())] += n
        rows.append((_name(cells.record), counts))
    names = list(dict.fromkeys(name for _, counts in rows for name in counts))
    told = "; ".join(
        f"{shorten(name)}: {percent(c['correct'], c.total())} correct" for name, c in rows[:20]
    )
    alt = ("outcomes", "What became of the samples", told)
    svg = draw_shares(rows[:40], "share of the cells, per cent", alt)
    table = make_table(("arm", *names), [(name, *(c[v] for v in names)) for name, c in rows])
    return Plot(*alt, svg, table)


def _name(record: ArmRecord) -> str:
    return f"{record.model} · {record.benchmark} · {record.prompt} · {record.method}"


def _texts(run: RunFiles, arms: list[ArmRecord]) -> Section | None:
    shown = []
    for record in arms[:12]:
        path = run.root / record.file
        if path.is_file():
            total, rows = draw_rows([path], _CELL, run.notes)
            shown.append(Shown(_name(record)[:120], total, tuple(map(_show, rows))))
    words = ("Some cells of every arm, drawn by a fixed seed.",)
    return Section("rows", "Texts", words, shown=tuple(trim_all(shown))) if shown else None


def _show(row: dict[str, Any]) -> ShownRow:
    return ShownRow(
        f"{str(row['problem_id'])[:100]}, sample {row['sample_index']}",
        tuple(_facts(row)),
        (plain("assistant", str(row.get("text") or "")),),
    )


def _facts(row: dict[str, Any]) -> Iterator[str]:
    yield str(row.get("verdict") or f"failed: {row.get('failure')}")
    if row.get("extracted") is not None:
        yield f"answer {str(row['extracted'])[:100]}"
    yield f"{row.get('n_tokens')} tokens"
