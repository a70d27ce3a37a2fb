"""Publish the final model of a training run: one commit, compared by content afterwards.

The folder is what transformers and vLLM load, its card included. Checkpoints stay here.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from butwait.pipelines.hub.access import check_names, connect_hub, find_endpoint
from butwait.pipelines.hub.calls import HubLine, call_hub
from butwait.pipelines.hub.plan import look, next_step
from butwait.pipelines.hub.send import check_tag
from butwait.pipelines.publication import LocalFile, Publication
from butwait.pipelines.publish import PushOptions, PushResult, publish
from butwait.schemas.errors import ConfigError, HubError

SNIPPETS = ('pipeline("text-generation", "{}")', "vllm serve {} ")
"""Where the repository's name stands in a model's card."""


def is_training_run(run: Path) -> bool:
    """Whether a folder is a training run's: it has checkpoints or a final model."""
    return (run / "final").is_dir() or (run / "checkpoints").is_dir()


def push_model(
    run: Path,
    repo_id: str,
    options: PushOptions | None = None,
    *,
    token: str | None,
    endpoint: str | None = None,
    progress: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> PushResult:
    """Publish ``final/`` of a training run as a model; arguments as of ``push_run``.

    Raises:
        ConfigError: No token, a malformed ``repo_id`` or tag, or a run that is not finished.
        HubError: The Hub refuses, or holds something else afterwards.
    """
    good_token = check_names(repo_id, token)
    check_tag((options or PushOptions()).tag)
    publication = read_model(run, repo_id)
    line = HubLine(find_endpoint(endpoint), good_token, progress, sleep)
    return publish(line, repo_id, publication, options or PushOptions(), run.name, _compare)


def _compare(line: HubLine, repo_id: str, revision: str, publication: Publication) -> None:
    """Compare what the Hub holds by content, without loading the weights back."""
    api = connect_hub(line)
    remote = call_hub(line, f"read {repo_id} back", lambda: look(api, repo_id, "model"))
    left = next_step(remote, publication)
    if left.adds or left.deletes:
        wrong = [*left.adds, *left.deletes][0]
        raise HubError(f"{repo_id} at {revision} is not what was sent: {wrong} differs; push again")


def read_model(run: Path, repo_id: str) -> Publication:
    """Read what a training run publishes; the card gets the repository's name.

    Raises:
        ConfigError: The run is not finished, or its folder was changed.
    """
    final = run / "final"
    try:
        status = json.loads((run / "manifest.json").read_text("utf-8")).get("status")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{run} is not a training run: manifest.json: {error}") from error
    if status != "finished" or not (final / "config.json").is_file():
        raise ConfigError(f"{run} is not finished: run its `butwait train` command to the end")
    files = {
        path.relative_to(final).as_posix(): LocalFile(path, path.stat().st_size, _hash(path))
        for path in sorted(final.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    card = final / "README.md"
    if card.is_file():
        text = card.read_text("utf-8", errors="replace")
        for snippet in SNIPPETS:
            text = text.replace(snippet.format("OWNER/NAME"), snippet.format(repo_id))
        files["README.md"] = LocalFile.of(text.encode())
    return Publication((), files, "model")


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()
