"""The run folder: names of everything in it, and what says that a stage is whole.

A stage is whole when its record exists and carries the fingerprint of the recipe's part that
shapes it and of the stage before. Leaves out what is inside the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from butwait.pipelines.places import (
    AnyPath,
    RemotePath,
    are_there,
    files_in,
    in_order,
    relative_name,
    remove_tree,
    sent_at_end,
)
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

    root: AnyPath

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for one build; the lock goes with the process, however it ends.

        A remote store has no such lock: there, only whether it can be written is found out.

        Raises:
            ConfigError: Another build is at work in it, or it cannot be written.
        """
        if isinstance(self.root, RemotePath):
            write_text(self.root / ".lock", "")
            yield
            return
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

    def stage(self, name: str) -> AnyPath:
        """Folder of a stage."""
        return self.root / name

    def parts(self, name: str) -> AnyPath:
        """Working folder of a stage; gone when the stage is whole."""
        return self.root / name / ".parts"

    @property
    def dead_letters(self) -> AnyPath:
        """Folder of what was refused."""
        return self.root / "dead_letters"

    @property
    def considered(self) -> AnyPath:
        """Folder of what each question gave each configuration: traces, or a reason for none."""
        return self.root / "considered"

    @contextmanager
    def logs(self) -> Iterator[Path]:
        """Have the folder of server logs; of a remote run a local one that is sent at the end."""
        with sent_at_end(self.root / "logs") as folder:
            yield folder

    @property
    def status(self) -> AnyPath:
        """Folder of the workers' progress counts."""
        return self.root / ".status"

    @property
    def timeline(self) -> AnyPath:
        """What stage 2 had counted, interval by interval; goes with what it counted."""
        return self.stage("trajectories") / "progress.jsonl"

    def question_shards(self) -> list[AnyPath]:
        """Question shards in order."""
        return files_in(self.stage("questions"), "questions-*.parquet")

    def trajectory_parts(self) -> list[AnyPath]:
        """Trajectory fragments in order."""
        return files_in(self.stage("trajectories"), "part-*.parquet")

    @property
    def trees(self) -> AnyPath:
        """Folder of search trees, one fragment a block, named like the trajectories'."""
        return self.stage("trajectories") / "trees"

    def tree_parts(self) -> list[AnyPath]:
        """Search-tree fragments in order."""
        return files_in(self.trees, "part-*.parquet")

    def tree_part(self, part: str) -> AnyPath:
        """Search trees of one trajectory fragment; the file is missing where nothing was searched.

        Args:
            part: Stem of the fragment.
        """
        return self.trees / f"{part}.parquet"

    def row_shards(self, config: str) -> list[AnyPath]:
        """Published shards of one configuration in order."""
        return sorted((self.stage("rows") / config).glob("train-*.parquet"))

    def record(self, stage: str) -> StageRecord | None:
        """Return the record of a whole stage, or None if it is not whole."""
        path = self._record_path(stage)
        try:
            record = StageRecord.model_validate_json(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValidationError):
            return None
        is_there = are_there(self.root, (file.name for file in record.files))
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
            write_text(marker, fingerprint)
        except OSError as error:
            raise ConfigError(f"run folder {self.root} cannot be written: {error}") from error

    def finish(
        self,
        stage: str,
        fingerprint: str,
        seconds: float,
        counts: dict[str, int],
        files: Mapping[AnyPath, int],
        notes: dict[str, str] | None = None,
    ) -> StageRecord:
        """Write the record that makes the stage whole; ``files`` maps paths to row counts."""
        paths = sorted(files)
        listed = tuple(
            FileRecord(name=relative_name(path, self.root), sha256=sha256, rows=files[path])
            for path, sha256 in zip(paths, in_order(file_sha256, paths), strict=True)
        )
        remove_tree(self.parts(stage))
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
        remove_tree(self.stage(stage))
        for path in self.dead_letters.glob(f"{stage}-*.parquet"):
            path.unlink()
        beside = {"rows": self.considered, "trajectories": self.stage("recordings")}
        if stage in beside:
            remove_tree(beside[stage])

    def _record_path(self, stage: str) -> AnyPath:
        return self.stage(stage) / "_stage.json"
