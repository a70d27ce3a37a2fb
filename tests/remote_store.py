"""Two remote stores as Beam sees them, kept in a folder so that worker processes share them.

``bucket://`` is an object store: no folders, no rename, a file is there when it is closed.
``tree://`` is like HDFS: folders, one level a listing, a missing folder is an error, what is being
written can be seen, and a rename never replaces. What stands behind the two slashes is the path of
the folder.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata, FileSystem

PARTIAL = ".not-yet-closed"


class _Folder:
    """What both have in common."""

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath, *paths])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def _here(self, url: str) -> Path:
        _, _, path = url.partition("://")
        assert Path(path).is_absolute(), url
        return Path(path)

    def open(self, path: str, mime_type: str = "", compression_type: str = "auto") -> Any:
        assert compression_type == CompressionTypes.UNCOMPRESSED
        try:
            return self._here(path).open("rb")
        except OSError as error:
            raise BeamIOError("no such object", {path: error}) from error

    def copy(self, sources: list[str], targets: list[str]) -> None:
        raise NotImplementedError

    def size(self, path: str) -> int:
        return self._here(path).stat().st_size

    def last_updated(self, path: str) -> float:
        return self._here(path).stat().st_mtime

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, self.size(path), self.last_updated(path))


class Bucket(_Folder, FileSystem):  # type: ignore[misc]
    """An object store."""

    @classmethod
    def scheme(cls) -> str:
        return "bucket"

    def has_dirs(self) -> bool:
        return False

    def mkdirs(self, path: str) -> None:
        raise NotImplementedError("an object store has no folders")

    def rename(self, sources: list[str], targets: list[str]) -> None:
        raise NotImplementedError("an object store has no rename")

    def _list(self, prefix: str) -> Iterator[FileMetadata]:
        start = self._here(prefix)
        folder = start if prefix.endswith("/") else start.parent
        for path in sorted(folder.rglob("*")):
            url = f"{self.scheme()}://{path}"
            if path.is_file() and path.suffix != PARTIAL and url.startswith(prefix):
                yield self.metadata(url)

    def exists(self, path: str) -> bool:
        return self._here(path).is_file()

    def create(self, path: str, mime_type: str = "", compression_type: str = "auto") -> Any:
        assert compression_type == CompressionTypes.UNCOMPRESSED
        return _Closing(self._here(path))

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            self._here(path).unlink()


class _Closing(io.FileIO):
    """Takes its name when it is closed."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._partial = path.with_name(f"{path.name}.{os.getpid()}-{id(self)}{PARTIAL}")
        super().__init__(self._partial, "w")

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._partial.replace(self._path)


class Tree(_Folder, FileSystem):  # type: ignore[misc]
    """A file system with folders."""

    @classmethod
    def scheme(cls) -> str:
        return "tree"

    def has_dirs(self) -> bool:
        return True

    def mkdirs(self, path: str) -> None:
        self._here(path).mkdir(parents=True)

    def rename(self, sources: list[str], targets: list[str]) -> None:
        for source, target in zip(sources, targets, strict=True):
            if self.exists(target):
                raise BeamIOError("the target of a rename exists", {target: None})
            self._here(source).rename(self._here(target))

    def _list(self, folder: str) -> Iterator[FileMetadata]:
        for path in sorted(self._here(folder).iterdir()):  # a missing folder is an error
            yield self.metadata(f"{self.scheme()}://{path}")

    def exists(self, path: str) -> bool:
        return self._here(path).exists()

    def create(self, path: str, mime_type: str = "", compression_type: str = "auto") -> Any:
        assert compression_type == CompressionTypes.UNCOMPRESSED
        self._here(path).parent.mkdir(parents=True, exist_ok=True)
        return self._here(path).open("wb")

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            here = self._here(path)
            shutil.rmtree(here) if here.is_dir() else here.unlink()
