"""Plots of a build's samples: pass rates, lengths, sources, answers, first against final."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from butwait.evals.report.content import Plot, make_table, percent, shorten
from butwait.evals.report.flow import Lane, Link, Node, draw_flow
from butwait.evals.report.plots import (
    describe_shares,
    draw_bars,
    draw_shares,
    draw_stacks,
    role_of,
)
from butwait.evals.report.samples import SampleTally
from butwait.evals.report.svg import ROLES

_MOST_BARS = 17
_MOST_SOURCES = 20
_N_LENGTHS = 32


def plot_samples(tally: SampleTally) -> Iterator[Plot]:
    """Plot pass rates, token lengths and sources."""
    if tally.pass_rates:
        yield _pass_rates(tally)
    if tally.has_lengths:
        yield _lengths(tally)
    yield _sources(tally)


def _pass_rates(tally: SampleTally) -> Plot:
    exact: Counter[float] = Counter()
    for (right, judged), n in tally.pass_rates.items():
        exact[right / judged] += n
    if len(exact) <= _MOST_BARS:
        bars = [(f"{rate:.3g}", n) for rate, n in sorted(exact.items())]
    else:
        twentieths: Counter[int] = Counter()
        for rate, n in exact.items():
            twentieths[min(int(rate * 20), 19)] += n
        bars = [(f"{i / 20:.2f}–{(i + 1) / 20:.2f}", twentieths[i]) for i in range(20)]
    total = exact.total()
    told = (
        f"Of {total:,} questions {percent(exact[0.0], total)} were never answered right and "
        f"{percent(exact[1.0], total)} always."
    )
    alt = ("pass-rates", "Pass rate of the questions", told)
    svg = draw_bars(bars, ("pass rate", "questions"), alt)
    table = make_table(
        ("pass rate", "questions", "share"), [(b, n, percent(n, total)) for b, n in bars]
    )
    return Plot(*alt, svg, table)


def _lengths(tally: SampleTally) -> Plot:
    verdicts = sorted(tally.tokens, key=lambda name: ROLES.index(role_of(name)))
    longest = max((max(c) for c in tally.tokens.values()), default=1)
    edges = length_edges(longest)
    heights = {v: bin_lengths(tally.tokens[v], edges) for v in verdicts}
    medians = {v: median(tally.tokens[v]) for v in verdicts}
    told = "Median tokens: " + ", ".join(f"{medians[v]:,} {v}" for v in verdicts) + "."
    alt = ("lengths", "Length of the samples by verdict", told)
    svg = draw_stacks(edges, heights, ("completion tokens", "samples"), alt)
    rows = [
        (f"{edges[i]:,.0f} to {edges[i + 1]:,.0f}", *(int(heights[v][i]) for v in verdicts))
        for i in range(len(edges) - 1)
    ]
    return Plot(*alt, svg, make_table(("tokens", *verdicts), rows))


def length_edges(longest: int) -> list[float]:
    """Return edges of equal bins from 0 to beyond the longest."""
    width = max(1, -(-(longest + 1) // _N_LENGTHS))
    return [float(i * width) for i in range(longest // width + 2)]


def bin_lengths(lengths: Counter[int], edges: Sequence[float]) -> list[float]:
    """Count lengths by bin."""
    width = int(edges[1])
    found = [0.0] * (len(edges) - 1)
    for length, n in lengths.items():
        found[min(max(length, 0) // width, len(found) - 1)] += n
    return found


def median(lengths: Counter[int]) -> int:
    """Return the median of counted lengths."""
    left = lengths.total() / 2
    for length, n in sorted(lengths.items()):
        left -= n
        if left <= 0:
            return length
    return 0


def _sources(tally: SampleTally) -> Plot:
    ordered = sorted(tally.by_source.items(), key=lambda item: (-item[1].total(), item[0]))
    shown = ordered[:_MOST_SOURCES]
    if rest := ordered[_MOST_SOURCES:]:
        shown.append((f"{len(rest)} other sources", sum((c for _, c in rest), Counter())))
    told = f"All samples: {describe_shares(tally.verdicts)}."
    alt = ("sources", "Verdicts by source", told)
    svg = draw_shares(shown, "share of the samples, per cent", alt)
    names = list(tally.verdicts)
    rows = [(shorten(s, 80), *(c[v] for v in names), c.total()) for s, c in ordered]
    return Plot(*alt, svg, make_table(("source", *names, "samples"), rows))


def plot_answers(tally: SampleTally) -> Iterator[Plot]:
    """Plot how many different answers a question got, and how evenly."""
    if not tally.distinct:
        return
    total = tally.distinct.total()
    bars = _pool([(str(k), tally.distinct[k]) for k in range(max(tally.distinct) + 1)])
    mean = sum(k * n for k, n in tally.distinct.items()) / total
    told = f"A question has {mean:.1f} different answers on average; equal means equal as written "
    told += "in canonical form."
    alt = ("distinct", "Different answers a question", told)
    svg = draw_bars(bars, ("different answers", "questions"), alt)
    rows = [(b, n, percent(n, total)) for b, n in bars]
    yield Plot(*alt, svg, make_table(("answers", "questions", "share"), rows))
    if tally.entropies:
        yield _entropies(tally)


def _entropies(tally: SampleTally) -> Plot:
    top = round(max(tally.entropies) * 10)
    width = max(1, -(-top // 30))
    bins: Counter[int] = Counter()
    for bits, n in tally.entropies.items():
        bins[round(bits * 10) // width] += n
    bars = [(f"{i * width / 10:.1f}", bins[i]) for i in range(max(bins) + 1)]
    agreed = tally.entropies[0.0]
    told = (
        f"0 bits: all answers are the same ({percent(agreed, tally.entropies.total())} of the "
        "questions that have one); 1 bit: as split as two halves."
    )
    alt = ("entropy", "Entropy of the answers to a question", told)
    svg = draw_bars(bars, ("bits, from", "questions"), alt)
    return Plot(*alt, svg, make_table(("bits, from", "questions"), bars))


def _pool(bars: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """At most 41 bars: the tail is one."""
    if len(bars) <= 41:
        return bars
    return [*bars[:40], ("40 or more", sum(n for _, n in bars[40:]))]


def plot_chains(tally: SampleTally) -> Iterator[Plot]:
    """Plot what continuations made of a first answer."""
    total = tally.transitions.total()
    if not total:
        return
    names = sorted(
        {name for pair in tally.transitions for name in pair},
        key=lambda name: (ROLES.index(role_of(name)), name),
    )
    firsts = {v: sum(n for (a, _), n in tally.transitions.items() if a == v) for v in names}
    finals = {v: sum(n for (_, b), n in tally.transitions.items() if b == v) for v in names}
    left, right = ([v for v in names if side[v]] for side in (firsts, finals))
    columns = tuple(
        tuple(Node(f"{n[v]:,} {v} {when}, {percent(n[v], total)}", n[v] / total, role_of(v))
              for v in order)
        for n, order, when in ((firsts, left, "first"), (finals, right, "in the end"))
    )  # fmt: skip
    links = tuple(
        Link(0, left.index(a), right.index(b), tally.transitions[a, b] / total)
        for a in left for b in right if tally.transitions[a, b]
    )  # fmt: skip
    mended = sum(n for (a, b), n in tally.transitions.items() if a != "correct" and b == "correct")
    broken = sum(n for (a, b), n in tally.transitions.items() if a == "correct" and b != "correct")
    told = (
        f"Of {total:,} chains {mended:,} went from another verdict to correct "
        f"and {broken:,} from correct to another."
    )
    alt = ("chains", "But wait: first answer to final answer", told)
    svg = draw_flow([Lane("Verdict on the sample, and on its last continuation", columns, links,
                          1.8)], *alt)  # fmt: skip
    rows = [(a, b, n, percent(n, total)) for (a, b), n in tally.transitions.most_common()]
    yield Plot(*alt, svg, make_table(("first", "final", "chains", "share"), rows))
