"""Datasets on the Hub: pinned to a commit, streamed, and refused in one line."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub.fixture import ClientRunner
from hub.server import HubServer

from butwait.pipelines.sources import hub as hub_source
from butwait.pipelines.sources.place import RecordRange
from butwait.schemas.errors import SourceError

FIXTURES = Path(__file__).parent / "fixtures" / "sources"
Api = Callable[..., Any]

READ = """
    import json
    from pathlib import Path
    from butwait.pipelines.sources import plan_pieces, read_piece, resolve_source
    from butwait.schemas.errors import SourceError
    from butwait.schemas.recipe_source import SourceSpec

    def read(spec, limit=None):
        try:
            spec = SourceSpec(**spec)
        except ValueError as error:
            return {{"error": str(error)}}
        try:
            source = resolve_source(spec, Path("."), limit)
        except SourceError as error:
            return {{"error": str(error)}}
        pieces = plan_pieces(source)
        rows = [row.model_dump() for piece in pieces for row in read_piece(piece)]
        return {{"rows": rows, "n_pieces": len(pieces), "revision": source.revision,
                 "licence": source.licence, "layout": source.layout.name}}

    print(json.dumps([read(*arguments) for arguments in {asked!r}]))
"""


def ask(run_client: ClientRunner, *asked: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Read several (spec, limit) in one fresh process that sees only the test Hub."""
    done = run_client(READ.format(asked=asked))
    results: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return results


def upload(api: Any, repo: str, files: dict[str, bytes]) -> str:
    from huggingface_hub import CommitOperationAdd

    api.create_repo(repo, repo_type="dataset", exist_ok=True)
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    done = api.create_commit(repo, operations, commit_message="rows", repo_type="dataset")
    return str(done.oid)


def parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def numina(start: int, n: int) -> list[dict[str, Any]]:
    return [
        {
            "source": "olympiads",
            "problem": f"What is {i} plus 1?",
            "solution": f"It is $\\boxed{{{i + 1}}}$.",
            "messages": [{"content": "x", "role": "user"}],
        }
        for i in range(start, start + n)
    ]


CARD = b"""---
license: apache-2.0
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
---
"""


def test_shards_on_the_hub_stream_with_running_row_numbers_from_a_pinned_commit(
    hub: HubServer, hub_api: Api, run_client: ClientRunner
) -> None:
    files = {
        "README.md": CARD,
        "data/train-00000-of-00002.parquet": parquet(numina(0, 5)),
        "data/train-00001-of-00002.parquet": parquet(numina(5, 4)),
        "data/test-00000-of-00001.parquet": parquet(numina(90, 2)),
    }
    sha = upload(hub_api(), "alice/numina", files)
    upload(hub_api(), "alice/numina", {"data/train-00001-of-00002.parquet": parquet(numina(0, 1))})
    pinned = {"hub": "alice/numina", "revision": sha}
    found, newest, first, test = ask(
        run_client,
        (pinned,),
        ({"hub": "alice/numina"},),
        (pinned, 6),
        ({**pinned, "split": "test"},),
    )
    assert found["revision"] == sha
    assert found["layout"] == "numina_cot" and found["licence"] == "apache-2.0"
    assert found["n_pieces"] == 2
    assert [(row["row"], row["gold"]) for row in found["rows"]] == [
        (i, str(i + 1)) for i in range(9)
    ]
    assert {(row["dataset"], row["revision"]) for row in found["rows"]} == {("alice/numina", sha)}
    assert newest["revision"] != sha and len(newest["rows"]) == 6
    assert [row["row"] for row in first["rows"]] == [0, 1, 2, 3, 4, 5]
    assert len(test["rows"]) == 2


def test_a_bare_jsonl_on_the_hub_streams_too(
    hub: HubServer, hub_api: Api, run_client: ClientRunner
) -> None:
    sha = upload(hub_api(), "alice/limo", {"limo.jsonl": (FIXTURES / "limo.jsonl").read_bytes()})
    [found] = ask(run_client, ({"hub": "alice/limo"},))
    assert (found["revision"], found["layout"], found["licence"]) == (sha, "limo", "unknown")
    assert [row.get("reason", "question") for row in found["rows"]] == [
        "question",
        "answer_conflicts_with_solution",
        "question",
    ]
    assert [row["row"] for row in found["rows"]] == [0, 1, 2]


def test_what_is_not_on_the_hub_isone_line_to_the_user(
    hub: HubServer, hub_api: Api, run_client: ClientRunner
) -> None:
    upload(hub_api(), "alice/limo", {"limo.jsonl": (FIXTURES / "limo.jsonl").read_bytes()})
    limo = {"hub": "alice/limo"}
    gone, revision, split, column = ask(
        run_client,
        ({"hub": "alice/gone"},),
        ({**limo, "revision": "v9"},),
        ({**limo, "split": "tset"},),
        ({**limo, "columns": {"problem": "questoin"}},),
    )
    assert "alice/gone is not a dataset on the Hub" in gone["error"]
    assert revision["error"] == "alice/limo has no revision 'v9'"
    assert split["error"] == "alice/limo has no split 'tset'; its splits are train"
    assert "did you mean 'question'" in column["error"]


def test_a_hub_that_cannot_be_reached_isone_line_to_the_user(run_client: ClientRunner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nowhere = f"http://127.0.0.1:{listener.getsockname()[1]}"
    elsewhere = f"import os; os.environ['HF_ENDPOINT'] = {nowhere!r}\n"
    asked = ({"hub": "alice/limo"},), ({"hub": "alice/limo", "revision": "a" * 40},)
    done = run_client(elsewhere + dedent(READ.format(asked=asked)))
    newest, pinned = (result["error"] for result in json.loads(done.stdout.splitlines()[-1]))
    assert newest.startswith("alice/limo cannot be read from the Hub: ")
    assert pinned.startswith(f"alice/limo at {'a' * 40} cannot be read from the Hub: ")
    assert "refused" in newest and "\n" not in newest + pinned


@pytest.mark.parametrize(("said", "shown"), [("no bytes\nfor 10 s", "no bytes for 10 s"), ("", "")])
def test_a_hub_that_falls_silent_in_mid_stream_isone_line_too(
    monkeypatch: pytest.MonkeyPatch, said: str, shown: str
) -> None:
    from huggingface_hub.utils import httpx

    def stream(records: RecordRange, columns: object) -> Iterator[dict[str, str]]:
        yield {"question": "1 + 1?"}
        raise httpx.ReadTimeout(said)

    monkeypatch.setattr(hub_source, "_open_stream", stream)
    rows = hub_source.stream_hub(RecordRange("hub", "alice/limo", 7, revision="abc"), None)
    assert next(rows) == (7, {"question": "1 + 1?"})
    with pytest.raises(SourceError) as caught:
        next(rows)
    reason = shown or "ReadTimeout"
    assert str(caught.value) == f"alice/limo at abc cannot be read from the Hub: {reason}"
