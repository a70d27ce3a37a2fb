"""Whatever is read from outside: a result or a named refusal, never another error, never a hang."""

from __future__ import annotations

import gzip
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from butwait.pipelines.recipe_file import load_recipe
from butwait.pipelines.replay import (
    Recording,
    partition_recordings,
    recordings_path,
    resolve_replay,
)
from butwait.pipelines.sampling.connect import look
from butwait.pipelines.sampling.wire import (
    read_completions,
    read_refusal,
    read_token_ids,
    read_unseeded,
)
from butwait.pipelines.scoring.wire import (
    read_log_probs,
    read_mark,
    read_outcome,
    read_rewards,
    read_rows,
)
from butwait.pipelines.sources import plan_pieces, read_piece, resolve_source
from butwait.pipelines.tables import read_records
from butwait.pipelines.verify_file import read_row
from butwait.schemas.errors import ConfigError, RequestRefused, SourceError
from butwait.schemas.recipe import Recipe, ReplaySpec
from butwait.schemas.recipe_source import SourceSpec
from butwait.schemas.sampling import Completion
from tests.test_cache import request

NUMBERS = st.one_of(
    st.integers(), st.sampled_from([10**400, -(10**400), 2**63, 2**64]), st.floats()
)
WORDS = st.sampled_from(
    ["choices", "index", "usage", "text", "message", "content", "finish_reason", "stop", "length",
     "token_ids", "logprobs", "token_logprobs", "top_logprobs", "prompt_logprobs", "logprob",
     "prompt_tokens", "completion_tokens", "data", "probs", "error", "detail", "tokens",
     "token_id:1", "token_id:2", "7", "stop_reason", "reasoning"]
)  # fmt: skip
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8), WORDS)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(WORDS, st.text(max_size=4)), inner, max_size=5),
    ),
    max_leaves=25,
)
CHOICE = st.fixed_dictionaries(
    {"index": st.one_of(st.just(0), JSON), "finish_reason": st.one_of(st.just("stop"), JSON)},
    optional={
        "text": JSON, "message": JSON, "token_ids": JSON, "logprobs": JSON, "stop_reason": JSON,
        "prompt_logprobs": JSON,
    },
)  # fmt: skip
REPLIES = st.one_of(
    JSON,
    st.fixed_dictionaries(
        {
            "choices": st.one_of(st.lists(CHOICE, min_size=1, max_size=2), JSON),
            "usage": st.one_of(
                st.fixed_dictionaries({"prompt_tokens": JSON, "completion_tokens": JSON}), JSON
            ),
        }
    ),
)


@pytest.mark.parametrize("count", [10**400, -1, 2**63, 1.5, "many", None, float("nan")])
def test_a_count_that_no_column_holds_is_a_bad_reply(count: object) -> None:
    choice = {"index": 0, "finish_reason": "stop", "text": "t", "token_ids": [1]}
    usage = {"prompt_tokens": count, "completion_tokens": 1}
    with pytest.raises(RequestRefused, match="bad_reply"):
        read_completions({"choices": [choice], "usage": usage}, request(n=1))


def refused_or(kind: Any, read: Any) -> None:
    """Read something: it is of a kind, or refused."""
    try:
        assert isinstance(read(), kind)
    except RequestRefused as refusal:
        assert len(str(refusal)) < 2000


@given(REPLIES, st.booleans(), st.booleans())
@settings(max_examples=400)
def test_any_reply_of_a_server_is_completions_or_refused(
    reply: object, with_tokens: bool, with_log_probs: bool
) -> None:
    asked = request(n=1).model_copy(
        update={"with_tokens": with_tokens, "with_log_probs": with_log_probs}
    )
    refused_or(list, lambda: read_completions(reply, asked))
    refused_or(list, lambda: read_unseeded(reply, [(asked, 0, 3)]))
    refused_or(tuple, lambda: read_token_ids(reply))
    assert isinstance(read_refusal(500, "body", reply), RequestRefused)


