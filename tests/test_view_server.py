"""The viewer's server and command: who may ask, what is answered, how it begins and ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from eval_world import make_arm, problem_ids
from eval_world import write_run as write_evaluation
from hub.fixture import ClientRunner
from hub.server import HubServer
from hub.state import ALICE_WRITE, BOB_WRITE
from view_world import N_QUESTIONS, N_SAMPLES, question, write_run

from butwait.evals.view.collections import open_view
from butwait.evals.view.maths import FILES
from butwait.evals.view.server import ViewServer
from butwait.evals.view.texts import MOST_CHARACTERS, cut_spans, last_box, make_text
from butwait.pipelines.cli import run_command

MAIN = [sys.executable, "-c", "from butwait.pipelines.cli import main; main()", "view"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("server") / "run")


def running(path: Path) -> Iterator[ViewServer]:
    server = ViewServer(lambda: open_view(path))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def server(run: Path) -> Iterator[ViewServer]:
    yield from running(run)


def request(
    server: ViewServer, path: str, method: str = "GET", host: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def ask(server: ViewServer, name: str, **parameters: Any) -> Any:
    status, _, body = request(server, f"/{server.token}/api/{name}?{urlencode(parameters)}")
    assert status in (200, 400), body
    return json.loads(body)


def test_only_the_whole_link_is_answered(server: ViewServer) -> None:
    assert request(server, f"/{server.token}/")[0] == 200
    for path in ("/", "/index.html", "/api/overview", f"/{server.token[:-1]}/", "/%c3%a9/x", "*"):
        status, _, body = request(server, path)
        assert status == 403, path
        assert b"whole link" in body


def test_another_host_name_is_refused_before_anything_else(server: ViewServer) -> None:
    path = f"/{server.token}/api/overview"
    for host in ("evil.example", f"evil.example:{server.server_port}", "127.0.0.1", ""):
        assert request(server, path, host=host or "x")[0] == 421
    assert request(server, path, host=f"localhost:{server.server_port}")[0] == 200


def test_nothing_can_be_written(server: ViewServer) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert request(server, f"/{server.token}/api/overview", method)[0] == 501
    status, headers, body = request(server, f"/{server.token}/", "HEAD")
    assert status == 200 and body == b"" and int(headers["Content-Length"]) > 500


def test_every_answer_carries_the_policy_that_forbids_foreign_and_inline_code(
    server: ViewServer,
) -> None:
    for path in (f"/{server.token}/", f"/{server.token}/api/overview", f"/{server.token}/x", "/"):
        _, headers, _ = request(server, path)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';") and "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_no_path_leads_out_of_the_pages_own_files(server: ViewServer) -> None:
    paths = ["../server.py", "..%2fserver.py", "static/app.js", "mathjax/../LICENSE"]
    paths += ["mathjax/core.js/../../x", "%2e%2e/%2e%2e/etc/passwd", "app.js%00", "nothing.js"]
    for path in paths:
        assert request(server, f"/{server.token}/{path}")[0] == 404, path


def test_the_installed_mathjax_is_served(server: ViewServer) -> None:
    for name in FILES:
        status, headers, body = request(server, f"/{server.token}/mathjax/{name}")
        assert status == 200 and len(body) > 10_000
        assert headers["Content-Type"].startswith("text/javascript")


def test_wrong_questions_get_one_sentence_and_never_a_traceback(server: ViewServer) -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("rows", {"collection": "nothing"}, "there is no 'nothing' here"),
        ("rows", {"cursor": "x"}, "begin again"),
        ("row", {"collection": "trajectories", "shard": "../x", "row": 1}, "has no row 1"),
        ("row", {"shard": "train-00000-of-00002.parquet", "row": 10**9}, "of other files"),
        ("row", {"row": "-1"}, "is no number"),
        ("rows", {"length_min": "x"}, "is no number"),
    ]
    for name, parameters, said in cases:
        assert said in ask(server, name, **parameters)["error"], (name, parameters)
    assert request(server, f"/{server.token}/api/other")[0] == 404


def test_a_row_comes_with_question_verdict_of_its_parent_provenance_and_links(
    server: ViewServer,
) -> None:
    shard = "train-00001-of-00002.parquet"
    row = ask(server, "row", collection="rows/stitch", shard=shard, row=1)
    facts = {label: value for _, label, value in row["facts"]}
    assert facts["Gold answer"] == "4"
    assert facts["Verdict"] == "correct" and facts["Extracted answer"] == "4"
    assert row["question"] == question(3).problem
    labels = [link["label"] for link in row["links"]]
    assert labels == ["Search tree", "Parent sample-0", "Parent sample-3",
                      "All samples of the question"]  # fmt: skip
    parent = ask(server, "row", **{k: row["links"][1][k] for k in ("collection", "shard", "row")})
    assert parent["id"] == f"{question(3).id}-sample-0"
    assert dict(parent["provenance"])["seed"] == "8460237158551475932", "exact beyond 2**53"
    found = ask(server, "rows", collection="trajectories", question=question(3).id)
    assert len(found["rows"]) == N_SAMPLES


def test_a_tree_tells_dead_branches_and_the_rows_that_grew_from_it(server: ViewServer) -> None:
    tree = ask(server, "tree", collection="trees", shard="part-00001-00000.parquet", row=1)
    assert [node["dead"] for node in tree["nodes"]] == [False, False, True, False]
    assert [node["n"] for node in tree["nodes"]] == [1, 1, 2, 1]
    assert tree["selected"] == 3
    rows = {row["id"]: row["nodes"] for row in tree["rows"]}
    assert rows[f"{question(3).id}-backtrack"] == [0, 1, 3]
    assert rows[f"{question(3).id}-stitch"] == []
    whole = ask(
        server, "tree", collection="trees", shard="part-00001-00000.parquet", row=1, merge=0
    )
    assert len(whole["nodes"]) == 5
    places = {(node["x"], node["y"]) for node in whole["nodes"]}
    assert len(places) == 5


def test_the_page_sees_what_a_build_has_added_since(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    moved = run / "rows" / "default" / "train-00001-of-00002.parquet"
    moved.rename(tmp_path / "later.parquet")
    for server in running(run):
        assert ask(server, "overview")["collections"][0]["n_rows"] == N_QUESTIONS // 2
        (tmp_path / "later.parquet").rename(moved)
        assert ask(server, "overview")["collections"][0]["n_rows"] == N_QUESTIONS


def test_an_evaluation_shows_its_cells_with_their_problems(tmp_path: Path) -> None:
    arm = make_arm([["correct", "incorrect"], ["!timeout", "truncated"]])
    lost = make_arm([["correct"], ["correct"]], model="lost")[0]
    run = write_evaluation(tmp_path / "exam", [arm, (lost, [])])
    (run / lost.file).unlink()
    for server in running(run):
        overview = ask(server, "overview")
        name = "cells/sums/base--qwen--sample"
        assert [c["name"] for c in overview["collections"]] == [name, "benchmarks/sums"]
        assert overview["notes"] == [f"{lost.file}: no cells yet"]
        [failed] = ask(server, "rows", collection=name, failure="timeout")["rows"]
        row = ask(server, "row", collection=name, shard=failed["shard"], row=failed["row"])
        assert row["question"] == "What is 1?"
        assert ["gold", "Gold answer", "1"] in row["facts"]
        same = ask(server, "rows", collection=name, question=problem_ids(2)[1])["rows"]
        assert len(same) == 2


def test_texts_are_cut_by_pythons_characters_and_spans_that_do_not_fit_are_left_out() -> None:
    text = "𝟙𝟚𝟛 wrong 😀 right"
    spans = [
        {"start": 4, "end": 9, "role": "wrong_branch"},
        {"start": 2, "end": 5, "role": "path"},
        {"start": 12, "end": 99, "role": "answer"},
        {"start": 12, "end": 17, "role": "<b>"},
        {"start": 12, "end": 17, "role": "answer"},
    ]
    parts = [(part["text"], part["role"]) for part in cut_spans(text, spans)]
    assert parts == [("𝟙𝟚𝟛 ", None), ("wrong", "wrong_branch"), (" 😀 ", None), ("right", "answer")]
    long = make_text("t", [{"text": "x" * MOST_CHARACTERS}, {"text": "more"}])
    assert long["cut"] and long["length"] == MOST_CHARACTERS + 4
    assert sum(len(part["text"]) for part in long["parts"]) == MOST_CHARACTERS


def test_a_row_without_its_run_shows_the_last_box_and_that_it_was_verified(
    run: Path, tmp_path: Path
) -> None:
    shard = run / "rows" / "default" / "train-00000-of-00002.parquet"
    for server in running(shard):
        row = ask(server, "row", shard=shard.name, row=0)
        facts = [fact[1:] for fact in row["facts"]]
        assert ["Extracted answer", "5"] in facts
        assert ["Verdict", "verified at the build (verifier 3)"] in facts
        assert row["links"] == []
    assert last_box("\\boxed{\\frac{1}{2}} and \\boxed{open") == "\\frac{1}{2}"
    assert last_box("none") is None


def start(target: str, *options: str, **env: str) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.Popen(
        [*MAIN, target, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**clean, **env},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def test_the_command_prints_its_link_and_ctrl_c_ends_it_quietly(run: Path) -> None:
    process = start(str(run))
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:") and len(url.split("/")[3]) >= 32
    assert process.stderr is not None
    said = [process.stderr.readline().strip() for _ in range(2)]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == ""
    assert err == "ended\n"
    assert said == [
        "serving on this machine only; Ctrl-C ends it",
        "no browser could be opened: open the link yourself",
    ]


def test_a_port_in_use_is_told_with_the_way_out(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_command(["view", str(run), "--no-browser", "--port", str(port)]) == 2
    assert f"port {port} is in use; name another with --port" in capfd.readouterr().err


def test_what_is_no_target_is_refused_in_one_line(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for target, said in (
        ("runs/missing", "neither a run folder nor a file"),
        (str(tmp_path), "holds no rows, trajectories, trees or cells"),
        ("missing.parquet", "neither a run folder nor a file"),
    ):
        assert run_command(["view", target, "--no-browser"]) == 2
        err = capfd.readouterr().err
        assert said in err and len(err.splitlines()) == 1
    assert run_command(["view", str(run), "--config", "x"]) == 2
    assert "--config and --shards are for a dataset on the Hub" in capfd.readouterr().err


FETCH = """
    import json, sys
    from butwait.pipelines.view_hub import fetch_dataset
    from butwait.evals.view.collections import open_files
    from butwait.schemas.errors import SourceError
    said = []
    for asked in {asked!r}:
        try:
            fetched = fetch_dataset(*asked, said.append)
            view = open_files(fetched.title, fetched.files)
            said.append([view.title, [[c.name, c.n_rows, len(c.shards)] for c in view.collections]])
        except SourceError as error:
            said.append("error: " + str(error))
    print(json.dumps(said))
