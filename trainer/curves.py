"""The metrics of a run as pictures: loss, reward and what else is worth a look, each a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from butwait.trainer.folder import TrainFolder

DRAWN = {
    "loss": ("loss",),
    "reward": ("reward", "rewards/accuracy/mean", "rewards/format/mean", "rewards/length/mean"),
    "left_out": ("groups/zero_variance", "groups/excluded", "rollouts/excluded"),
    "kl": ("kl",),
    "margin": ("rewards/margins",),
    "accuracy": ("rewards/accuracies",),
    "length": ("completions/mean_length",),
    "grad_norm": ("grad_norm",),
}
"""Pictures by name, and the metrics in each."""


def draw_curves(folder: TrainFolder) -> list[str]:
    """Draw every picture for which there are metrics.

    Returns:
        The names of the files in ``curves/``.
    """
    lines = folder.read_metrics()
    drawn = []
    for name, metrics in DRAWN.items():
        series = {m: [(x["samples"], x[m]) for x in lines if x.get(m) is not None] for m in metrics}
        series = {m: points for m, points in series.items() if len(points) > 1}
        if series:
            _draw(folder, name, series)
            drawn.append(f"{name}.png")
    return drawn


def _draw(folder: TrainFolder, name: str, series: Mapping[str, Sequence[tuple[Any, Any]]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for metric, points in series.items():
        samples, values = zip(*points, strict=True)
        axes.plot(samples, values, label=metric, linewidth=1.4)
    axes.set_xlabel("samples seen")
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    if len(series) > 1:
        axes.legend()
    folder.curves.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder.curves / f"{name}.png", dpi=120)
