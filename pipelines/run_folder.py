"""The run folder: names of everything in it, and what says that a stage is whole.

A stage is whole when its record exists and carries the fingerprint of the recipe's part that
shapes it and of the stage before. Leaves out what is inside the files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from butwait.pipelines.tables import file_sha256, write_text
from butwait.schemas.errors import ConfigError
from butwait.schemas.record import Record

STAGES = ("questions", "trajectories", "rows", "card")


class FileRecord(Record):
    """One output file of a stage."""

    name: str
    """Path relative to the run folder."""
    sha256: str
    rows: int


class StageRecord(Record):
    """Written last; its presence means that the stage is whole."""

    stage: str
    fingerprint: str
    seconds: float
    counts: dict[str, int]
    notes: dict[str, str] = Field(default_factory=dict)
    """What it was made with, e.g. the engine and its version."""
    files: tuple[FileRecord, ...]


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    root: Path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for one build; the lock goes with the process, however it ends.

        Raises:
            ConfigError: Another build is at work in it, or it cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            file = (self.root / ".lock").open("w")
        except OSError as error:
            raise ConfigError(f"run folder {self.root} cannot be written: {error}") from error
        with file:
            try:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except ImportError:
                pass  # no such lock on Windows
            except OSError as error:
                raise ConfigError(
                    f"another build is at work in {self.root}; wait for its end, or give this "
                    "one another name (--set name=...)"
                ) from error
            yield

    def stage(self, name: str) -> Path:
        """Folder of a stage."""
        return self.root / name

    def parts(self, name: str) -> Path:
        """Working folder of a stage; gone when the stage is whole."""
        return self.root / name / ".parts"

    @property
    def dead_letters(self) -> Path:
        """Folder of what was refused."""
        return self.root / "dead_letters"

    @property
    def considered(self) -> Path:
        """Folder of what each question gave each configuration: traces, or a reason for none."""
        return self.root / "considered"

    @property
    def logs(self) -> Path:
        """Folder of server logs."""
        return self.root / "logs"

    @property
    def status(self) -> Path:
        """Folder of the workers' progress counts."""
        return self.root / ".status"

    @property
    def timeline(self) -> Path:
        """What stage 2 had counted, interval by interval; goes with what it counted."""
        return self.stage("trajectories") / "progress.jsonl"

    def question_shards(self) -> list[Path]:
        """Question shards in order."""
        return sorted(self.stage("questions").glob("questions-*.parquet"))

    def trajectory_parts(self) -> list[Path]:
        """Trajectory fragments in order."""
        return sorted(self.stage("trajectories").glob("part-*.parquet"))

    @property
    def trees(self) -> Path:
        """Folder of search trees, one fragment a block, named like the trajectories'."""
        return self.stage("trajectories") / "trees"

    def tree_parts(self) -> list[Path]:
        """Search-tree fragments in order."""
        return sorted(self.trees.glob("part-*.parquet"))

    def tree_part(self, part: str) -> Path:
        """Search trees of one trajectory fragment; the file is missing where nothing was searched.

        Args:
            part: Stem of the fragment.
        """
        return self.trees / f"{part}.parquet"

    def row_shards(self, config: str) -> list[Path]:
        """Published shards of one configuration in order."""
        return sorted((self.stage("rows") / config).glob("train-*.parquet"))

    def record(self, stage: str) -> StageRecord | None:
        """Return the record of a whole stage, or None if it is not whole."""
        path = self._record_path(stage)
        try:
            record = StageRecord.model_validate_json(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValidationError):
            return None
        is_there = all((self.root / file.name).is_file() for file in record.files)
        return record if is_there else None

    def fingerprint(self, stage: str) -> str | None:
        """Return the fingerprint of what a stage's folder holds, whole or not; None: nothing."""
        try:
            return (self.stage(stage) / "_fingerprint").read_text(encoding="utf-8")
        except OSError:
            return None

    def begin(self, stage: str, fingerprint: str) -> None:
        """Prepare a stage: keep what an interrupted run of the same fingerprint left, else clear.

        Raises:
            ConfigError: The folder cannot be written.
        """
        folder = self.stage(stage)
        marker = folder / "_fingerprint"
        try:
            if marker.is_file() and marker.read_text(encoding="utf-8") == fingerprint:
                self._record_path(stage).unlink(missing_ok=True)
                return
            self.clear(stage)
            folder.mkdir(parents=True, exist_ok=True)
            write_text(marker, fingerprint)
        except OSError as error:
            raise ConfigError(f"run folder {self.root} cannot be written: {error}") from error

    def finish(
        self,
        stage: str,
        fingerprint: str,
        seconds: float,
        counts: dict[str, int],
        files: dict[Path, int],
        notes: dict[str, str] | None = None,
    ) -> StageRecord:
        """Write the record that makes the stage whole; ``files`` maps paths to row counts."""
        listed = tuple(
            FileRecord(
                name=path.relative_to(self.root).as_posix(), sha256=file_sha256(path), rows=rows
            )
            for path, rows in sorted(files.items())
        )
        shutil.rmtree(self.parts(stage), ignore_errors=True)
        record = StageRecord(
            stage=stage,
            fingerprint=fingerprint,
            seconds=round(seconds, 3),
            counts=counts,
            notes=notes or {},
            files=listed,
        )
        write_text(self._record_path(stage), record.model_dump_json(indent=1))
        return record

    def clear(self, stage: str) -> None:
        """Remove a stage's output and what it refused."""
        shutil.rmtree(self.stage(stage), ignore_errors=True)
        for path in self.dead_letters.glob(f"{stage}-*.parquet"):
            path.unlink()
        beside = {"rows": self.considered, "trajectories": self.stage("recordings")}
        if stage in beside:
            shutil.rmtree(beside[stage], ignore_errors=True)

    def _record_path(self, stage: str) -> Path:
        return self.stage(stage) / "_stage.json"
