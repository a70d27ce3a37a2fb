"""The ledger as a flow: from questions to samples, and for every configuration to its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from butwait.evals.report.content import Plot, make_table, percent, shorten
from butwait.evals.report.flow import Lane, Node, draw_flow, fan
from butwait.evals.report.folder import RunFiles
from butwait.evals.report.plots import role_of
from butwait.evals.report.stream import stream
from butwait.evals.report.svg import ROLES
from butwait.schemas.ledger import Account, Ledger

_MOST_NODES = 10
_MOST_CONFIGS = 12
_GOOD = ("made_rows", "written", "used", "solved")


def count_refused(run: RunFiles) -> Counter[str]:
    """Return the reasons of the questions that stage 1 refused."""
    paths = sorted((run.root / "dead_letters").glob("questions-*.parquet"))
    rows = (row for path in paths for row in stream(path, ("reason",), run.notes, batch=8192))
    found: Counter[str] = Counter()
    for row in rows:
        known = row["reason"] in found or len(found) < 1000
        found[str(row["reason"]) if known else "other reasons"] += 1
    return found


def draw_ledger(ledger: Ledger, refused: Mapping[str, int]) -> Plot:
    """Draw the ledger and tell its numbers."""
    lanes = list(_lanes(ledger, refused))
    title = "From questions to rows"
    caption = (
        "Bands are as wide as their share. Samples are drawn as wide as the questions they were "
        "asked for, rows as wide as the questions that made them. Every reason of refusal is in "
        "the table, which adds up."
    )
    described = "; ".join(_describe(name, account) for name, account in _all(ledger))
    svg = draw_flow(lanes, "flow", title, described[:2000])
    rows = [
        (name, bin_, count, percent(count, account.total))
        for name, account in _all(ledger)
        for bin_, count in (*account.bins.items(), ("total", account.total))
    ]
    table = make_table(("account", "bin", "count", "share"), rows)
    return Plot("flow", title, caption, svg, table)


def _all(ledger: Ledger) -> Iterator[tuple[str, Account]]:
    yield "questions read, by final fate", ledger.questions
    named = (
        ("samples requested", ledger.samples),
        ("continuations requested", ledger.continuations),
        ("searches", ledger.searches),
        ("leaves of the search trees", ledger.leaves),
    )
    yield from ((name, account) for name, account in named if account and account.total)
    for config, account in ledger.considered.items():
        yield f"questions for {config}", account
    for config, account in ledger.rows.items():
        yield f"rows of {config}", account


def _describe(name: str, account: Account) -> str:
    bins = ", ".join(f"{count} {shorten(bin_)}" for bin_, count in list(account.bins.items())[:6])
    return f"{account.total} {shorten(name)}: {bins}"


def _lanes(ledger: Ledger, refused: Mapping[str, int]) -> Iterator[Lane]:
    read = max(ledger.questions.total, 1)
    kept = max(ledger.questions.total - sum(refused.values()), 0)
    start = [Node(f"{ledger.questions.total:,} read", 1.0, "first")]
    after = [Node(f"{kept:,} kept", kept / read, "first")]
    after += _nodes(refused, sum(refused.values()), 1 - kept / read, read)
    columns = [start, after]
    if ledger.samples.total:
        columns.append(_of(ledger.samples, kept / read, " samples"))
    yield fan("Questions and their samples" if ledger.samples.total else "Questions", columns)
    if ledger.continuations.total:
        yield _plain("“But wait” continuations", "asked for", ledger.continuations)
    if ledger.searches and ledger.searches.total:
        yield _plain("Searches", "questions searched", ledger.searches)
    if ledger.leaves and ledger.leaves.total:
        yield _plain("Leaves of the search trees", "solutions begun", ledger.leaves)
    for config, account in list(ledger.considered.items())[:_MOST_CONFIGS]:
        yield _configuration(config, account, ledger.rows.get(config))


def _plain(title: str, what: str, account: Account) -> Lane:
    return fan(title, [[Node(f"{account.total:,} {what}", 1.0, "first")], _of(account, 1.0, "")])


def _configuration(config: str, account: Account, rows: Account | None) -> Lane:
    made = account.bins.get("made_rows", 0)
    total = max(account.total, 1)
    second = [Node(f"{made:,} made rows", made / total, "correct")]
    reasons = {name: n for name, n in account.bins.items() if name != "made_rows"}
    second += _nodes(reasons, sum(reasons.values()), 1 - made / total, total)
    columns = [[Node(f"{account.total:,} questions", 1.0, "first")], second]
    if rows is not None and rows.total:
        columns.append(_of(rows, made / total, " rows"))
    return fan(shorten(f"Configuration {config}", 60), columns, height=0.9)


def _of(account: Account, share: float, unit: str) -> list[Node]:
    return _nodes(account.bins, account.total, share, account.total, unit)


def _nodes(
    bins: Mapping[str, int], total: int, share: float, whole: int, unit: str = ""
) -> list[Node]:
    """Nodes of some bins, the largest first; many small ones become one."""
    ordered = sorted(((n, name) for name, n in bins.items() if n > 0), reverse=True)
    rest = ordered[_MOST_NODES:] if len(ordered) > _MOST_NODES + 1 else []
    shown = ordered[: len(ordered) - len(rest)]
    if rest:
        shown.append((sum(n for n, _ in rest), f"{len(rest)} other reasons"))
    return [
        Node(
            f"{n:,}{unit} {shorten(name.replace('_', ' '), 30)}, {percent(n, whole)}",
            share * n / max(total, 1),
            _role(name),
        )
        for n, name in shown
    ]


def _role(name: str) -> str:
    if name in _GOOD:
        return "correct"
    return role_of(name) if name in ROLES else "drop"
