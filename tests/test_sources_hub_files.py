"""Files on the Hub by ``hf://`` address, published rows as a source, and what the Hub refuses."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from hub.fixture import ClientRunner
from hub.server import HubServer
from hub.state import ALICE_WRITE
from test_sources_hub import READ, ask, numina, parquet, upload

from butwait.pipelines.sources.hub_files import read_address
from butwait.pipelines.sources.local import find_local
from butwait.schemas.errors import SourceError

Api = Callable[..., Any]
REPO = "alice/numina"
ROOT = f"hf://datasets/{REPO}"

BEAM = """
    import apache_beam as beam
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    def read_all(spec):
        source = resolve_source(SourceSpec(**spec), Path("."), None)
        found = []
        with beam.Pipeline(runner=FnApiRunner()) as pipeline:
            rows = pipeline | beam.Create(plan_pieces(source)) | beam.FlatMap(read_piece)
            rows | beam.Map(lambda row: print("ROW", row.row, row.revision, flush=True))

    read_all({spec!r})
"""


def lines(start: int, n: int) -> bytes:
    return b"".join(
        json.dumps({"problem": f"What is {i} plus 1?", "answer": str(i + 1)}).encode() + b"\n"
        for i in range(start, start + n)
    )


@pytest.fixture
def sha(hub: HubServer, hub_api: Api) -> str:
    """Commit of a dataset of files of every kind; a later commit removes a shard's rows."""
    files = {
        "data/train-00000-of-00002.parquet": parquet(numina(0, 5)),
        "data/train-00001-of-00002.parquet": parquet(numina(5, 4)),
        "data/test-00000-of-00001.parquet": parquet(numina(90, 2)),
        "more/a.jsonl": lines(0, 3) + b"not json\n",
        "more/b.jsonl.gz": gzip.compress(lines(4, 2)),
        "README.md": b"---\nlicense: mit\n---\n",
        "notes.txt": b"none",
    }
    oid = upload(hub_api(), REPO, files)
    upload(hub_api(), REPO, {"data/train-00001-of-00002.parquet": parquet(numina(0, 1))})
    return oid


def rows_of(found: dict[str, Any]) -> list[int]:
    return [row["row"] for row in found["rows"]]


def test_addresses_of_files_folders_and_patterns_are_read_at_a_commit(
    hub: HubServer, run_client: ClientRunner, sha: str
) -> None:
    folder, pattern, one, deep, newest, jsonl = ask(
        run_client,
        ({"path": f"{ROOT}@{sha}/data"},),
        ({"path": f"{ROOT}@{sha}/data/train-*.parquet"}, 7),
        ({"hub": f"{ROOT}/data/train-00001-of-00002.parquet", "revision": sha},),
        ({"path": f"{ROOT}@{sha}/**/test-*.parquet", "split": "test"},),
        ({"path": f"{ROOT}/data/*"},),
        ({"path": f"{ROOT}@{sha}/more"},),
    )
    assert rows_of(folder) == list(range(9)) and folder["n_pieces"] == 2
    assert (folder["revision"], folder["licence"], folder["layout"]) == (sha, "mit", "numina_cot")
    assert {row["dataset"] for row in folder["rows"]} == {REPO}
    assert rows_of(pattern) == list(range(7))
    assert [row["gold"] for row in one["rows"]] == ["6", "7", "8", "9"]
    assert len(deep["rows"]) == 2
    assert newest["revision"] != sha and len(newest["rows"]) == 6
    assert rows_of(jsonl) == [0, 1, 2, 3, 4, 5]
    assert [row.get("reason") for row in jsonl["rows"]][3] == "malformed_json"


def test_an_address_without_a_path_is_the_dataset(
    hub: HubServer, run_client: ClientRunner, sha: str
) -> None:
    address, name = ask(run_client, ({"hub": f"{ROOT}@{sha}"},), ({"hub": REPO, "revision": sha},))
    assert address == name


def test_pieces_of_an_address_are_read_by_beam_workers(
    hub: HubServer, run_client: ClientRunner, sha: str
) -> None:
    head = READ.split("print(json", maxsplit=1)[0].replace("{{", "{").replace("}}", "}")
    code = head + BEAM.format(spec={"path": f"{ROOT}@{sha}/data/train-*"})
    rows = [line.split() for line in run_client(code).stdout.splitlines() if "ROW" in line]
    assert sorted(int(row[1]) for row in rows) == list(range(9))
    assert {row[2] for row in rows} == {sha}


def test_faults_while_reading_are_waited_out(
    hub: HubServer, run_client: ClientRunner, sha: str
) -> None:
    for route in ("info", "tree", "resolve"):
        hub.fail_next(route, 503)
    hub.before_next("tree", lambda: hub.fail_next("resolve", reset=True))
    [found] = ask(run_client, ({"path": f"{ROOT}@{sha}/data/train-*"},))
    assert rows_of(found) == list(range(9))
    assert hub.faults.n_open() == 0


