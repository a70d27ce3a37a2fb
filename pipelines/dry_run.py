# ruff: noqa: T201 - printing is what a dry run is for
"""A dry run: two questions sampled for real, and what the whole build would cost."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from butwait.pipelines.cache import open_cache
from butwait.pipelines.engines import Engine, OpenEngine
from butwait.pipelines.open_engines import FreshEngines
from butwait.pipelines.resolve import Resolved, resolve
from butwait.pipelines.search.finish import SearchOutcome
from butwait.pipelines.search.searcher import Searcher
from butwait.pipelines.sources import plan_pieces, read_piece
from butwait.pipelines.stages.sample_question import Outcome, sample_question, sample_request
from butwait.pipelines.tree_view import outline
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
    looks, seconds = _sample(recipe, resolved, options, questions)
    # After sampling: an engine that was started here has its tokenizer on disk by now.
    _print_prompt(questions[0], resolved)
    _print_samples(questions, looks)
    if resolved.replay is None:
        _print_estimate(recipe, resolved, looks, seconds)
    else:
        print("\nestimate: recordings are read, nothing is sampled")


@dataclass(frozen=True)
class Look:
    """What two questions are looked at for: their samples, and their search where there is one."""

    samples: Outcome
    search: SearchOutcome | None

    @property
    def tokens(self) -> list[int]:
        """Tokens of each sample, and of the search as a whole."""
        sampled = [t.n_completion_tokens for t in self.samples.trajectories]
        return sampled + ([self.search.tree.usage.n_tokens] if self.search else [])


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
) -> tuple[list[Look], float]:
    """Return the outcomes and the seconds of sampling, without those of a server's start."""
    with tempfile.TemporaryDirectory(prefix="butwait-dry-run-") as temporary:
        folder = Path(temporary)
        if resolved.replay is not None:
            from butwait.pipelines.replay import partition_recordings

            partition_recordings(resolved.replay, recipe.shards, folder)
            assert recipe.replay is not None
            engine = Engine(resolved.identity, recordings=folder, n_replayed=recipe.replay.n)
            return asyncio.run(_ask(engine, resolved, questions, recipe.shards, folder))
        assert recipe.model is not None
        prm = resolved.search.prm if resolved.search is not None else None
        engines = FreshEngines(options.base, folder, say=options.say, api_key=options.api_key)
        with engines.open(recipe.model, recipe.server, prm) as (endpoint, scorer):
            engine = Engine(resolved.identity, endpoint=endpoint, scorer=scorer)
            return asyncio.run(_ask(engine, resolved, questions, recipe.shards, folder))


async def _ask(
    engine: Engine,
    resolved: Resolved,
    questions: Sequence[Question],
    n_shards: int,
    folder: Path,
) -> tuple[list[Look], float]:
    opened = OpenEngine(engine)
    begun = time.monotonic()
    cache = open_cache(folder / "cache.sqlite")  # of this look alone: nothing is kept
    searcher = opened.searcher(resolved.search, cache) if resolved.search is not None else None
    try:
        looks = await asyncio.gather(
            *(
                _ask_one(opened, searcher, resolved, question, shard_of(question.id, n_shards))
                for question in questions
            )
        )
        return looks, time.monotonic() - begun
    finally:
        await opened.close()
        cache.close()


async def _ask_one(
    opened: OpenEngine,
    searcher: Searcher | None,
    resolved: Resolved,
    question: Question,
    shard: int,
) -> Look:
    sampler = opened.sampler(shard)
    assert sampler is not None, "a dry run has an endpoint or recordings"
    n = await opened.n_samples(question, shard)
    samples = Outcome((), ())
    if n is not None or resolved.ask.sampling.n > 0:
        samples = await sample_question(question, sampler, resolved.ask, n)
    return Look(samples, await searcher.search(question) if searcher is not None else None)


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


def _print_samples(questions: Sequence[Question], looks: Sequence[Look]) -> None:
    for question, look in zip(questions, looks, strict=True):
        print(f"\nquestion {question.id}, gold answer {question.gold}: {question.problem[:_SHOWN]}")
        for trajectory in look.samples.trajectories[:2]:
            print(f"  [{trajectory.id[26:]}: {trajectory.verdict}] {trajectory.text[:_SHOWN]!r}")
        letters = look.samples.letters
        if look.search is not None:
            for line in outline(look.search.tree):
                print(f"  {line}")
            letters += (look.search.letter,) if look.search.letter else ()
        for letter in letters[:1]:
            print(f"  refused: {letter.reason}: {letter.detail}")


def _print_estimate(
    recipe: Recipe, resolved: Resolved, looks: Sequence[Look], seconds: float
) -> None:
    tokens = [n for look in looks for n in look.tokens]
    if not any(tokens):
        print("\nno sample came back: no estimate")
        return
    per_question = sum(tokens) / len(looks)
    print(
        f"\nestimate: {per_question:.0f} completion tokens a question ({_describe(recipe, looks)})"
    )
    n_questions = sum(1 for _ in _questions(resolved)) if _is_local(recipe) else N_REMOTE
    total = per_question * n_questions
    rate = sum(tokens) / seconds
    print(
        f"{n_questions} questions: {total:.0f} tokens; at the {rate:.0f} tokens/s of these two "
        f"questions alone {total / rate:.0f} s at most (a full server is faster)"
    )


def _describe(recipe: Recipe, looks: Sequence[Look]) -> str:
    sampled = [t.n_completion_tokens for look in looks for t in look.samples.trajectories]
    parts = []
    if sampled:
        mean = sum(sampled) / len(sampled)
        parts.append(f"{len(sampled) / len(looks):.0f} samples of {mean:.0f}")
    if recipe.search is not None:
        spent = sum(look.search.tree.usage.n_tokens for look in looks if look.search) / len(looks)
        parts.append(f"a {recipe.search.method} search of {spent:.0f}")
    return ", ".join(parts)


def _is_local(recipe: Recipe) -> bool:
    return all(spec.path and not spec.path.startswith("hf://") for spec in recipe.sources)
