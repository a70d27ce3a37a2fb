"""Where a run's files are: a local folder, or one of a remote store that Beam can reach.

``RemotePath`` has the few operations of ``pathlib`` that a run folder needs, over Beam's
FileSystems (``gs://``, ``s3://``, ``azfs://``, ``hdfs://``), so that stages need not know which of
the two they were given. A remote store has no lock and no rename that is one step: a file is
written here first and sent whole. Object stores show a file when it is closed; elsewhere it is sent
under another name and renamed. Left out: remote sources of questions.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from butwait.schemas.errors import ConfigError

T = TypeVar("T")
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.+)", re.IGNORECASE)
_DELETE_AT_ONCE = 100
_AT_ONCE = 16
COPY_BYTES = 16 << 20


@dataclass(frozen=True, order=True)
class RemotePath:
    """A file or folder of a remote store; errors are ``OSError``, as of local ones."""

    url: str

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self.url}/{name}")

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """What stands behind the last slash."""
        return self.url.rsplit("/", 1)[1]

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return PurePosixPath(self.name).stem

    @property
    def parent(self) -> RemotePath:
        """The folder that holds it."""
        return RemotePath(self.url.rsplit("/", 1)[0])

    def relative_to(self, other: RemotePath) -> PurePosixPath:
        """Return the path below another one."""
        if not self.url.startswith(f"{other.url}/"):
            raise ValueError(f"{self} is not below {other}")
        return PurePosixPath(self.url[len(other.url) + 1 :])

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """Yield the files directly in this folder whose names match."""
        with _as_os_error(self) as store:
            if not (store.has_dirs() and not store.exists(self.url)):
                [found] = store.match([f"{self.url}/{pattern}"])
                yield from [RemotePath(file.path) for file in found.metadata_list]

    def is_file(self) -> bool:
        """Whether there is something of this name."""
        with _as_os_error(self) as store:
            return bool(store.exists(self.url))

    def is_dir(self) -> bool:
        """Whether there is a file below it."""
        with _as_os_error(self) as store:
            if store.has_dirs():
                return bool(store.exists(self.url))
            [found] = store.match([f"{self.url}/**"], [1])
            return bool(found.metadata_list)

    def open(self) -> BufferedIOBase:
        """Open for reading.

        Raises:
            FileNotFoundError: There is no such file.
        """
        from apache_beam.io.filesystem import CompressionTypes

        with _as_os_error(self) as store:
            if not store.exists(self.url):
                raise FileNotFoundError(2, "No such file", self.url)
            file: BufferedIOBase = store.open(
                self.url, compression_type=CompressionTypes.UNCOMPRESSED
            )
            return file

    def read_bytes(self) -> bytes:
        """Read the whole file."""
        with self.open() as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """Read the whole file as text."""
        return self.read_bytes().decode(encoding)

    def n_bytes(self) -> int:
        """Return the file's size."""
        with _as_os_error(self) as store:
            return int(store.size(self.url))

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        with _as_os_error(self) as store:
            if not missing_ok or store.exists(self.url):
                store.delete([self.url])

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a file brings its folders with it."""

    def receive(self, file: Path) -> None:
        """Send a local file here, whole or not at all."""
        with _as_os_error(self) as store:
            if not store.has_dirs():  # an object store shows a file when it is closed
                _send(store, file, self.url)
                return
            beside = str(self.parent / f".{self.name}.{file.parent.name}.tmp")
            _send(store, file, beside)
            if store.exists(self.url):
                store.delete([self.url])
            store.rename([beside], [self.url])


AnyPath = Path | RemotePath


def files_in(folder: AnyPath, pattern: str) -> list[AnyPath]:
    """List the files of a folder whose names match, in order; of a missing one, none."""
    if isinstance(folder, Path):
        return sorted(folder.glob(pattern))
    return sorted(folder.glob(pattern))


def relative_name(path: AnyPath, root: AnyPath) -> str:
    """Return a path's name below a folder, with slashes."""
    if isinstance(path, RemotePath) and isinstance(root, RemotePath):
        return path.relative_to(root).as_posix()
    return Path(str(path)).relative_to(str(root)).as_posix()


def is_url(text: str) -> bool:
    """Tell an address from a local path.

    >>> is_url("gs://bucket/runs"), is_url("runs")
    (True, False)
    """
    return _URL.fullmatch(text) is not None


def read_folder(text: str) -> AnyPath:
    """Read where run folders are: a local path, or the address of a folder in a remote store.

    Raises:
        ConfigError: An address that cannot be used.
    """
    if not is_url(text):
        return Path(text)
    if re.search(r"[*?\[\]@#\s\\]", text):
        raise ConfigError(f"{text!r} cannot be a run folder: write e.g. gs://bucket/runs")
    return RemotePath(text.rstrip("/"))


