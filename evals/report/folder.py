"""What kind of run a folder holds, how far it came, and its ledger, read with forbearance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from butwait.evals.report.stream import Notes, read_json
from butwait.schemas.errors import ConfigError
from butwait.schemas.ledger import Account, Ledger
from butwait.schemas.record import SCHEMA_VERSION

Kind = Literal["build", "evaluation", "training"]
STAGES = ("questions", "trajectories", "rows", "card")
_EMPTY = Account(total=0, bins={})
_MOST_NAMES = 100


@dataclass(frozen=True)
class RunFiles:
    """A run folder that was looked into."""

    root: Path
    kind: Kind
    manifest: dict[str, Any]
    notes: Notes

    @property
    def name(self) -> str:
        """The run's name, else its folder's."""
        return str(self.manifest.get("name") or self.root.name)[:120]

    def stage(self, name: str) -> dict[str, Any]:
        """Return the record of a whole stage; empty where it is not whole."""
        return read_json(self.root / name / "_stage.json", self.notes)


def open_run(run: Path) -> RunFiles:
    """Look into a run folder.

    Raises:
        ConfigError: There is none, it is a file, or no run is in it.
    """
    if not run.exists():
        raise ConfigError(f"{run} does not exist: name a run folder, e.g. runs/quickstart")
    if not run.is_dir():
        raise ConfigError(f"{run} is a file: name a run folder, e.g. runs/quickstart")
    run = run.resolve()
    notes = Notes(run)
    manifest = read_json(run / "manifest.json", notes)
    kind = _find_kind(run, manifest)
    if kind is None:
        raise ConfigError(
            f"{run} holds no run: no manifest.json, questions/, trajectories/ or metrics.jsonl; "
            "`butwait build`, `eval` and `train` make run folders"
        )
    version = manifest.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        notes.add(
            f"the run has schema version {version!r}, this program reads {SCHEMA_VERSION}: "
            "what they do not share is left out"
        )
    return RunFiles(run, kind, manifest, notes)


def _find_kind(run: Path, manifest: dict[str, Any]) -> Kind | None:
    if manifest.get("kind") == "evaluation":
        return "evaluation"
    if isinstance(manifest.get("kind"), str) or (run / "metrics.jsonl").is_file():
        return "training"
    is_build = any((run / name).exists() for name in ("ledger.json", *STAGES))
    return "build" if is_build or "stages" in manifest else None


def read_ledger(run: RunFiles) -> Ledger | None:
    """Return the run's ledger; accounts that cannot be read are left out, and noted."""
    path = run.root / "ledger.json"
    found = read_json(path, run.notes)
    if not found:
        if not path.exists():
            run.notes.add("no ledger.json: the build has not come to its end")
        return None
    try:
        return Ledger.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        run.notes.add("ledger.json is of another version: the accounts that can be read are shown")
    return Ledger(
        questions=_account(found.get("questions")) or _EMPTY,
        samples=_account(found.get("samples")) or _EMPTY,
        continuations=_account(found.get("continuations")) or _EMPTY,
        searches=_account(found.get("searches")),
        leaves=_account(found.get("leaves")),
        rows=dict(_accounts(found.get("rows"))),
        flows={},
        considered=dict(_accounts(found.get("considered"))),
    )


def _accounts(value: object) -> Iterator[tuple[str, Account]]:
    if isinstance(value, dict):
        for name, member in list(value.items())[:_MOST_NAMES]:
            account = _account(member)
            if account is not None:
                yield name, account


def _account(value: object) -> Account | None:
    try:
        return Account.model_validate(value)
    except ValidationError:
        return None
