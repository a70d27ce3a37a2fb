"""The live display of a stage: stages, bar, speed, what is under way, verdicts so far."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from butwait.pipelines.rates import Reading, tell_time
from butwait.pipelines.run_folder import STAGES

_COLOURS = {"correct": "green", "incorrect": "red"}
_BAR = 30


def render(stage: str, reading: Reading) -> RenderableType:
    """Return the display of a stage at one moment.

    Args:
        stage: Its name; the first word may be one of a build's stages.
        reading: What the counts tell.
    """
    lines: list[RenderableType] = [_stages(stage), _bar(reading), _speed(reading)]
    if reading.verdicts:
        lines.append(_verdicts(reading.verdicts))
    return Group(*lines)


def _stages(stage: str) -> Text:
    """The stages of a build with the one at work; another name stands alone."""
    name = stage.partition(" ")[0]
    if name not in STAGES:
        return Text(stage, style="bold", overflow="ellipsis", no_wrap=True)
    at, text = STAGES.index(name), Text(overflow="ellipsis", no_wrap=True)
    for place, known in enumerate(STAGES):
        mark, style = (
            ("✓", "green") if place < at else ("▸", "bold") if place == at else ("·", "dim")
        )
        text.append(f"{mark} {stage if place == at else known}  ", style=style)
    return text


def _bar(reading: Reading) -> RenderableType:
    of = f"/{reading.total}" if reading.total else ""
    words = [f"{reading.done}{of} {reading.item}", tell_time(reading.seconds)]
    if reading.left_s is not None:
        words.append(f"about {tell_time(reading.left_s)} left")
    if not reading.total:
        return Text(" · ".join(words))
    grid = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=reading.total, completed=min(reading.done, reading.total), width=_BAR)
    grid.add_row(bar, Text(" · ".join(words), overflow="ellipsis", no_wrap=True))
    return grid


def _speed(reading: Reading) -> Text:
    counts = reading.counts
    words = [f"{reading.per_s:.1f} {reading.item}/s"]
    if counts["tokens"]:
        words.append(f"{reading.tokens_per_s:.0f} tokens/s ({counts['tokens']} in all)")
    for name, told in (("in_flight", "samples in flight"), ("cached", "from the cache")):
        if counts[name] > 0:
            words.append(f"{counts[name]} {told}")
    words += [f"{count} {name}" for name, count in reading.others.items()]
    text = Text(" · ".join(words), overflow="ellipsis", no_wrap=True)
    if counts["failed"] > 0:
        text.append(f" · {counts['failed']} failed", style="red")
    return text


def _verdicts(shares: dict[str, float]) -> Text:
    text = Text(overflow="ellipsis", no_wrap=True)
    for name, share in shares.items():
        text.append(f"{share:.0%} {name}  ", style=_COLOURS.get(name, "yellow"))
    return text
