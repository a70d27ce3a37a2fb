"""What the test Hub remembers: accounts, repositories, commits and stored bytes.

Everything but the bytes lives in memory and is gone with the server. Left out: pull requests,
organisations, multipart uploads, history rewriting.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ALICE_WRITE = "test-token-of-alice-for-writing"
ALICE_READ = "test-token-of-alice-for-reading"
BOB_WRITE = "test-token-of-bob-for-writing"
LARGE_SUFFIXES = (".parquet", ".arrow", ".bin", ".safetensors", ".gz", ".zip", ".zst")
LARGE_BYTES = 10_000_000
GIT_ATTRIBUTES = b"".join(b"*%s filter=lfs -text\n" % s.encode() for s in LARGE_SUFFIXES)


class HubRefusal(Exception):
    """An answer of 4xx, with the error code that the clients turn into an exception type."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Account:
    """Who a token belongs to, and what it may do."""

    name: str
    role: str  # "write" or "read"


@dataclass(frozen=True)
class Entry:
    """One file of one commit."""

    sha256: str
    size: int
    git_oid: str
    is_large: bool
    xet_hash: str | None = None

    @property
    def pointer_size(self) -> int:
        return len(pointer_text(self.sha256, self.size))


@dataclass(frozen=True)
class Commit:
    """A whole tree with its message and parent."""

    oid: str
    parent: str | None
    tree: Mapping[str, Entry]
    title: str
    message: str
    author: str
    date: str


@dataclass
class Repo:
    """One repository with its history."""

    repo_type: str
    repo_id: str
    private: bool
    gated: str | bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.repo_id.split("/")[0]

    def find(self, revision: str) -> Commit:
        """Return the commit behind a branch, a tag or a (shortened) commit hash."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        oid = self.branches.get(name) or self.tags.get(name)
        if oid is None and re.fullmatch(r"[0-9a-f]{7,40}", name):
            oid = next((known for known in self.commits if known.startswith(name)), None)
        if oid is None:
            raise HubRefusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def history(self, revision: str) -> Iterable[Commit]:
        """Yield the commits from a revision back to the first."""
        commit: Commit | None = self.find(revision)
        while commit is not None:
            yield commit
            commit = self.commits[commit.parent] if commit.parent else None


def pointer_text(sha256: str, size: int) -> bytes:
    """Return the text that git keeps in place of a large file."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
    return text.encode()


def git_blob_oid(content: bytes) -> str:
    """Return the SHA-1 by which git names a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large_file(path: str, size: int, sample: bytes) -> bool:
    """Return whether a file is kept outside git."""
    return path.endswith(LARGE_SUFFIXES) or size >= LARGE_BYTES or b"\0" in sample


class HubState:
    """All accounts, repositories and bytes of one test Hub."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.clock = itertools.count()
        self.repos: dict[tuple[str, str], Repo] = {}
        self.xet_address: str | None = None
        """Where clients are sent for Xet; None: to the store."""
        self.renamed: dict[tuple[str, str], str] = {}
        self.accounts = {
            ALICE_WRITE: Account("alice", "write"),
            ALICE_READ: Account("alice", "read"),
            BOB_WRITE: Account("bob", "write"),
        }

    def blob_path(self, sha256: str) -> Path:
        """Return where the bytes with this hash lie, or would lie."""
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise HubRefusal(400, f"not a sha256: {sha256[:80]}")
        return self.store / sha256

    def keep(self, content: bytes) -> str:
        """Store bytes and return their sha256."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.blob_path(sha256).write_bytes(content)
        return sha256

    def enter(self, content: bytes, *, is_large: bool) -> Entry:
        """Store bytes and return the tree entry for them."""
        sha256 = self.keep(content)
        oid = git_blob_oid(pointer_text(sha256, len(content)) if is_large else content)
        return Entry(sha256, len(content), oid, is_large)

    def create_repo(self, repo_type: str, repo_id: str, *, private: bool) -> Repo:
        """Make a repository with the first commit that the Hub makes by itself."""
        repo = Repo(repo_type, repo_id, private)
        self.repos[repo_type, repo_id] = repo
        tree = {".gitattributes": self.enter(GIT_ATTRIBUTES, is_large=False)}
        repo.branches["main"] = ""
        self.commit(repo, "main", tree, "initial commit", "", repo.owner)
        return repo

    def commit(
        self,
        repo: Repo,
        branch: str,
        tree: Mapping[str, Entry],
        title: str,
        message: str,
        author: str,
    ) -> Commit:
        """Append a commit to a branch."""
        parent = repo.branches[branch] or None
        number = next(self.clock)
        listing = "".join(f"{path}\0{tree[path].git_oid}\n" for path in sorted(tree))
        seed = f"{repo.repo_id}\0{number}\0{parent}\0{title}\0{listing}"
        oid = hashlib.sha1(seed.encode()).hexdigest()
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        commit = Commit(oid, parent, dict(tree), title, message, author, date)
        repo.commits[oid] = commit
        repo.branches[branch] = oid
        return commit