def test_what_the_hub_does_not_give_is_one_line_that_says_what_to_do(
    hub: HubServer, hub_api: Api, run_client: ClientRunner, sha: str
) -> None:
    hub.state.create_repo("datasets", "bob/secret", private=True)
    hub.state.create_repo("datasets", "bob/terms", private=False)
    hub.repo("bob/terms").gated = "manual"
    hub.state.create_repo("datasets", "bob/old", private=False)
    hub.rename("bob/old", "bob/new")
    asked: dict[str, str] = {
        "hf://datasets/bob/gone/x.parquet": "bob/gone is not a dataset on the Hub, or it is",
        "hf://datasets/bob/secret/x.parquet": "bob/secret is not a dataset on the Hub, or it is",
        "hf://datasets/bob/terms/x.parquet": "bob/terms is gated: accept its terms",
        "hf://datasets/bob/old/x.parquet": "bob/old was renamed to bob/new; name bob/new in the",
        f"{ROOT}@v9/data": "alice/numina has no revision 'v9'",
        f"{ROOT}/data/tran-*": "has nothing at 'data/tran-*'",
        f"{ROOT}/notes.txt": "has no file that can be read at 'notes.txt'",
        f"{ROOT}/../../etc/passwd": "has nothing at",
        "hf://datasets/x": "is not an address of a dataset on the Hub: write hf://datasets/OWNER",
        "hf://models/a/b/c": "is not an address of a dataset",
        "hf://datasets/a--b/c d/x": "'a--b/c d' is not a dataset's name",
    }
    found = ask(run_client, *(({"path": address},) for address in asked))
    for (address, words), result in zip(asked.items(), found, strict=True):
        assert words in result["error"], (address, result)
        assert "\n" not in result["error"] and ALICE_WRITE not in result["error"]
    names = ("bob/gone", "bob/secret", "bob/terms", "bob/old", "a b/c")
    for result in ask(run_client, *(({"hub": name},) for name in names)):
        assert len(result["error"]) < 200 and "\n" not in result["error"]


def test_an_unknown_token_is_said_and_not_shown(
    hub: HubServer, run_client: ClientRunner, sha: str
) -> None:
    asked = (({"path": f"{ROOT}/data"},), ({"hub": REPO},))
    done = run_client(READ.format(asked=asked), token="hf_nobodysToken")
    for result in json.loads(done.stdout.splitlines()[-1]):
        assert "does not know the token in HF_TOKEN" in result["error"]
    assert "hf_nobodysToken" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hf://datasets/a/b", ("a/b", None, "")),
        ("hf://datasets/a/b@v1/x/*.parquet", ("a/b", "v1", "x/*.parquet")),
        ("hf://datasets/a/b@refs/convert/parquet/d/x", ("a/b", "refs/convert/parquet", "d/x")),
        ("hf://datasets/a/b@refs%2Fpr%2F1/x", ("a/b", "refs/pr/1", "x")),
    ],
)
def test_an_address_has_a_name_a_revision_and_a_path(text: str, parts: tuple[Any, ...]) -> None:
    address = read_address(text)
    assert (address.repo, address.revision, address.path) == parts


def provenance(r1: bool) -> dict[str, Any]:
    return {"source": "olympiads", "licence": "mit", "r1_derived": r1, "dataset": "numina"}


def test_published_questions_are_a_source_with_their_own_licence_and_origin(
    hub: HubServer, hub_api: Api, run_client: ClientRunner
) -> None:
    rows = [
        {
            "id": f"r{i}",
            "question_id": f"q{i}",
            "prompt": [{"role": "user", "content": f"Solve: what is {i} plus 1?"}],
            "problem": f"What is {i} plus 1?",
            "answer": str(i + 1),
            "solution": None if i else "It is $\\boxed{1}$.",
            "pass_rate": 0.5,
            "provenance": provenance(r1=i == 2),
        }
        for i in range(3)
    ]
    texts = [
        {"question_id": "q", "messages": row["prompt"], "provenance": row["provenance"]}
        for row in rows
    ]
    card = b"---\nlicense: other\ntags: [butwait, r1-derived]\n---\n"
    files = {"README.md": card, "rl/a.parquet": parquet(rows), "d/a.parquet": parquet(texts)}
    upload(hub_api(), REPO, files)
    questions, conversations = ask(run_client, ({"path": f"{ROOT}/rl"},), ({"path": f"{ROOT}/d"},))
    assert questions["layout"] == "butwait"
    read = questions["rows"]
    assert [(row["gold"], row["source"]) for row in read] == [
        (str(i + 1), "olympiads") for i in range(3)
    ]
    assert [row["r1_derived"] for row in read] == [False, False, True]
    assert {row["licence"] for row in read} == {"mit"}
    assert "read its configuration of transform rl" in conversations["error"]


def test_a_folder_of_splits_still_needs_the_right_one(tmp_path: Any) -> None:
    for name in ("train-0.parquet", "test-0.parquet"):
        (tmp_path / name).write_bytes(parquet(numina(0, 2)))
    assert find_local(tmp_path, "test").ranges[0].n_rows == 2
    with pytest.raises(SourceError, match="has no split 'dev'; it has test, train"):
        find_local(tmp_path, "dev")
