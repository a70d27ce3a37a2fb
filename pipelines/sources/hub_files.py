"""Files of a dataset repository by address: ``hf://datasets/owner/name[@revision]/path``.

The path is a file, a folder or a pattern (``*`` within a folder, ``**`` through folders). It is
read like local files, row group by row group and line by line, pinned to the commit that the
revision names when the recipe is resolved. Leaves out models, spaces and buckets.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from butwait.pipelines.sources.hub_access import (
    ask_hub,
    describe_dataset,
    one_line,
    read_licence,
    read_r1_derived,
)
from butwait.pipelines.sources.local import choose_split, cut_groups, find_kind, read_columns
from butwait.pipelines.sources.place import HUB_SCHEME, Place, RecordRange
from butwait.pipelines.sources.stream import open_bytes, stream_records
from butwait.schemas.errors import SourceError

ADDRESS = re.compile(
    r"hf://datasets/(?P<repo>[^/@]+/[^/@]+)"
    r"(?:@(?P<revision>refs/(?:convert|pr)/[^/]+|[^/]+))?(?:/(?P<path>.*))?"
)


@dataclass(frozen=True, slots=True)
class HubAddress:
    """An ``hf://`` address in its parts."""

    repo: str
    revision: str | None
    path: str
    """File, folder or pattern; empty for the whole dataset."""


def is_address(text: str | None) -> bool:
    """Whether a text is meant as an address on the Hub."""
    return text is not None and text.startswith(HUB_SCHEME)


def pin_address(text: str, revision: str) -> str:
    """Return an address at a revision."""
    address = read_address(text)
    return f"{HUB_SCHEME}datasets/{address.repo}@{revision}/{address.path}".rstrip("/")


def read_address(text: str) -> HubAddress:
    """Return the parts of an address.

    Raises:
        SourceError: It is none, or not a dataset's.
    """
    match = ADDRESS.fullmatch(text)
    if match is None:
        raise SourceError(
            f"{text!r} is not an address of a dataset on the Hub: write "
            "hf://datasets/OWNER/NAME@REVISION/PATH (revision and path may be left out)"
        )
    revision = match["revision"]
    return HubAddress(
        match["repo"], unquote(revision) if revision else None, (match["path"] or "").strip("/")
    )


def find_hub_files(address: HubAddress, split: str) -> Place:
    """Find files on the Hub and pin them to a commit.

    Args:
        address: Where they are.
        split: Chooses among files that are named like splits.

    Raises:
        SourceError: No such dataset, revision or file, or no way to the Hub.
    """
    with one_line(address.repo, address.revision):
        info = describe_dataset(address.repo, address.revision)
        sha = str(info.sha)
        names = choose_split(_list_files(address, sha), split, f"hf://datasets/{address.repo}")
        root = f"{HUB_SCHEME}datasets/{address.repo}@{sha}"
        ranges: list[RecordRange] = []
        n_rows = 0
        for name in names:
            found, n_rows = _cut(f"{root}/{name}", n_rows, last=name == names[-1])
            ranges += found
        columns = read_columns(f"{root}/{names[0]}", ranges[0] if ranges else None)
    return Place(
        dataset=address.repo,
        label=address.repo,
        revision=sha,
        licence=read_licence(info),
        columns=columns,
        ranges=tuple(ranges),
        r1_derived=read_r1_derived(info),
    )


def _list_files(address: HubAddress, sha: str) -> list[str]:
    """Return the readable files that the address names, in name order."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    def list_tree() -> list[str]:
        tree = HfApi().list_repo_tree(
            address.repo, repo_type="dataset", revision=sha, recursive=True
        )
        return [item.path for item in tree if isinstance(item, RepoFile)]

    everything = sorted(ask_hub(list_tree))
    pattern = _compile(address.path)
    named = [name for name in everything if pattern.fullmatch(name)]
    readable = [name for name in named if find_kind(name) and not _is_hidden(name)]
    if not readable:
        near = difflib.get_close_matches(address.path, everything, n=3, cutoff=0.3)
        there = ", ".join(near or everything[:3]) or "nothing"
        what = "no file that can be read" if named else "nothing"
        raise SourceError(
            f"{address.repo} has {what} at {address.path!r} (commit {sha[:12]}); it has {there}"
        )
    return readable


def _compile(path: str) -> re.Pattern[str]:
    """Return what matches a file, all below a folder, or a pattern."""
    if not re.search(r"[*?]", path):
        return re.compile(f"{re.escape(path)}(?:/.*)?" if path else ".*", re.DOTALL)
    spelled = re.escape(path).replace(r"\*\*/", "(?:.*/)?")
    spelled = spelled.replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return re.compile(spelled, re.DOTALL)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__")) for part in name.split("/"))


def _cut(place: str, first_row: int, *, last: bool) -> tuple[list[RecordRange], int]:
    """Return the ranges of one file and the number of the row behind it."""
    kind = find_kind(place)
    if kind == "parquet":
        import pyarrow.parquet as pq

        with open_bytes(place) as file:
            footer: Any = pq.read_metadata(file)
        return cut_groups(footer, place, first_row), first_row + footer.num_rows
    records = RecordRange("jsonl" if kind == "jsonl" else "json", place, first_row)
    if last:
        return [records], first_row
    return [records], max((row for row, _ in stream_records(records)), default=first_row - 1) + 1
