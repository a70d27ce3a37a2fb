"""Publish a run: one atomic commit or one atomic change of card, then proof that it loads back.

A second push of the same run changes nothing; an interrupted one is continued; a commit whose
answer was lost is found by comparing again. Leaves out building the run and writing its card.
Of two publishers at once the later one wins as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from butwait.pipelines.hub.access import (
    check_identity,
    check_names,
    connect_hub,
    find_endpoint,
    prepare_repo,
    publicise,
)
from butwait.pipelines.hub.calls import CLIENT_TIMEOUT_S, HubLine, call_hub, limit_client_time
from butwait.pipelines.hub.send import Sent, bring_up, check_owner, check_tag, guard_tag, set_tag
from butwait.pipelines.publication import Publication, read_publication
from butwait.pipelines.readback import (
    describe_shards,
    find_difference,
    load_contents,
)
from butwait.schemas.errors import HubError

Progress = Callable[[str], None]

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
class PushOptions:
    """What a push may do, besides making a private repository and changing what it made."""

    public: bool = False
    """Make the repository public: a new one at once, a private one after it loaded equal.
    Without it a new repository is private and an existing one stays as it is."""
    tag: str | None = None
    """Name for the commit, e.g. ``v1``."""
    move_tag: bool = False
    """Whether the tag may leave another commit."""
    replace: bool = False
    """Whether the card of a repository that butwait did not make may be replaced."""
    message: str | None = None
    """Commit message; default names the run."""
    timeout_s: float = CLIENT_TIMEOUT_S
    """Longest silence of the Hub."""


def push_run(
    run: Path,
    repo_id: str,
    options: PushOptions | None = None,
    *,
    token: str | None,
    endpoint: str | None = None,
    progress: Progress,
    sleep: Callable[[float], None] = time.sleep,
) -> PushResult:
    """Publish a whole run as a dataset, all of it or nothing to a reader, and load it back.

    Args:
        run: Folder of a finished build.
        repo_id: ``owner/name``; made, private, if it does not exist.
        options: What the push may do.
        token: Token with write permission.
        endpoint: Address of the Hub; default is the client library's (``HF_ENDPOINT``).
        progress, sleep: Called with a line to show, and with seconds between attempts.

    Raises:
        ConfigError: No token, a malformed ``repo_id`` or tag, or a run that is not whole.
        HubError: The Hub refuses, or what it gives back is not what was sent.
    """
    good_token = check_names(repo_id, token)
    check_tag((options or PushOptions()).tag)
    publication = read_publication(run, repo_id)
    line = HubLine(find_endpoint(endpoint), good_token, progress, sleep)
    return publish(line, repo_id, publication, options or PushOptions(), run.name, _verify)


def publish(
    line: HubLine,
    repo_id: str,
    publication: Publication,
    options: PushOptions,
    name: str,
    verify: Callable[[HubLine, str, str, Publication], None],
) -> PushResult:
    """Send a publication, check it, and only then make it public and tag it.

    Args:
        line: The Hub.
        repo_id: ``owner/name``.
        publication: A dataset or a model.
        options: What the push may do.
        name: The run's, for the commit message.
        verify: Raises if the commit is not what was sent.

    Raises:
        HubError: The Hub refuses, or what it gives back is not what was sent.
    """
    kind = publication.repo_type
    limit_client_time(options.timeout_s)
    api = connect_hub(line)
    check_identity(line, api, repo_id)
    was_private = prepare_repo(line, api, repo_id, options.public, kind)
    check_owner(line, api, repo_id, publication, options.replace)
    if options.tag is not None:
        guard_tag(line, api, repo_id, publication, options.tag, options.move_tag)
    message = options.message or f"Publish {name} with butwait"
    sent = bring_up(line, api, repo_id, publication, message)
    verify(line, repo_id, sent.head, publication)
    if options.public and was_private:
        call_hub(line, f"make {repo_id} public", publicise(api, repo_id, kind))
    if options.tag is not None:
        set_tag(line, api, repo_id, kind, options.tag, sent.head, options.move_tag)
    return _sum_up(line, repo_id, sent, publication, private=was_private and not options.public)


def _sum_up(
    line: HubLine, repo_id: str, sent: Sent, publication: Publication, *, private: bool
) -> PushResult:
    place = f"datasets/{repo_id}" if publication.repo_type == "dataset" else repo_id
    return PushResult(
        repo_id=repo_id,
        revision=sent.head,
        url=f"{line.endpoint}/{place}/tree/{sent.head}",
        files_sent=len(sent.adds),
        files_deleted=len(sent.deletes),
        n_rows=sum(config.n_rows for config in publication.configs),
        private=private,
    )


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