"""
CARD = """---
configs:
- config_name: default
  data_files: [{split: train, path: data/default/train-*.parquet}]
- config_name: rl
  data_files: [{split: train, path: data/rl/*.parquet}, {split: test, path: data/test/*.parquet}]
- config_name: csv
  data_files: [{split: train, path: other/*.csv}]
---
"""


def publish(api: Any, repo: str, *, private: bool = False) -> None:
    from huggingface_hub import CommitOperationAdd

    def parquet(n: int) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"id": [f"r{i}" for i in range(n)], "problem": ["x"] * n}), sink)
        return bytes(sink.getvalue())

    files = {
        "README.md": CARD.encode(),
        "data/default/train-00000-of-00002.parquet": parquet(3),
        "data/default/train-00001-of-00002.parquet": parquet(4),
        "data/rl/train-00000-of-00001.parquet": parquet(5),
        "data/test/x.parquet": parquet(6),
        "other/a.csv": b"id\n1\n",
    }
    api.create_repo(repo, repo_type="dataset", private=private)
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    api.create_commit(repo, operations, commit_message="rows", repo_type="dataset")


def test_a_dataset_on_the_hub_is_fetched_by_configuration_and_refusals_are_one_line(
    hub: HubServer, hub_api: Any, run_client: ClientRunner
) -> None:
    publish(hub_api(), "alice/shown")
    publish(hub_api(), "alice/hidden", private=True)
    publish(hub_api(), "alice/gated")
    hub_api().update_repo_settings("alice/gated", repo_type="dataset", gated="manual")
    asked = [
        ("alice/shown", None, None, None), ("alice/shown", "main", "rl", None),
        ("alice/shown", None, None, 1), ("alice/shown", "v9", None, None),
        ("alice/shown", None, "sft", None), ("alice/shown", None, "csv", None),
        ("alice/hidden", None, None, None), ("alice/gated", None, None, None),
        ("alice/nothing", None, None, None),
    ]  # fmt: skip
    done = run_client(FETCH.format(asked=asked), token=BOB_WRITE)
    said = json.loads(done.stdout.splitlines()[-1])
    results = [line for line in said if isinstance(line, list) or line.startswith("error")]
    assert results[0][1] == [["default/train", 7, 2]]
    assert results[1][1] == [["rl/train", 5, 1], ["rl/test", 6, 1]]
    assert results[2][1] == [["default/train", 3, 1]]
    assert "has no revision 'v9'" in results[3]
    assert "no configuration 'sft'; it has default, rl, csv" in results[4]
    assert "only .parquet and .jsonl files can be looked at" in results[5]
    assert "not a dataset on the Hub, or it is private" in results[6]
    assert "alice/gated is gated" in results[7]
    assert "not a dataset on the Hub, or it is private" in results[8]
    assert any("2 of 2 files" in line for line in said if isinstance(line, str))
    assert ALICE_WRITE not in done.stdout + done.stderr
