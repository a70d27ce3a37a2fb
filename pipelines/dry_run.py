# ruff: noqa: T201 - printing is what a dry run is for
"""A dry run: two questions sampled for real, and what the whole build would cost."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from butwait.pipelines.engines import Engine, OpenEngine
from butwait.pipelines.resolve import Resolved, resolve
from butwait.pipelines.sampling.engine import open_sampler
from butwait.pipelines.sources import plan_pieces, read_piece
from butwait.pipelines.stages.sample_question import Outcome, sample_question, sample_request
from butwait.schemas.errors import SourceError
from butwait.schemas.question import Question
from butwait.schemas.recipe import Recipe
from butwait.schemas.record import Message
from butwait.transforms.problem_text import shard_of

if TYPE_CHECKING:
    from butwait.pipelines.build import BuildOptions

N_QUESTIONS = 2
N_REMOTE = 1000
"""Questions an estimate is given for where counting them would mean to download all."""
_SHOWN = 400


def dry_run(recipe: Recipe, options: BuildOptions) -> None:
    """Sample two questions, print the prompt, the samples and the estimate; write nothing.

    Raises:
        SourceError: No usable question was found.
    """
    resolved = resolve(recipe, options.base)
    questions = list(itertools.islice(_questions(resolved), N_QUESTIONS))
    if not questions:
        raise SourceError("no usable question in the sources; a build would keep nothing")
    outcomes, seconds = _sample(recipe, resolved, options, questions)
    # After sampling: an engine that was started here has its tokenizer on disk by now.
    _print_prompt(questions[0], resolved)
    _print_samples(questions, outcomes)
    if resolved.replay is None:
        _print_estimate(recipe, resolved, outcomes, seconds)
    else:
        print("\nestimate: recordings are read, nothing is sampled")


def _questions(resolved: Resolved) -> Iterator[Question]:
    records = (
        record
        for source in resolved.sources
        for piece in plan_pieces(source)
        for record in read_piece(piece)
    )
    return (record for record in records if isinstance(record, Question))


def _sample(
    recipe: Recipe, resolved: Resolved, options: BuildOptions, questions: Sequence[Question]
) -> tuple[list[Outcome], float]:
    """Return the outcomes and the seconds of sampling, without those of a server's start."""
    with tempfile.TemporaryDirectory(prefix="butwait-dry-run-") as temporary:
        folder = Path(temporary)
        if resolved.replay is not None:
            from butwait.pipelines.replay import partition_recordings

            partition_recordings(resolved.replay, recipe.shards, folder)
            assert recipe.replay is not None
            engine = Engine(resolved.identity, recordings=folder, n_replayed=recipe.replay.n)
            return asyncio.run(_ask(engine, resolved, questions, recipe.shards))
        assert recipe.model is not None
        with open_sampler(
            recipe.model,
            recipe.server,
            base=options.base,
            log_dir=folder,
            say=options.say,
            api_key=options.api_key,
        ) as endpoint:
            engine = Engine(resolved.identity, endpoint=endpoint)
            return asyncio.run(_ask(engine, resolved, questions, recipe.shards))


async def _ask(
    engine: Engine, resolved: Resolved, questions: Sequence[Question], n_shards: int
) -> tuple[list[Outcome], float]:
    opened = OpenEngine(engine)
    begun = time.monotonic()
    try:
        outcomes = await asyncio.gather(
            *(
                _ask_one(opened, resolved, question, shard_of(question.id, n_shards))
                for question in questions
            )
        )
        return outcomes, time.monotonic() - begun
    finally:
        await opened.close()


async def _ask_one(
    opened: OpenEngine, resolved: Resolved, question: Question, shard: int
) -> Outcome:
    sampler = opened.sampler(shard)
    assert sampler is not None, "a dry run has an endpoint or recordings"
    n = await opened.n_samples(question, shard)
    return await sample_question(question, sampler, resolved.ask, n)


def _print_prompt(question: Question, resolved: Resolved) -> None:
    request = sample_request(question, resolved.ask, 1)
    print("prompt (before the model's chat template):" if request.messages else "prompt:")
    for message in request.messages or ():
        print(f"  [{message.role}] {message.content}")
    if request.prompt is not None:
        print(request.prompt)
    print(f"as the model sees it:\n  {_render(request.messages, resolved)}")


def _render(messages: Sequence[Message] | None, resolved: Resolved) -> str:
    """The chat template applied, where the model's tokenizer can be had."""
    if messages is None or not resolved.model_location:
        return "(as it stands above)"
    from transformers import AutoTokenizer

    try:
        is_folder = Path(resolved.model_location).is_dir()
        tokenizer = AutoTokenizer.from_pretrained(
            resolved.model_location,
            revision=None if is_folder else resolved.identity.revision,
            local_files_only=True,
        )
        turns = [m.model_dump() for m in messages]
        return repr(
            tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        )
    except (OSError, ValueError) as error:
        what = str(error).partition("\n")[0]
        return f"(the server applies its own chat template; no tokenizer here: {what[:200]})"


def _print_samples(questions: Sequence[Question], outcomes: Sequence[Outcome]) -> None:
    for question, outcome in zip(questions, outcomes, strict=True):
        print(f"\nquestion {question.id}, gold answer {question.gold}: {question.problem[:_SHOWN]}")
        for trajectory in outcome.trajectories[:2]:
            print(f"  [{trajectory.id[26:]}: {trajectory.verdict}] {trajectory.text[:_SHOWN]!r}")
        for letter in outcome.letters[:1]:
            print(f"  refused: {letter.reason}: {letter.detail}")


def _print_estimate(
    recipe: Recipe, resolved: Resolved, outcomes: Sequence[Outcome], seconds: float
) -> None:
    tokens = [t.n_completion_tokens for o in outcomes for t in o.trajectories]
    if not tokens:
        print("\nno sample came back: no estimate")
        return
    per_question = sum(tokens) / len(outcomes)
    print(
        f"\nestimate: {per_question:.0f} completion tokens a question "
        f"({len(tokens) / len(outcomes):.0f} samples of {sum(tokens) / len(tokens):.0f})"
    )
    n_questions = sum(1 for _ in _questions(resolved)) if _is_local(recipe) else N_REMOTE
    total = per_question * n_questions
    rate = sum(tokens) / seconds
    print(
        f"{n_questions} questions: {total:.0f} tokens; at the {rate:.0f} tokens/s of these two "
        f"questions alone {total / rate:.0f} s at most (a full server is faster)"
    )


def _is_local(recipe: Recipe) -> bool:
    return all(spec.path is not None for spec in recipe.sources)
