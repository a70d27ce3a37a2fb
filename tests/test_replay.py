"""Recorded trajectories answer as a sampler would, with what is known of how they ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from butwait.pipelines import replay as replay_module
from butwait.pipelines.recipe_file import load_recipe
from butwait.pipelines.replay import (
    RecordingCounts,
    ReplaySampler,
    partition_recordings,
    recordings_path,
    resolve_replay,
)
from butwait.schemas.errors import RequestRefused, SamplerError, SourceError
from butwait.schemas.recipe import ReplayColumns, ReplaySpec
from butwait.schemas.record import Message
from butwait.schemas.sampling import (
    Completion,
    ModelIdentity,
    Sampler,
    SampleRequest,
    SamplingParameters,
)
from butwait.transforms.problem_text import problem_key, question_id, shard_of

OPENR1 = Path(__file__).parent / "fixtures" / "replay" / "openr1.jsonl"
IDENTITY = ModelIdentity(id="recorded", revision=None, engine="replay")


def openr1(**more: Any) -> ReplaySpec:
    columns = ReplayColumns(
        texts="generations", labels="correctness_math_verify", finish_reasons="finish_reasons"
    )
    return ReplaySpec(path=str(OPENR1), columns=columns, **more)


def request(problem: str, n: int, prefix: str = "") -> SampleRequest:
    return SampleRequest(
        question_id=question_id(problem, "any"),
        step="sample",
        messages=(Message(role="user", content=problem),),
        prompt=None,
        prefix=prefix,
        n=n,
        seed=1000,
        parameters=SamplingParameters(temperature=0.8, top_p=1.0, max_tokens=64),
    )


def sample(path: Path, asked: SampleRequest) -> list[Completion]:
    async def run() -> list[Completion]:
        sampler: Sampler = ReplaySampler(path, IDENTITY)
        try:
            return await sampler.sample(asked)
        finally:
            await sampler.close()

    return asyncio.run(run())


def count(path: Path, problem: str) -> int:
    async def run() -> int:
        sampler = ReplaySampler(path, IDENTITY)
        try:
            return await sampler.count(question_id(problem, "any"))
        finally:
            await sampler.close()

    return asyncio.run(run())


def partition(spec: ReplaySpec, out: Path, n_shards: int = 1) -> RecordingCounts:
    return partition_recordings(resolve_replay(spec, Path("/nowhere")), n_shards, out)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    import json

    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def test_rows_of_one_problem_add_up_in_file_order(tmp_path: Path) -> None:
    counts = partition(openr1(), tmp_path)
    assert (counts.n_records, counts.n_problems, counts.n_texts) == (3, 2, 4)
    assert counts.finish_reasons == {"length": 1, "stop": 3}
    path = recordings_path(tmp_path, 0)
    assert count(path, "What is 2+2?") == 3
    completions = sample(path, request("What is \\(2+2\\)?", 3))
    assert [c.index for c in completions] == [0, 1, 2]
    assert [c.label for c in completions] == [True, False, True]
    assert [c.seed for c in completions] == [1000, 1001, 1002]
    assert completions[2].text == "<think>\nAgain.\n</think>\n\\boxed{4}"


def test_fewer_recorded_than_asked_is_refused_with_the_number(tmp_path: Path) -> None:
    partition(openr1(), tmp_path)
    path = recordings_path(tmp_path, 0)
    with pytest.raises(RequestRefused, match=r"not_recorded: .* has 1 recorded") as caught:
        sample(path, request("What is 3+3?", 2))
    assert caught.value.reason == "not_recorded"
    with pytest.raises(RequestRefused, match="has 0 recorded"):
        sample(path, request("What is 9+9?", 1))
    assert count(path, "What is 9+9?") == 0


def test_a_recording_cannot_be_continued(tmp_path: Path) -> None:
    partition(openr1(), tmp_path)
    with pytest.raises(SamplerError, match="cannot continue"):
        sample(recordings_path(tmp_path, 0), request("What is 3+3?", 1, prefix="But wait,"))


def test_the_recording_names_the_model_that_wrote_it() -> None:
    spec = openr1(model="some/model", model_revision="abc")
    identity = resolve_replay(spec, Path("/nowhere")).identity
    assert (identity.id, identity.revision, identity.engine) == ("some/model", "abc", "replay")


def test_every_question_finds_its_recordings_in_its_own_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "BUFFER_CHARACTERS", 500)
    monkeypatch.setattr(replay_module, "ROW_GROUP", 4)
    problems = [f"What is {i} plus 1?" for i in range(60)]
    rows = [
        {"problem": problem, "generations": [f"{problem} {k}"]}
        for k in range(7)
        for problem in problems
    ]
    write_lines(tmp_path / "r.jsonl", rows)
    counts = partition(ReplaySpec(path=str(tmp_path / "r.jsonl")), tmp_path / "out", n_shards=5)
    assert (counts.n_problems, counts.n_texts) == (60, 420)
    for problem in problems:
        path = recordings_path(tmp_path / "out", shard_of(problem_key(problem), 5))
        assert [c.text for c in sample(path, request(problem, 7))] == [
            f"{problem} {k}" for k in range(7)
        ]
    left = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert left == [f"recordings-{shard:05d}.parquet" for shard in range(5)]


def test_the_same_recording_gives_the_same_bytes(tmp_path: Path) -> None:
    partition(openr1(), tmp_path / "a", 2)
    partition(openr1(), tmp_path / "b", 2)
    for shard in range(2):
        one, other = (recordings_path(tmp_path / name, shard) for name in "ab")
        assert one.read_bytes() == other.read_bytes()


def test_prompt_and_end_tokens_are_taken_off_and_the_opened_thought_is_put_back(
    tmp_path: Path,
) -> None:
    rows = [
        {"problem": "P?", "generations": ["prompt <think>\nyes</think>4<end>", "no marker"]},
    ]
    write_lines(tmp_path / "r.jsonl", rows)
    spec = ReplaySpec(
        path=str(tmp_path / "r.jsonl"), text_from="<think>", text_drop=("<end>",), text_prefix="> "
    )
    counts = partition(spec, tmp_path / "out")
    texts = [c.text for c in sample(recordings_path(tmp_path / "out", 0), request("P?", 2))]
    assert texts == ["> <think>\nyes</think>4", "> no marker"]
    assert counts.finish_reasons == {"length": 1, "stop": 1}


def test_token_counts_tell_which_texts_were_cut(tmp_path: Path) -> None:
    rows = [{"problem": "P?", "generations": ["a", "b", "c"], "n": [10, 9, None]}]
    write_lines(tmp_path / "r.jsonl", rows)
    spec = ReplaySpec(
        path=str(tmp_path / "r.jsonl"), columns=ReplayColumns(n_tokens="n"), max_tokens=10
    )
    partition(spec, tmp_path / "out")
    completions = sample(recordings_path(tmp_path / "out", 0), request("P?", 3))
    assert [c.finish_reason for c in completions] == ["length", "stop", "unknown"]
    assert [c.n_completion_tokens for c in completions] == [10, 9, 0]


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    lines = [
        '{"problem": "P?", "generations": ["a", null], "ok": [1.0, 0.2]}',
        '{"problem": "P?", "generations": ["b"], "ok": [true, false]}',
        '{"problem": null, "generations": ["c"], "ok": [true]}',
        '{"problem": "lost \\ud800", "generations": ["c"], "ok": [true]}',
        '{"problem": "Q?", "generations": ["d"], "ok": [NaN]}',
        "{",
    ]
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    spec = ReplaySpec(path=str(tmp_path / "r.jsonl"), columns=ReplayColumns(labels="ok"))
    counts = partition(spec, tmp_path / "out")
    assert counts.refused == {
        "no_text": 1,
        "labels_not_parallel": 1,
        "missing_field": 1,
        "bad_encoding": 1,
        "malformed_json": 1,
    }
    assert sample(recordings_path(tmp_path / "out", 0), request("Q?", 1))[0].label is None
    labels = [c.label for c in sample(recordings_path(tmp_path / "out", 0), request("P?", 2))]
    assert labels == [True, None]


def test_a_repaired_problem_finds_its_recordings(tmp_path: Path) -> None:
    write_lines(tmp_path / "r.jsonl", [{"problem": "JosÃ© has 2. Half?", "generations": ["1"]}])
    partition(ReplaySpec(path=str(tmp_path / "r.jsonl")), tmp_path / "out")
    assert count(recordings_path(tmp_path / "out", 0), "José has 2. Half?") == 1


def test_a_shard_without_recordings_answers_with_none(tmp_path: Path) -> None:
    partition(openr1(), tmp_path, n_shards=20)
    empty = next(s for s in range(20) if s != shard_of(problem_key("What is 2+2?"), 20))
    assert count(recordings_path(tmp_path, empty), "What is 2+2?") == 0


def test_a_wrong_column_is_answered_with_the_nearest_one() -> None:
    spec = ReplaySpec(path=str(OPENR1), columns=ReplayColumns(texts="generation"))
    with pytest.raises(SourceError, match=r"column of texts\); did you mean 'generations'"):
        resolve_replay(spec, Path("/nowhere"))


REAL = {
    "qwen25-math": (96, 96, 768, {True: 702, False: 66}, {"unknown": 768}),
    "gsm8k-openai": (1319, 1319, 5276, {True: 2001, False: 3275}, {"unknown": 5276}),
    "r1-distill": (153, 153, 153, {True: 118, False: 35}, {"unknown": 153}),
    "prime-rl": (112, 14, 112, {True: 37, False: 75}, {"length": 76, "stop": 36}),
}


@pytest.mark.parametrize("name", REAL)
def test_the_real_recordings_are_read_whole(
    name: str, root: Path, shared_data: Path, tmp_path: Path
) -> None:
    folder = root / "recipes" / "replay"
    recipe = load_recipe(folder / f"{name}.yaml")
    assert recipe.replay is not None
    counts = partition_recordings(resolve_replay(recipe.replay, folder), 3, tmp_path)
    n_records, n_problems, n_texts, labels, reasons = REAL[name]
    assert (counts.n_records, counts.n_problems, counts.n_texts) == (n_records, n_problems, n_texts)
    assert counts.finish_reasons == reasons and counts.refused == {}
    rows = [
        row
        for shard in range(3)
        for row in pq.read_table(recordings_path(tmp_path, shard)).to_pylist()
    ]
    assert Counter(row["label"] for row in rows) == labels
    if recipe.replay.r1_derived:
        assert all(row["text"].startswith("<think>") for row in rows)
        assert not any("end▁of▁sentence" in row["text"] for row in rows)
