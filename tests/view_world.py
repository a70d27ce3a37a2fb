"""A small run to look at: questions, samples, trees and rows as a build writes them, and worse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from handmade_trees import make_tree, node

from butwait.pipelines.tables import write_records
from butwait.schemas.question import Question
from butwait.schemas.record import Message
from butwait.schemas.row import Provenance, SftRow
from butwait.schemas.trace import Role, Span
from butwait.schemas.trajectory import Trajectory
from butwait.schemas.tree import SearchTree, Vote

BLOCK = 4
N_QUESTIONS = 24
N_SAMPLES = 4
LONG = "Let $x_{1} = \\frac{1}{2}$ and go on with \\(y^2\\). " * 1200
SCRIPT = '<script>window.hacked = true</script><img src=x onerror="window.hacked = true">'
BROKEN = "\\(\\frac{1}{\\) and $\\undefinedmacro{2}$ and $$\\begin{array} x$$"
ARABIC = "احسب مجموع العددين ثلاثة وأربعة \u202e ثم اكتب الجواب"


def question(i: int) -> Question:
    """Question i; sources take turns."""
    return Question(
        id=f"q{i:016x}{i % 2:08x}",
        problem=f"What is $ {i} + 1 $? Compute \\({i} + 1\\).",
        gold=str(i + 1),
        gold_canonical=str(i + 1),
        gold_from="column",
        solution=None,
        source="olympiads" if i % 3 == 0 else "school",
        dataset="sums.jsonl",
        revision=None,
        licence="cc0-1.0",
        row=i,
        r1_derived=False,
    )


def sample(asked: Question, k: int, text: str | None = None) -> Trajectory:
    """Sample k of a question; of question i the first i modulo 5 are wrong."""
    right = k >= asked.row % 5
    answer = asked.row + 1 if right else asked.row + 7
    return Trajectory(
        id=f"{asked.id}-sample-{k}",
        question_id=asked.id,
        step="sample",
        sample_index=k,
        parent_id=None,
        joiner="",
        text=text or f"I add one to {asked.row}.\n\nThe answer is \\boxed{{{answer}}}.",
        finish_reason="stop",
        n_prompt_tokens=9,
        n_completion_tokens=12,
        seed=8460237158551475932,
        parameters=None,
        prompt_preset="qwen",
        model="pocket",
        model_revision="abc",
        engine="vllm",
        verdict="correct" if right else "incorrect",
        rule="integer",
        extracted=str(answer),
        answer_canonical=str(answer),
        verifier_version="3",
        label=None,
        r1_derived=False,
    )


def tree(asked: Question) -> SearchTree:
    """Four nodes: a first step, a wrong end, a dead end, a right end."""
    nodes = [
        node(None, "I add one.\n\n", score=0.9),
        node(0, "The answer is \\boxed{6}.", "incorrect", score=0.2),
        node(0, "I add two instead.\n\n", "resampled_out", score=0.1),
        node(0, "The answer is \\boxed{5}.", "correct", score=0.8),
        node(0, "I add two instead.\n\n", "resampled_out", score=0.1),
    ]
    vote = Vote(answer="5", n=1, weight=1.0, leaf=3, leaves=(3,))
    return make_tree(
        nodes, question_id=asked.id, selected=3, final=(3,), final_log_weights=(0.0,), votes=(vote,)
    )


def sft_row(
    asked: Question, parents: tuple[str, ...], pieces: list[tuple[str, Role]], config: str
) -> SftRow:
    """A row whose completion is the pieces, between two markers that no span covers."""
    text, spans = "<think>\n", []
    for piece, role in pieces:
        spans.append(Span(start=len(text), end=len(text) + len(piece), role=role))
        text += piece
    prompt = (Message(role="user", content=asked.problem),)
    completion = (Message(role="assistant", content=text + "\n</think>"),)
    return SftRow(
        id=f"{asked.id}-{config}",
        question_id=asked.id,
        messages=prompt + completion,
        prompt=prompt,
        completion=completion,
        spans=tuple(spans),
        answer=asked.gold,
        pass_rate=(asked.row % 5) / 4,
        flow="wrong_right" if asked.row % 2 else None,
        first_answer=None,
        n_transitions=1,
        provenance=provenance(asked, parents, config),
    )


def provenance(asked: Question, parents: tuple[str, ...], transform: str) -> Provenance:
    """Where a row is from."""
    return Provenance(
        dataset=asked.dataset, dataset_revision=None, dataset_row=asked.row, source=asked.source,
        licence=asked.licence, model="pocket", model_revision="abc", engine="vllm",
        prompt_preset="qwen", temperature=0.8, top_p=1.0, max_tokens=160, seed=7,
        transform=transform, transform_parameters="{}", renderer="plain", verifier_version="3",
        parents=parents, r1_derived=False, butwait_version="0.1.0",
    )  # fmt: skip


def hostile_rows() -> list[SftRow]:
    """Rows that hold a script, broken LaTeX, 60,000 characters and right-to-left text."""
    texts = {"script": SCRIPT, "broken": BROKEN, "long": LONG, "arabic": ARABIC}
    rows = []
    for i, (name, text) in enumerate(texts.items()):
        asked = question(i).model_copy(update={"problem": f"{name}: {text[:200]}"})
        rows.append(sft_row(asked, (), [(text, "path"), ("\\boxed{1}", "answer")], name))
    return rows


def write_run(run: Path) -> Path:
    """Write a whole run of two shards; question i is in shard i modulo 2."""
    for shard in range(2):
        asked = [question(i) for i in range(shard, N_QUESTIONS, 2)]
        write_records(
            run / "questions" / f"questions-{shard:05d}-of-00002.parquet",
            asked, Question, row_group_size=BLOCK,
        )  # fmt: skip
        for group in range(-(-len(asked) // BLOCK)):
            block = asked[group * BLOCK : (group + 1) * BLOCK]
            part = f"part-{shard:05d}-{group:05d}.parquet"
            samples = [sample(q, k) for q in block for k in range(N_SAMPLES)]
            write_records(run / "trajectories" / part, samples, Trajectory)
            write_records(
                run / "trajectories" / "trees" / part, [tree(q) for q in block], SearchTree
            )
        name = f"train-{shard:05d}-of-00002.parquet"
        write_records(run / "rows" / "default" / name, list(_grown(asked)), SftRow)
        write_records(run / "rows" / "stitch" / name, list(_stitched(asked)), SftRow)
    write_records(run / "rows" / "hostile" / "train-00000-of-00001.parquet", hostile_rows(), SftRow)
    for stage in ("questions", "trajectories", "rows"):
        (run / stage / "_stage.json").write_text("{}")
    return run


def _grown(asked: list[Question]) -> Iterator[SftRow]:
    for q in asked:
        parents = (f"{q.id}-node-1", f"{q.id}-node-3")
        pieces: list[tuple[str, Role]] = [
            ("I add one.\n\n", "path"),
            ("The answer is 6.", "wrong_branch"),
            ("\n\nHold on! ", "transition"),
            ("It is five.", "path"),
            ("\n\\boxed{5}", "answer"),
        ]
        yield sft_row(q, parents, pieces, "backtrack")


def _stitched(asked: list[Question]) -> Iterator[SftRow]:
    for q in asked:
        parents = (f"{q.id}-sample-0", f"{q.id}-sample-3")
        yield sft_row(q, parents, [("first", "wrong_branch"), (" then", "path")], "stitch")


def write_many(folder: Path, n_rows: int, n_shards: int = 4) -> Path:
    """Write many rows of 400 characters and up; every 50,000th holds a needle."""
    folder.mkdir(parents=True, exist_ok=True)
    size = n_rows // n_shards
    for shard in range(n_shards):
        path = folder / f"train-{shard:05d}-of-{n_shards:05d}.parquet"
        with pq.ParquetWriter(path, _many_schema()) as writer:
            for start in range(shard * size, (shard + 1) * size, 2000):
                rows = [
                    _one_of_many(i) for i in range(start, min(start + 2000, (shard + 1) * size))
                ]
                table = pa.Table.from_pylist(rows, schema=_many_schema())
                writer.write_table(table, row_group_size=500)
    return folder


def _one_of_many(i: int) -> dict[str, Any]:
    needle = "NEEDLE " if i % 50_000 == 49_999 else ""
    said = f"{needle}Step {i}: " + f"{i * 7919:012d} " * 30
    return {
        "id": f"row-{i}",
        "question_id": f"q{i}",
        "messages": [{"role": "user", "content": f"Question {i}?"},
                     {"role": "assistant", "content": said}],
        "answer": str(i),
        "pass_rate": (i % 100) / 100,
    }  # fmt: skip


def _many_schema() -> pa.Schema:
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    return pa.schema(
        [("id", pa.string()), ("question_id", pa.string()), ("messages", pa.list_(message)),
         ("answer", pa.string()), ("pass_rate", pa.float64())]
    )  # fmt: skip


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    """Write JSON lines; a string is written as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path
