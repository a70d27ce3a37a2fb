"""What a build prints at its end: the ledger, three rows to look at, and where things are."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from butwait.pipelines.places import AnyPath
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.tables import count_rows, open_parquet, read_columns
from butwait.schemas.errors import ConfigError
from butwait.schemas.ledger import Account, Ledger

N_SHOWN = 3
_SHOWN_CHARACTERS = 900


def read_ledger(run: AnyPath) -> Ledger:
    """Read a run's ledger.

    Raises:
        ConfigError: There is none, or it is not one.
    """
    path = run / "ledger.json"
    try:
        return Ledger.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} does not exist: name a run folder whose build has ended, e.g. runs/quickstart"
        ) from error
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigError(
            f"{path} is not a ledger; build the run again with --from card"
        ) from error


def print_ledger(ledger: Ledger, as_json: bool = False) -> None:
    """Print the ledger as tables, or as JSON."""
    if as_json:
        print(ledger.model_dump_json(indent=1))  # noqa: T201
        return
    console = make_console()
    for title, account in accounts(ledger).items():
        console.print(_table(title, account))
    for name, flows in ledger.flows.items():
        shown = ", ".join(f"{count} {flow.replace('_', '→')}" for flow, count in flows.items())
        console.print(Text(f"{name}, first→final answer of all continuations: {shown}"))
    for name, note in ledger.notes.items():
        console.print(Text(f"questions {name.replace('_', ' ')} {note}"))


def print_summary(run: RunFolder) -> None:
    """Print ledger, three sample rows and the paths of dataset and card."""
    console = make_console()
    ledger = read_ledger(run.root)
    print_ledger(ledger)
    for title, text in _samples(run, tuple(ledger.rows)):
        console.print(Panel(Text(text), title=Text(title), title_align="left"))
    for name in ledger.rows:
        shards = run.row_shards(name)
        rows = sum(count_rows(path) for path in shards)
        console.print(Text(f"{name}: {rows} rows in {len(shards)} shards"))
    console.print(Text(f"dataset: {run.stage('rows')}"), soft_wrap=True)
    console.print(Text(f"card:    {run.stage('card') / 'README.md'}"), soft_wrap=True)


def accounts(ledger: Ledger) -> Mapping[str, Account]:
    """Return the accounts that are printed, by title."""
    return {
        "questions read": ledger.questions,
        **({"samples requested": ledger.samples} if ledger.samples.total else {}),
        **({"continuations requested": ledger.continuations} if ledger.continuations.total else {}),
        **{
            title: account
            for title, account in (
                ("searches, one a question", ledger.searches),
                ("leaves of the search trees", ledger.leaves),
            )
            if account is not None
        },
        **{f"rows made for {name}": account for name, account in ledger.rows.items()},
    }


def _table(title: str, account: Account) -> Table:
    table = Table(title=Text(title), title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("bin", min_width=34)
    table.add_column("count", justify="right")
    table.add_column("share", justify="right")
    for name, count in account.bins.items():
        share = f"{100 * count / account.total:.1f} %" if account.total else ""
        table.add_row(Text(name), str(count), share)
    table.add_section()
    table.add_row("total", str(account.total), "")
    return table


def _samples(run: RunFolder, configs: tuple[str, ...]) -> list[tuple[str, str]]:
    """One row of each configuration in turn, until three are shown."""
    found = []
    for name in configs:
        for path in run.row_shards(name):
            row = next(read_columns(path, _columns(path)), None)
            if row is not None:
                found.append((f"{name} · {row['id']}", show_row(row)))
                break
        if len(found) == N_SHOWN:
            break
    return found


def _columns(path: AnyPath) -> list[str]:
    with open_parquet(path) as file:
        names = file.schema_arrow.names
    shown = ("prompt", "completion", "chosen", "rejected", "completions", "labels")
    return [n for n in ("id", *shown, "problem", "answer", "pass_rate") if n in names]


def show_row(row: Mapping[str, Any]) -> str:
    """A row of any class as text: its turns or steps, its answer, cut where it is long."""
    text = "\n".join(_turns(row))
    if len(text) > _SHOWN_CHARACTERS:
        text = text[:_SHOWN_CHARACTERS] + f" ... ({len(text)} characters)"
    text = f"{text}\n→ answer {row['answer']}"
    if "pass_rate" not in row:
        return text
    rate = row["pass_rate"]
    return f"{text}, pass rate {rate if rate is None else round(rate, 3)}"


def _turns(row: Mapping[str, Any]) -> Iterator[str]:
    """A row's texts, each with what it is."""
    if "completions" in row:
        yield f"user: {row['prompt']}"
        for step, label in zip(row["completions"], row["labels"], strict=True):
            yield f"{'right' if label else 'wrong'}: {step}"
        return
    for message in (*row["prompt"], *row.get("completion", ())):
        yield f"{message['role']}: {message['content']}"
    for side in ("chosen", "rejected"):
        for message in row.get(side, ()):
            yield f"{side}: {message['content']}"


def make_console() -> Console:
    """Return the console for results: what is printed is other people's words, not markup."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=False)