@given(REPLIES)
@settings(max_examples=300)
def test_any_reply_of_a_reward_model_is_rewards_or_refused(reply: Any) -> None:
    refused_or(tuple, lambda: read_rewards(reply, 1))
    refused_or(tuple, lambda: read_outcome(reply))
    for rows, field in (("data", "data"), ("choices", "")):
        refused_or(list, lambda r=rows, f=field: read_rows(reply, 1, r, f, lambda i, row: row))
    if isinstance(reply, dict):
        refused_or(float, lambda: read_mark(reply, 1, 2))
        refused_or(list, lambda: read_log_probs(reply, [7]))


def test_a_reply_that_is_deep_or_long_is_refused_in_few_words() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RequestRefused) as caught:
        read_completions({"choices": deep, "usage": {}}, request(n=1))
    assert len(str(caught.value)) < 1000
    with pytest.raises(RequestRefused) as caught:
        read_completions(["x" * 10**7] * 3, request(n=1))
    assert len(str(caught.value)) < 1000


def read_recipe(text: str | bytes, *overrides: str) -> Recipe | None:
    """Read a recipe's text; None where it is refused, which takes little time and few words."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
        try:
            found = load_recipe(path, overrides)
        except ConfigError as error:
            assert len(str(error)) < 3000
            found = None
    assert time.monotonic() - begun < 5.0
    return found


YAML_BITS = st.sampled_from(
    ["name: x", "sources:", "  - hub: a/b", "rows:", "  default: {transform: verified}", "model:",
     " {id: x}", "sampling: {n: ", "1e400", "9" * 5000, "2001-99-99", "0x" + "f" * 400, "*a", "&a ",
     "<<: *a", "[", "]", "{", "}", "!!python/object:os.system ", "!!binary x", "? ", ": ", "- ",
     "\n", "\t", "'", '"', "|", ">", "%TAG", "---", "...", "~", ".nan", "1:2:3", "\u2028", "\x00"]
)  # fmt: skip


@given(st.one_of(st.binary(max_size=200), st.lists(YAML_BITS, max_size=20).map("\n".join),
                 st.lists(YAML_BITS, max_size=20).map("".join)))  # fmt: skip
@settings(max_examples=400)
def test_any_text_is_a_recipe_or_refused(text: str | bytes) -> None:
    read_recipe(text)


@given(st.dictionaries(st.one_of(WORDS, st.sampled_from(
    ["name", "sources", "model", "server", "sampling", "rows", "shards", "limit", "search", "prm"])
), JSON, max_size=6))  # fmt: skip
@settings(max_examples=200)
def test_any_document_is_a_recipe_or_refused(document: dict[str, Any]) -> None:
    base = {"name": "x", "sources": [{"hub": "a/b"}], "model": {"id": "m"}}
    try:
        text = json.dumps(base | document)
    except ValueError:  # more digits than Python writes
        return
    read_recipe(text)


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
)
MERGES = "\n".join(
    ["a0: &a0 {k: 1}"]
    + [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 12)]
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        MERGES,
        "a: &a [*a]",
        "a: &a {b: *a}",
        "[" * 200_000,
        "{a: " * 100_000,
        "- " * 200_000,
        "\n".join(f"k{i}: 1" for i in range(10_000)),
        "name: " + "9" * 100_000,
        "name: 2001-99-99",
        "? [1, 2]\n: 3",
        "1: 2",
        "name: !!python/object/apply:os.system [echo]",
    ],
    ids=lambda text: text[:20],
)
def test_a_recipe_made_to_hang_or_to_fill_memory_is_refused_at_once(text: str) -> None:
    assert read_recipe(text) is None


@pytest.mark.parametrize("value", [BOMB, "[" * 50_000, "2001-99-99", "9" * 5000, "&a [*a]"])
def test_an_override_made_to_hang_is_refused_at_once(value: str) -> None:
    good = "name: x\nsources: [{hub: a/b}]\nmodel: {id: m}\nrows: {default: {transform: rl}}"
    assert read_recipe(good, f"sampling={value}") is None
    assert read_recipe(good) is not None


ROWS = st.lists(
    st.one_of(
        JSON,
        st.fixed_dictionaries(
            {"problem": st.one_of(st.just("What is 1+1?"), JSON), "answer": JSON},
            optional={"texts": JSON, "n": JSON, "label": JSON, "why": JSON},
        ),
    ),
    max_size=6,
)


def dump(rows: list[Any]) -> bytes:
    """Write rows as JSON lines; what JSON cannot hold is left out."""
    lines = []
    for row in rows:
        try:
            lines.append(json.dumps(row))
        except ValueError:
            continue
    return "\n".join(lines).encode("utf-8", "surrogatepass")


FILES = st.one_of(st.binary(max_size=300), ROWS.map(dump), ROWS.map(dump).map(gzip.compress))


@given(FILES, st.sampled_from([".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet"]))
@settings(max_examples=300)
def test_any_file_of_questions_is_read_or_refused(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"q{suffix}").write_bytes(content)
        columns = {"problem": "problem", "answer": "answer"}
        spec = SourceSpec.model_validate({"path": f"q{suffix}", "columns": columns})
        try:
            source = resolve_source(spec, Path(folder))
            for piece in plan_pieces(source):
                for record in read_piece(piece):
                    assert record.model_dump_json()
        except SourceError as error:
            assert "\n" not in str(error).strip() or len(str(error)) < 2000


def test_numbers_beyond_any_column_are_not_believed_in_a_recording(tmp_path: Path) -> None:
    odd = [10**400, 1e300, -1e300, 2**63, -5, True, "9", 1e-300, 2**62]
    row = {"problem": "P?", "texts": ["t"] * len(odd), "n": odd, "label": odd, "why": ["x"] * 9}
    (tmp_path / "r.jsonl").write_text(json.dumps(row))
    columns = {"problem": "problem", "texts": "texts", "n_tokens": "n", "labels": "label",
               "finish_reasons": "why"}  # fmt: skip
    spec = ReplaySpec.model_validate({"path": "r.jsonl", "model": "m", "columns": columns})
    partition_recordings(resolve_replay(spec, tmp_path), 1, tmp_path / "out")
    found = list(read_records(recordings_path(tmp_path / "out", 0), Recording))
    assert [r.n_tokens for r in found] == [None] * 5 + [None, None, 0, None]


@given(ROWS)
@settings(max_examples=200)
def test_any_recording_is_partitioned_or_refused(rows: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = {"problem": "P?", "texts": ["t"], "n": [1], "label": [True], "why": ["stop"]}
        content = json.dumps(first).encode() + b"\n" + dump(rows)
        (Path(folder) / "r.jsonl").write_bytes(content)
        columns = {
            "problem": "problem", "texts": "texts", "n_tokens": "n", "labels": "label",
            "finish_reasons": "why",
        }  # fmt: skip
        spec = ReplaySpec.model_validate({"path": "r.jsonl", "model": "m", "columns": columns})
        try:
            partition_recordings(resolve_replay(spec, Path(folder)), 1, Path(folder) / "out")
            found = list(read_records(recordings_path(Path(folder) / "out", 0), Recording))
            assert found
        except SourceError:
            pass


@given(st.one_of(st.text(max_size=80), ROWS.map(lambda rows: dump(rows).decode("utf-8", "replace")),
                 JSON.map(lambda row: dump([row]).decode("utf-8", "replace"))))  # fmt: skip
@settings(max_examples=200)
def test_any_line_to_verify_is_a_check_or_says_what_is_wrong(line: str) -> None:
    row = read_row(line, 1)
    assert row.check is not None or row.problem


def test_a_line_nested_too_deep_is_a_bad_row() -> None:
    assert read_row("[" * 100_000, 1).check is None


def test_what_a_server_says_of_itself_is_believed_within_limits() -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    models = {"data": [{"id": "m", "max_model_len": "many", "root": ["no"]}]}

    class Hostile(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(models if "models" in self.path else {"version": "9" * 10_000})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = look(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert found.context == 0
    assert len(found.identity.engine) < 100
    assert isinstance(Completion, type)
