"""The completion cache: nothing that shapes a sample is left out of its key."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.pipelines.cache import (
    completion_key,
    completion_keys,
    describe_request,
    hash_shape,
    open_cache,
)
from butwait.pipelines.cached import CachedSampler, NotCached
from butwait.schemas.errors import ConfigError, SamplerError
from butwait.schemas.record import Message
from butwait.schemas.sampling import Completion, ModelIdentity, SampleRequest, SamplingParameters

IDENTITY = ModelIdentity(id="m", revision="r", engine="vllm")


def request(**changes: object) -> SampleRequest:
    base = {
        "question_id": "q1",
        "step": "sample",
        "messages": (Message(role="user", content="2+2?"),),
        "prompt": None,
        "n": 4,
        "seed": 1 << 20,
        "parameters": SamplingParameters(temperature=0.8, top_p=1.0, max_tokens=16),
    }
    return SampleRequest.model_validate({**base, **changes}, strict=False)


class CountingSampler:
    """A real, tiny engine: the text is a function of the seed; asked requests are counted."""

    def __init__(self) -> None:
        self.identity = IDENTITY
        self.asked: list[tuple[int, int]] = []
        self.fails = False

    async def sample(self, asked: SampleRequest) -> list[Completion]:
        if self.fails:
            raise SamplerError("the engine is gone")
        self.asked.append((asked.seed, asked.n))
        return [
            Completion(
                index=i,
                text=f"text of {asked.seed + i}",
                finish_reason="stop",
                n_prompt_tokens=3,
                n_completion_tokens=2,
                seed=asked.seed + i,
            )
            for i in range(asked.n)
        ]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": (Message(role="user", content="2+3?"),)},
        {"messages": None, "prompt": "2+2?"},
        {"prefix": "Wait"},
        {"seed": (1 << 20) + 1},
        {"parameters": SamplingParameters(temperature=0.7, top_p=1.0, max_tokens=16)},
        {"parameters": SamplingParameters(temperature=0.8, top_p=0.9, max_tokens=16)},
        {"parameters": SamplingParameters(temperature=0.8, top_p=1.0, max_tokens=17)},
        {"parameters": SamplingParameters(temperature=0.8, top_p=1.0, max_tokens=16, stop=("x",))},
    ],
)
def test_whatever_shapes_a_sample_changes_its_key(changes: dict) -> None:
    assert completion_key(IDENTITY, request(), 0) != completion_key(IDENTITY, request(**changes), 0)


@pytest.mark.parametrize("changes", [{"id": "n"}, {"revision": "s"}, {"engine": "transformers"}])
def test_other_weights_have_other_keys(changes: dict) -> None:
    other = IDENTITY.model_copy(update=changes)
    assert completion_key(IDENTITY, request(), 0) != completion_key(other, request(), 0)


@given(st.integers(0, 100), st.integers(0, 100))
def test_a_sample_has_one_key_however_many_are_asked_together(shift: int, index: int) -> None:
    whole = completion_key(IDENTITY, request(n=300), shift + index)
    part = completion_key(IDENTITY, request(n=8, seed=(1 << 20) + shift), index)
    assert whole == part


def test_finished_samples_are_asked_once_and_only_the_missing_ones_again(tmp_path: Path) -> None:
    cache, engine = open_cache(tmp_path / "c.sqlite"), CountingSampler()
    sampler = CachedSampler(engine, cache, IDENTITY)
    first = asyncio.run(sampler.sample(request(n=2)))
    again = asyncio.run(sampler.sample(request(n=5)))
    assert again[:2] == first
    assert [c.index for c in again] == list(range(5))
    assert engine.asked == [(1 << 20, 2), ((1 << 20) + 2, 3)]
    assert (sampler.n_hits, sampler.n_misses) == (2, 5)


def test_a_second_process_finds_what_the_first_stored(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    first = open_cache(path)
    answers = asyncio.run(CachedSampler(CountingSampler(), first, IDENTITY).sample(request()))
    first.close()
    alone = CachedSampler(None, open_cache(path), IDENTITY)
    assert asyncio.run(alone.sample(request())) == answers


def test_errors_are_not_stored_and_no_engine_is_an_error(tmp_path: Path) -> None:
    cache, engine = open_cache(tmp_path / "c.sqlite"), CountingSampler()
    engine.fails = True
    with pytest.raises(SamplerError, match="gone"):
        asyncio.run(CachedSampler(engine, cache, IDENTITY).sample(request()))
    with pytest.raises(NotCached):
        asyncio.run(CachedSampler(None, cache, IDENTITY).sample(request()))


def test_a_key_keeps_its_first_value(tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "c.sqlite")
    [one] = asyncio.run(CountingSampler().sample(request(n=1)))
    asked = describe_request(IDENTITY, request(), "e")
    cache.put({"k": one}, asked)
    cache.put({"k": one.model_copy(update={"text": "another"})}, asked)
    assert cache.get(["k", "unknown"]) == {"k": one}


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_cache(tmp_path / "file" / "c.sqlite")
    (tmp_path / "no.sqlite").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(ConfigError, match=r"no\.sqlite cannot be opened"):
        open_cache(tmp_path / "no.sqlite")


def test_keys_of_all_samples_are_the_keys_of_each() -> None:
    words = 'say "seed":7 and \\"seed\\":7 twice'
    asked = SampleRequest(
        question_id="q",
        step="search-0-root",
        messages=None,
        prompt=words,
        prefix=words,
        prefix_tokens=(7, 8),
        n=5,
        seed=7,
        is_seeded=False,
        with_tokens=True,
        parameters=SamplingParameters(temperature=0.8, top_p=1.0, max_tokens=9),
    )
    identity = ModelIdentity(id='"seed":7', revision=None, engine="vllm")
    each = [completion_key(identity, asked, i) for i in range(5)]
    assert completion_keys(identity, asked) == each
    assert len(set(each)) == 5


@given(
    st.text(),
    st.one_of(st.none(), st.text()),
    st.text(max_size=5),
    st.booleans(),
    st.integers(0, 2**62),
)
def test_a_key_is_the_hash_of_canonical_json_however_it_is_written(
    said: str, revision: str | None, prefix: str, is_raw: bool, seed: int
) -> None:
    who = ModelIdentity(id=said[:9], revision=revision, engine='e"1')
    parameters = SamplingParameters(temperature=1, top_p=0.5, max_tokens=7, stop=("\n\n", said))
    messages = (Message(role="system", content="s"), Message(role="user", content=said))
    asked = SampleRequest(
        question_id="q",
        step="sample",
        messages=None if is_raw else messages,
        prompt=said if is_raw else None,
        prefix=prefix,
        n=2,
        seed=seed,
        parameters=parameters,
    )
    shape = {
        "version": 1,
        "model": who.id,
        "revision": who.revision,
        "engine": who.engine,
        "messages": None if is_raw else [m.model_dump() for m in messages],
        "prompt": asked.prompt,
        "prefix": prefix,
        "parameters": parameters.model_dump(mode="json"),
    }
    expected = [hash_shape({**shape, "seed": seed + i}) for i in range(2)]
    assert completion_keys(who, asked) == expected
    assert [completion_key(who, asked, i) for i in range(2)] == expected
