"""Publish a run: one atomic commit, then proof that it loads back equal.

A second push of the same run changes nothing; an interrupted one is continued; a commit whose
answer was lost is found by comparing again. Leaves out building the run and writing its card.
One publisher a repository is assumed, others are noticed and waited for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from butwait.pipelines.hub_calls import HubLine, call_hub, find_status
from butwait.pipelines.publication import LocalFile, Publication, read_publication
from butwait.pipelines.readback import (
    describe_shards,
    find_difference,
    limit_client_time,
    load_contents,
)
from butwait.schemas.errors import ConfigError, HubError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Progress = Callable[[str], None]

OURS = {
    "dataset": re.compile(r"data/[^/]+/[a-z][a-z0-9_]*-\d{5}-of-\d{5}\.parquet"),
    "model": re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?|adapter/.+"),
}
"""Files that a push may delete; whatever else is in the repository stays."""
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
MANY_FILES = 100
N_READBACKS = 3


@dataclass(frozen=True)
class PushResult:
    """What a push did."""

    repo_id: str
    revision: str
    """Commit that was read back and found equal."""
    url: str
    files_sent: int
    files_deleted: int
    n_rows: int
    private: bool


@dataclass(frozen=True)
class Change:
    """The difference between a publication and one commit on the Hub."""

    head: str
    adds: tuple[str, ...]
    deletes: tuple[str, ...]


def push_run(
    run: Path,
    repo_id: str,
    *,
    public: bool = False,
    token: str | None,
    endpoint: str | None = None,
    commit_message: str | None = None,
    progress: Progress,
    sleep: Callable[[float], None] = time.sleep,
) -> PushResult:
    """Publish a whole run as a dataset, in one commit, and load it back.

    Args:
        run: Folder of a finished build.
        repo_id: ``owner/name``; made, private, if it does not exist.
        public: Make the dataset public: a new one at once, a private one after it loaded equal.
            Without it a new dataset is private and an existing one stays as it is.
        token: Token with write permission.
        endpoint: Address of the Hub; default is the client library's (``HF_ENDPOINT``).
        commit_message: Default names the run.
        progress, sleep: Called with a line to show, and with seconds between attempts.

    Raises:
        ConfigError: No token, a malformed ``repo_id``, or a run that is not whole.
        HubError: The Hub refuses, or what it gives back is not what was sent.
    """
    good_token = check_names(repo_id, token)
    publication = read_publication(run, repo_id)
    line = HubLine(find_endpoint(endpoint), good_token, progress, sleep)
    limit_client_time()
    api = connect_hub(line)
    check_identity(line, api, repo_id)
    was_private = prepare_repo(line, api, repo_id, public)
    message = commit_message or f"Publish {run.name} with butwait"
    change = commit(line, api, repo_id, publication, message)
    _verify(line, repo_id, change.head, publication)
    if public and was_private:
        call_hub(line, f"make {repo_id} public", publicise(api, repo_id))
    return _sum_up(line, repo_id, change, publication, private=was_private and not public)


def _sum_up(
    line: HubLine, repo_id: str, change: Change, publication: Publication, *, private: bool
) -> PushResult:
    return PushResult(
        repo_id=repo_id,
        revision=change.head,
        url=f"{line.endpoint}/datasets/{repo_id}/tree/{change.head}",
        files_sent=len(change.adds),
        files_deleted=len(change.deletes),
        n_rows=sum(config.n_rows for config in publication.configs),
        private=private,
    )


def check_names(repo_id: str, token: str | None) -> str:
    """Return the token; raise unless there is one and the repository's name is one.

    Raises:
        ConfigError: Naming the value and the way out.
    """
    if not REPO_ID.fullmatch(repo_id) or "--" in repo_id or ".." in repo_id:
        raise ConfigError(
            f"{repo_id!r} is not a repository's name: give OWNER/NAME of letters, digits, '-', "
            "'_', '.', e.g. alice/numbers"
        )
    if token is None or not token.strip():
        raise ConfigError(
            "no Hub token: set HF_TOKEN to a token with write permission, or run `hf auth login`"
        )
    return token.strip()


def find_endpoint(endpoint: str | None) -> str:
    """Return the address of the Hub, the client library's where none is given."""
    from huggingface_hub import constants

    return (endpoint or str(constants.ENDPOINT)).rstrip("/")