def use_options(folder: AnyPath, beam_options: Iterable[str] = ()) -> None:
    """Reach a remote folder's store, with Beam's own flags (``--hdfs_host``, ``--s3_...``).

    Raises:
        ConfigError: Beam has no way to it here.
    """
    if isinstance(folder, Path):
        return
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    FileSystems.set_options(PipelineOptions(list(beam_options)))
    try:
        FileSystems.get_filesystem(folder.url)
    except (ValueError, OSError) as error:
        scheme = folder.url.split(":")[0]
        extra = {"gs": "gcp", "s3": "aws", "azfs": "azure", "hdfs": "hadoop"}.get(scheme)
        way_out = (
            f"pip install 'apache-beam[{extra}]', and give the flags and credentials that Beam "
            "asks for"
            if extra
            else "use gs://, s3://, azfs://, hdfs:// or a local path"
        )
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{folder} cannot be reached ({reason}): {way_out}") from error


def remove_tree(folder: AnyPath) -> None:
    """Remove a folder with all that is in it; one that is not there is fine."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
        return
    with _as_os_error(folder) as store:
        if store.has_dirs():
            if store.exists(folder.url):
                store.delete([folder.url])
            return
        [found] = store.match([f"{folder.url}/**"])
        paths = [file.path for file in found.metadata_list]
        for start in range(0, len(paths), _DELETE_AT_ONCE):
            store.delete(paths[start : start + _DELETE_AT_ONCE])


def are_there(root: AnyPath, names: Iterable[str]) -> bool:
    """Whether all of these files are below a folder; a remote one is asked once a folder."""
    if isinstance(root, Path):
        return all((root / name).is_file() for name in names)
    paths = sorted(root / name for name in names)
    for folder, members in groupby(paths, key=lambda path: path.parent):
        if not set(members) <= set(folder.glob("*")):
            return False
    return True


def in_order(work: Callable[[AnyPath], T], paths: Sequence[AnyPath]) -> list[T]:
    """Do something with every file, with several remote ones at a time."""
    if all(isinstance(path, Path) for path in paths):
        return [work(path) for path in paths]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(work, paths))


def size_of(path: AnyPath) -> int:
    """Return a file's size in bytes."""
    return path.stat().st_size if isinstance(path, Path) else path.n_bytes()


def scratch(folder: AnyPath) -> Path:
    """Return a local folder to work in for this one: itself, or a new one for a remote folder."""
    return folder if isinstance(folder, Path) else Path(tempfile.mkdtemp(prefix="butwait-"))


@contextmanager
def worked_on_here(folder: AnyPath) -> Iterator[Path]:
    """Have a local folder that stands for this one while it is worked on.

    It is the folder itself, or a temporary one that is gone at the end of the block.
    """
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="butwait-") as temporary:
        here = Path(temporary) / folder.name
        here.mkdir()
        yield here


@contextmanager
def sent_at_end(folder: AnyPath) -> Iterator[Path]:
    """Have a local folder whose files are in this one at the end of the block, however it ends."""
    with worked_on_here(folder) as here:
        try:
            yield here
        finally:
            if not isinstance(folder, Path):
                for file in sorted(here.glob("*")):
                    (folder / file.name).receive(file)


def fetch(root: RemotePath, names: Iterable[str], here: Path) -> None:
    """Copy files below a remote folder to the same names below a local one; some may be missing."""
    for name in names:
        target = here / name
        if not target.resolve().is_relative_to(here.resolve()):
            raise ConfigError(f"{root} names a file {name!r} outside of itself")
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            with (root / name).open() as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, COPY_BYTES)


def _send(store: Any, file: Path, url: str) -> None:
    from apache_beam.io.filesystem import CompressionTypes

    try:
        with (
            file.open("rb") as source,
            store.create(url, compression_type=CompressionTypes.UNCOMPRESSED) as target,
        ):
            shutil.copyfileobj(source, target, COPY_BYTES)
    except BaseException:
        # A writer that is closed half way shows what it has.
        with suppress(Exception):
            store.delete([url])
        raise


@contextmanager
def _as_os_error(path: RemotePath) -> Iterator[Any]:
    """Have the store of a path; whatever its library raises is an ``OSError`` that names it."""
    from apache_beam.io.filesystems import FileSystems

    try:
        yield FileSystems.get_filesystem(path.url)
    except FileNotFoundError:
        raise
    except Exception as error:  # each store's library has errors of its own
        raise OSError(f"{path}: {type(error).__name__}: {error}") from error
