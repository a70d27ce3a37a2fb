"""Load a published dataset the way its users will, and say what came back.

``datasets`` reads the Hub's address and its cache when it is imported, so the loading happens in a
process of its own (``python -m butwait.pipelines.readback``): a question as JSON on standard
input, the answer as JSON on standard output. A fresh cache makes sure that the Hub is asked.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from butwait.pipelines.hub.calls import limit_client_time
from butwait.schemas.errors import HubError
from butwait.schemas.record import Record

BATCH_ROWS = 1000
LEAST_TIMEOUT_S = 600.0
SLOWEST_BYTES_A_S = 250_000
CACHE_VARIABLES = (
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "HF_ASSETS_CACHE",
    "HF_TOKEN_PATH",
    "HUGGING_FACE_HUB_TOKEN",
)


class Content(Record):
    """What one split of one configuration holds."""

    n_rows: int
    sha256: str
    """Over the canonical JSON of each row, in order."""
    features: str
    """Columns and types, as JSON."""


Contents = Mapping[str, Mapping[str, Content]]
"""By configuration, then by split."""


def hash_rows(batches: Iterable[Sequence[Mapping[str, Any]]]) -> tuple[int, str]:
    """Return how many rows there are and a SHA-256 over them in order."""
    n_rows, digest = 0, hashlib.sha256()
    for batch in batches:
        for row in batch:
            text = json.dumps(row, sort_keys=True, separators=(",", ":"), default=str)
            digest.update(text.encode() + b"\n")
            n_rows += 1
    return n_rows, digest.hexdigest()


def describe_shards(paths: Sequence[Path]) -> Content:
    """Return what local parquet files hold, read as one split."""
    import pyarrow.parquet as pq
    from datasets import Features

    def read() -> Iterator[list[dict[str, Any]]]:
        for path in paths:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=BATCH_ROWS):
                    yield batch.to_pylist()

    n_rows, sha256 = hash_rows(read())
    features = Features.from_arrow_schema(pq.read_schema(paths[0]))
    return Content(n_rows=n_rows, sha256=sha256, features=_spell_features(features))


def load_contents(
    repo_id: str,
    revision: str,
    splits: Mapping[str, Sequence[str]],
    *,
    endpoint: str,
    token: str,
    n_bytes: int,
) -> dict[str, dict[str, Content]]:
    """Load a dataset from the Hub in a fresh process with a fresh cache.

    Args:
        repo_id: Dataset on the Hub.
        revision: Commit to load.
        splits: Splits of each configuration.
        endpoint: Address of the Hub.
        token: Goes to the process in its environment, never on its command line.
        n_bytes: Size of the dataset, from which the time limit follows.

    Raises:
        HubError: If it cannot be loaded; the message is the loader's last line.
    """
    question = json.dumps({"repo_id": repo_id, "revision": revision, "splits": splits})
    timeout_s = LEAST_TIMEOUT_S + n_bytes / SLOWEST_BYTES_A_S
    with tempfile.TemporaryDirectory(prefix="butwait-readback-") as home:
        env = _make_environment(endpoint, token, home)
        done = _run_loader(question, env, Path(home), timeout_s)
    if done.returncode:
        reason = _find_reason(done.stderr) or f"the loader ended with {done.returncode}"
        raise HubError(reason.replace(token, "***"))
    answer = json.loads(done.stdout.splitlines()[-1])
    return {
        config: {split: Content.model_validate(content) for split, content in by_split.items()}
        for config, by_split in answer.items()
    }


def find_difference(expected: Contents, loaded: Contents) -> str | None:
    """Return the first difference in words, or None if both hold the same."""
    for config, by_split in expected.items():
        for split, want in by_split.items():
            got = loaded.get(config, {}).get(split)
            if got is None:
                return f"{config}/{split} is missing"
            if got.n_rows != want.n_rows:
                return f"{config}/{split} has {got.n_rows} rows instead of {want.n_rows}"
            if got.features != want.features:
                return f"{config}/{split} has other columns: {got.features[:200]}"
            if got.sha256 != want.sha256:
                return (
                    f"{config}/{split} has other rows "
                    f"(sha256 {got.sha256[:12]} instead of {want.sha256[:12]})"
                )
    return None


def _run_loader(
    question: str, env: dict[str, str], home: Path, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    # `load_dataset` prefers a folder of that name in the working directory to the Hub.
    elsewhere = home / "empty"
    elsewhere.mkdir()
    try:
        return subprocess.run(
            [sys.executable, "-P", "-m", "butwait.pipelines.readback"],
            input=question,
            env=env,
            cwd=elsewhere,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HubError(f"no answer within {timeout_s:.0f} s") from error


def _find_reason(stderr: str) -> str:
    """Return the last error of a traceback and, if it is another, the first that led to it."""
    errors: list[str] = re.findall(r"^[A-Za-z_][\w.]*: .+", stderr, re.MULTILINE)
    if not errors:
        return " ".join(stderr.split())[-300:]
    first, last = errors[0][:300], errors[-1][:300]
    return last if first == last else f"{last} (because of {first})"


def _make_environment(endpoint: str, token: str, home: str) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name not in CACHE_VARIABLES}
    return {
        **env,
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": token,
        "HF_HOME": home,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }


def _spell_features(features: Any) -> str:
    return json.dumps(features.to_dict(), sort_keys=True)


def _describe_split(repo_id: str, config: str, split: str, revision: str) -> Content:
    from datasets import load_dataset

    rows = load_dataset(repo_id, config, split=split, revision=revision)
    batches = rows.with_format("arrow").iter(batch_size=BATCH_ROWS)
    n_rows, sha256 = hash_rows(table.to_pylist() for table in batches)
    return Content(n_rows=n_rows, sha256=sha256, features=_spell_features(rows.features))


def main() -> None:
    """Answer the question on standard input."""
    question = json.loads(sys.stdin.read())
    limit_client_time()
    answer = {
        config: {
            split: _describe_split(
                question["repo_id"], config, split, question["revision"]
            ).model_dump()
            for split in splits
        }
        for config, splits in question["splits"].items()
    }
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


if __name__ == "__main__":
    main()