def connect_hub(line: HubLine) -> HfApi:
    """Return a client of the Hub."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=line.endpoint, token=line.token, library_name="butwait")


def check_identity(line: HubLine, api: HfApi, repo_id: str) -> None:
    """Raise unless the token's owner may write to the repository's namespace.

    Raises:
        HubError: Naming the owner, the namespace and the way out.
    """
    who = call_hub(line, "log in with the given token", api.whoami)
    name, owner = str(who.get("name")), repo_id.split("/")[0]
    spaces = [name, *(str(org.get("name")) for org in who.get("orgs") or ())]
    if owner not in spaces:
        raise HubError(
            f"{repo_id} belongs to {owner!r}, but the token writes to "
            f"{', '.join(map(repr, spaces))}; name a repository there"
        )
    role = ((who.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise HubError(
            f"the token of {name!r} may only read; make one with write permission at "
            f"{line.endpoint}/settings/tokens"
        )


def prepare_repo(
    line: HubLine, api: HfApi, repo_id: str, public: bool, repo_type: str = "dataset"
) -> bool:
    """Make the repository if there is none; return whether it is private."""
    from huggingface_hub.errors import RepositoryNotFoundError

    def look() -> bool | None:
        try:
            return bool(api.repo_info(repo_id, repo_type=repo_type).private)
        except RepositoryNotFoundError as error:
            if find_status(error) == 404:
                return None
            raise

    private = call_hub(line, f"read {repo_id}", look)
    if private is None:
        private = not public
        line.tell(f"making {'private' if private else 'public'} {repo_type} {repo_id}")

        def make() -> None:
            api.create_repo(repo_id, repo_type=repo_type, private=not public, exist_ok=True)

        call_hub(line, f"make {repo_id}", make)
    elif not private and not public:
        line.tell(f"{repo_id} is public already and stays so")
    return private


def publicise(api: HfApi, repo_id: str, repo_type: str = "dataset") -> Callable[[], None]:
    """Return the call that makes a repository public."""

    def change() -> None:
        api.update_repo_settings(repo_id, repo_type=repo_type, private=False)

    return change


def compare(api: HfApi, repo_id: str, publication: Publication) -> Change:
    """Return what a commit on top of the present head has to change, by content."""
    from huggingface_hub.hf_api import RepoFile

    kind = publication.repo_type
    head = str(api.repo_info(repo_id, repo_type=kind, revision="main").sha)
    tree = api.list_repo_tree(repo_id, repo_type=kind, revision=head, recursive=True)
    remote = {item.path: item for item in tree if isinstance(item, RepoFile)}

    def differs(path: str, file: LocalFile) -> bool:
        there = remote.get(path)
        if there is None or there.size != file.size:
            return True
        if there.lfs is not None:
            return bool(there.lfs.sha256 != file.sha256)
        return bool(there.blob_id != file.git_oid)

    adds = tuple(path for path, file in sorted(publication.files.items()) if differs(path, file))
    ours = OURS[kind]
    stale = (p for p in remote if ours.fullmatch(p) and p not in publication.files)
    return Change(head, adds, tuple(sorted(stale)))


def commit(
    line: HubLine, api: HfApi, repo_id: str, publication: Publication, message: str
) -> Change:
    """Bring the repository up to the publication; return what was changed and the new head."""
    tried: list[Change] = []

    def attempt() -> Change:
        change = compare(api, repo_id, publication)
        if not change.adds and not change.deletes:
            # Nothing left to do: either never was, or the answer to the last attempt was lost.
            last = tried[-1] if tried else change
            return Change(change.head, last.adds, last.deletes)
        tried.append(change)
        line.tell(f"sending {len(change.adds)} files, deleting {len(change.deletes)}")
        if len(change.adds) > MANY_FILES:
            line.tell(f"the Hub advises at most {MANY_FILES} files a commit; this may be slow")
        return Change(
            _send(api, repo_id, publication, change, message), change.adds, change.deletes
        )

    change = call_hub(line, f"commit to {repo_id}", attempt)
    if tried:
        line.tell(f"committed {change.head}")
    else:
        line.tell(f"{repo_id} is up to date at {change.head}: nothing to commit")
    return change


def _send(api: HfApi, repo_id: str, publication: Publication, change: Change, message: str) -> str:
    """Make one commit on top of the head that was compared with; return its hash."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[Any] = [
        CommitOperationAdd(path_in_repo=path, path_or_fileobj=publication.files[path].source)
        for path in change.adds
    ]
    operations += [CommitOperationDelete(path_in_repo=path) for path in change.deletes]
    info = api.create_commit(
        repo_id,
        operations,
        commit_message=message,
        repo_type=publication.repo_type,
        parent_commit=change.head,
    )
    return str(info.oid)


def _verify(line: HubLine, repo_id: str, revision: str, publication: Publication) -> None:
    """Load the commit from the Hub and compare it with the local shards, row by row."""
    expected = {
        config.name: {
            split: describe_shards([shard.path for shard in shards])
            for split, shards in config.splits.items()
        }
        for config in publication.configs
    }
    line.tell(f"loading {repo_id} back at {revision[:12]}")
    for attempt in range(1, N_READBACKS + 1):
        try:
            loaded = load_contents(
                repo_id,
                revision,
                {config: list(splits) for config, splits in expected.items()},
                endpoint=line.endpoint,
                token=line.token,
                n_bytes=publication.n_bytes,
            )
            break
        except HubError as error:
            if attempt == N_READBACKS:
                raise HubError(
                    f"{repo_id} was committed as {revision} but does not load back: {error}; "
                    "push again to repeat the check"
                ) from error
            line.tell(f"loading back failed ({error}); trying again")
            line.sleep(2.0**attempt)
    difference = find_difference(expected, loaded)
    if difference is not None:
        raise HubError(
            f"{repo_id} at {revision} is not what was sent: {difference}; do not use this "
            "revision, and push again to repeat the check"
        )
    n_rows = sum(content.n_rows for splits in loaded.values() for content in splits.values())
    line.tell(f"loaded back equal: {n_rows} rows in {len(loaded)} configurations")
