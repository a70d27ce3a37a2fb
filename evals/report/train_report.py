"""The report of a training run: its curves, what the gate saw, recipe and versions."""

from __future__ import annotations

from butwait.evals.report.build_report import describe_recipe
from butwait.evals.report.content import Plot, Report, Section, make_table, shorten, tell
from butwait.evals.report.folder import RunFiles
from butwait.evals.report.plots import draw_lines
from butwait.evals.report.stream import read_lines, thin

_CURVES = (
    ("loss", ("loss", "eval_loss")),
    ("reward", ("reward",)),
    ("parts of the reward", ("rewards/accuracy/mean", "rewards/format/mean")),
    ("kl", ("kl",)),
    ("margin", ("rewards/margins",)),
    ("accuracy", ("rewards/accuracies",)),
    ("tokens", ("completions/mean_length",)),
    ("norm of the gradient", ("grad_norm",)),
    ("learning rate", ("learning_rate",)),
)
_MOST_POINTS = 400


def report_training(run: RunFiles) -> Report:
    """Draw a training run; one that has not come to its end says so."""
    manifest = run.manifest
    if manifest.get("status") != "finished":
        run.notes.add("the training has not come to its end; shown is what it has logged so far")
    lines = thin(read_lines(run.root / "metrics.jsonl", run.notes), _MOST_POINTS)
    plot = _curves(lines)
    if plot is None:
        run.notes.add("no metrics.jsonl with metrics: nothing was trained yet")
    gate = manifest.get("gate")
    facts = list(gate.items())[:60] if isinstance(gate, dict) else []
    table = make_table(("what", "value"), [(k, _word(v)) for k, v in facts])
    sections = [
        Section("curves", "Curves", plots=(plot,)) if plot is not None else None,
        Section("gate", "What the gate saw of the rows", tables=(("Gate", table),))
        if facts
        else None,
        describe_recipe(run),
    ]
    figures = [("method", shorten(str(manifest.get("kind", "not known"))))]
    for key, label in (("steps", "steps"), ("samples", "samples"), ("train_s", "seconds")):
        if isinstance(manifest.get(key), int | float):
            figures.append((label, tell(manifest[key])))
    return Report(
        run.name, "training", tuple(figures), run.notes.lines, tuple(s for s in sections if s)
    )


def _word(value: object) -> str:
    """A value in words: a mapping or a list on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {tell(v)}" for k, v in list(value.items())[:20]) or "none"
    return (", ".join(map(str, value[:20])) or "none") if isinstance(value, list) else tell(value)


def _curves(lines: list[dict[str, object]]) -> Plot | None:
    panels = []
    for label, names in _CURVES:
        series = {name: _points(lines, name) for name in names}
        series = {name: points for name, points in series.items() if len(points) > 1}
        if series:
            panels.append((label, series))
    if not panels:
        return None
    ends = {n: (p[0][1], p[-1][1]) for _, series in panels for n, p in series.items()}
    told = "; ".join(f"{name} from {a:.4g} to {b:.4g}" for name, (a, b) in ends.items())
    alt = ("curves", "Metrics over the samples seen", told)
    svg = draw_lines(panels, "samples seen", alt)
    columns = ("samples", *ends)
    shown = thin(lines, 40)
    rows = [tuple(line.get(k) if k == "samples" else _number(line.get(k)) for k in columns)
            for line in shown]  # fmt: skip
    return Plot(*alt, svg, make_table(columns, rows))


def _points(lines: list[dict[str, object]], name: str) -> list[tuple[float, float]]:
    found = []
    for line in lines:
        x, y = _number(line.get("samples", line.get("step"))), _number(line.get(name))
        if x is not None and y is not None:
            found.append((x, y))
    return found


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
