"""Bring a repository up to a publication, commit by commit, and give a commit a name.

Before each commit the repository is looked at again: so an interrupted push is continued, a
commit whose answer was lost is found, and what another publisher did in between is seen. Every
commit is bound to the head that was looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from butwait.pipelines.hub.calls import HubLine, call_hub, find_status
from butwait.pipelines.hub.plan import MANY_FILES, Step, is_from_butwait, look, next_step
from butwait.pipelines.publication import Publication
from butwait.schemas.errors import ConfigError, HubError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
ROUNDS_A_BATCH = 5
"""Other publishers may undo a batch; so often it is sent again."""


@dataclass(frozen=True)
class Sent:
    """What a push changed, and the commit that it ended with."""

    head: str
    adds: frozenset[str]
    deletes: frozenset[str]


def check_owner(
    line: HubLine, api: HfApi, repo_id: str, publication: Publication, replace: bool
) -> None:
    """Raise if the repository holds what was not made here, unless it may be replaced.

    Raises:
        HubError: Naming the repository and the way out.
    """
    kind = publication.repo_type
    remote = call_hub(line, f"read {repo_id}", lambda: look(api, repo_id, kind))
    if is_from_butwait(remote):
        return
    if not replace:
        raise HubError(
            f"{repo_id} exists and was not made by butwait (its card has no tag 'butwait'); push "
            "to another name, or put this card in place of its own with --replace (files that "
            "butwait did not make stay)"
        )
    line.tell(f"{repo_id} was not made by butwait; its card is replaced, its other files stay")


def bring_up(
    line: HubLine, api: HfApi, repo_id: str, publication: Publication, message: str
) -> Sent:
    """Bring the repository up to the publication; return what was changed and the new head.

    Raises:
        HubError: The Hub refuses, or another publisher changes the same files again and again.
    """
    tried: list[Step] = []
    n_rounds = ROUNDS_A_BATCH * (2 + len(publication.files) // MANY_FILES)
    for _ in range(n_rounds):
        step = call_hub(
            line,
            f"commit to {repo_id}",
            lambda: _send_next(line, api, repo_id, publication, message, tried),
        )
        if step.is_last:
            adds = {path for one in tried for path in one.adds}
            deletes = {path for one in tried for path in one.deletes}
            if tried:
                line.tell(f"committed {step.head}")
            else:
                line.tell(f"{repo_id} is up to date at {step.head}: nothing to commit")
            return Sent(step.head, frozenset(adds), frozenset(deletes))
    raise HubError(
        f"{repo_id} is changed by another publisher all the time; push again when that one is done"
    )


def _send_next(
    line: HubLine,
    api: HfApi,
    repo_id: str,
    publication: Publication,
    message: str,
    tried: list[Step],
) -> Step:
    """Look, make the next commit if one is needed, and return it with its hash as ``head``."""
    step = next_step(look(api, repo_id, publication.repo_type), publication)
    if not step.adds and not step.deletes:
        # Nothing left to do: either never was, or the answer to the last attempt was lost.
        return step
    if step not in tried:
        tried.append(step)
    of_all = f" of {len(publication.files)}" if step.is_shards else ""
    line.tell(f"sending {len(step.adds)}{of_all} files, deleting {len(step.deletes)}")
    title = f"{message} (shards, not yet named by the card)" if step.is_shards else message
    head = _commit(api, repo_id, publication.repo_type, step, title)
    return Step(head, step.adds, step.deletes, step.is_last, step.is_shards)


def _commit(api: HfApi, repo_id: str, repo_type: str, step: Step, message: str) -> str:
    """Make one commit; return its hash."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[Any] = [
        CommitOperationAdd(path_in_repo=path, path_or_fileobj=file.source)
        for path, file in step.adds.items()
    ]
    operations += [CommitOperationDelete(path_in_repo=path) for path in step.deletes]
    info = api.create_commit(
        repo_id,
        operations,
        commit_message=message,
        repo_type=repo_type,
        parent_commit=step.head,
    )
    return str(info.oid)


def check_tag(tag: str | None) -> None:
    """Raise unless a tag can be one.

    Raises:
        ConfigError: Naming the value.
    """
    if tag is not None and (not TAG.fullmatch(tag) or tag in ("main", "HEAD") or ".." in tag):
        raise ConfigError(f"{tag!r} cannot be a tag: use letters, digits, '.', '_', '-', e.g. v1")


def find_tag(line: HubLine, api: HfApi, repo_id: str, repo_type: str, tag: str) -> str | None:
    """Return the commit that a tag names, or None where there is no such tag."""
    refs = call_hub(
        line,
        f"read the tags of {repo_id}",
        lambda: api.list_repo_refs(repo_id, repo_type=repo_type),
    )
    return next((str(ref.target_commit) for ref in refs.tags if ref.name == tag), None)


def guard_tag(
    line: HubLine, api: HfApi, repo_id: str, publication: Publication, tag: str, move: bool
) -> None:
    """Raise, before anything is sent, if a tag names another commit than this push will end with.

    Raises:
        HubError: Naming the tag, its commit and the way out.
    """
    named = find_tag(line, api, repo_id, publication.repo_type, tag)
    if named is None or move:
        return
    remote = call_hub(line, f"read {repo_id}", lambda: look(api, repo_id, publication.repo_type))
    step = next_step(remote, publication)
    if step.adds or step.deletes or named != remote.head:
        raise HubError(_refuse_tag(repo_id, tag, named))


def _refuse_tag(repo_id: str, tag: str, named: str) -> str:
    return (
        f"{repo_id} has a tag {tag!r} at {named[:12]} already; name another, or move it with "
        "--move-tag"
    )


def set_tag(
    line: HubLine, api: HfApi, repo_id: str, repo_type: str, tag: str, commit: str, move: bool
) -> None:
    """Let a tag name a commit. The Hub cannot move one: it is deleted and made again.

    Raises:
        HubError: The tag names another commit, or the Hub refuses.
    """
    from huggingface_hub.utils import HfHubHTTPError

    def change() -> None:
        named = find_tag(line, api, repo_id, repo_type, tag)
        if named == commit:
            return
        if named is not None:
            if not move:
                raise HubError(_refuse_tag(repo_id, tag, named))
            api.delete_tag(repo_id, tag=tag, repo_type=repo_type)
        try:
            api.create_tag(repo_id, tag=tag, revision=commit, repo_type=repo_type)
        except HfHubHTTPError as error:
            # The answer to an earlier attempt may have been lost.
            if find_status(error) != 409 or find_tag(line, api, repo_id, repo_type, tag) != commit:
                raise

    call_hub(line, f"tag {repo_id} as {tag}", change)
    line.tell(f"tagged {tag} at {commit[:12]}")
