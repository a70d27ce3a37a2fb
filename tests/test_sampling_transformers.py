"""The in-process engine: the same model answers as transformers' own generate does."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from butwait.pipelines.sampling.transformers_engine import (
    COLD,
    MAX_ROWS,
    TransformersSampler,
    draw_token,
)
from butwait.schemas.errors import RequestRefused, SamplerError
from butwait.schemas.record import Message
from butwait.schemas.sampling import Completion, ModelIdentity, SampleRequest, SamplingParameters

IDENTITY = ModelIdentity(id="tiny", revision=None, engine="transformers")
PARAMETERS = SamplingParameters(temperature=1.0, top_p=0.95, max_tokens=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with the pocket's tokenizer and chat template."""
    from butwait.trainer.pocket.model import make_model, save_checkpoint
    from butwait.trainer.pocket.tokens import train_tokenizer

    texts = [
        f"What is {a} + {b}?\n\nFirst {a} + {b} = {a + b}." for a in range(9) for b in range(9)
    ]
    tokenizer = train_tokenizer(texts)
    model = make_model(tokenizer, 0)
    for parameter in model.parameters():
        parameter.data.mul_(3 if parameter.dim() > 1 else 1)  # else every token is as likely
    path = tmp_path_factory.mktemp("model")
    save_checkpoint(model, tokenizer, path, {})
    return path


@pytest.fixture(scope="module")
def sampler(folder: Path) -> TransformersSampler:
    return TransformersSampler(str(folder), IDENTITY)


def ask(text: str = "What is 1 + 2?", **more: Any) -> SampleRequest:
    given = {"messages": (Message(role="user", content=text),), "prompt": None, "n": 3, "seed": 7}
    given = {**given, "parameters": PARAMETERS, **more}
    return SampleRequest(question_id="q", step="sample", **given)


def answer(sampler: TransformersSampler, *requests: SampleRequest) -> list[list[Completion]]:
    async def gather() -> list[list[Completion]]:
        return await asyncio.gather(*[sampler.sample(request) for request in requests])

    return asyncio.run(gather())


def test_a_sample_does_not_depend_on_what_it_is_decoded_with(sampler: TransformersSampler) -> None:
    other = ask("What is 3 + 4, and then 5 more?", n=5, seed=100)
    alone = answer(sampler, ask())[0]
    together = answer(sampler, other, ask(), other)[1]
    assert [c.text for c in alone] == [c.text for c in together]
    assert [c.seed for c in alone] == [7, 8, 9]
    assert answer(sampler, ask(n=1, seed=9))[0][0].text == alone[2].text
    assert len({c.text for c in alone}) == 3


def test_more_samples_than_fit_a_batch_all_come_back_in_order(sampler: TransformersSampler) -> None:
    short = PARAMETERS.model_copy(update={"max_tokens": 2})
    (completions,) = answer(sampler, ask(n=MAX_ROWS + 9, parameters=short))
    assert [c.index for c in completions] == list(range(MAX_ROWS + 9))


def test_the_coldest_sample_is_what_generate_writes(
    sampler: TransformersSampler, folder: Path
) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    chat = [{"role": "user", "content": "What is 1 + 2?"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")
    out = model.generate(**ids, do_sample=False, max_new_tokens=16)
    expected = tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    cold = PARAMETERS.model_copy(update={"temperature": 0.0})
    longer = ask("What is 3 + 4, and then 5 more, and 6?", parameters=cold)
    found = answer(sampler, ask(parameters=cold), longer)[0]
    assert {c.text for c in found} == {expected}
    assert found[0].n_prompt_tokens == ids["input_ids"].shape[1]


def test_a_stop_string_is_named_and_cut_off(sampler: TransformersSampler) -> None:
    text = answer(sampler, ask(n=1))[0][0].text
    stop = text[len(text) // 2]
    stopped = PARAMETERS.model_copy(update={"stop": (stop,)})
    (completion,) = answer(sampler, ask(n=1, parameters=stopped))[0]
    assert completion.text == text[: text.index(stop)]
    assert (completion.finish_reason, completion.stop_reason) == ("stop", stop)


def test_a_prefix_continues_the_assistants_turn(sampler: TransformersSampler) -> None:
    cold = PARAMETERS.model_copy(update={"temperature": 0.0})
    plain, continued = answer(
        sampler, ask(n=1, parameters=cold), ask(n=1, prefix="First", parameters=cold)
    )
    assert continued[0].n_prompt_tokens > plain[0].n_prompt_tokens
    chat = "<|user|>What is 1 + 2?<|end|><|assistant|>"
    raw = answer(sampler, ask(n=1, messages=None, prompt=chat, prefix="First", parameters=cold))
    assert raw[0][0].text == continued[0].text


def test_a_prompt_that_fills_the_context_is_refused_and_a_long_one_ends_by_length(
    sampler: TransformersSampler,
) -> None:
    with pytest.raises(RequestRefused) as caught:
        answer(sampler, ask("1 + " * 600))
    assert caught.value.reason == "context_overflow"
    long = PARAMETERS.model_copy(update={"max_tokens": 4000})
    (completion,) = answer(sampler, ask("1 + " * 245, n=1, parameters=long))[0]
    n_used = completion.n_prompt_tokens + completion.n_completion_tokens
    assert completion.finish_reason == "stop" or n_used == 512


def test_a_folder_without_a_model_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(SamplerError, match="cannot load"):
        TransformersSampler(str(tmp_path), IDENTITY)


@example(logits=[0.0, 1.0], temperature=1e-308, top_p=1.0, seed=0)
@given(
    st.lists(st.floats(-20, 20), min_size=1, max_size=30),
    st.floats(0.0, 4.0),
    st.floats(0.01, 1.0),
    st.integers(0, 2**32),
)
def test_a_drawn_token_is_one_of_the_nucleus(
    logits: list[float], temperature: float, top_p: float, seed: int
) -> None:
    scores = np.array(logits)
    token = draw_token(scores, temperature, top_p, np.random.Generator(np.random.PCG64(seed)))
    assert 0 <= token < len(logits)
    if temperature < COLD:
        assert scores[token] == scores.max()
    elif temperature > 0.01:
        weights = np.exp((scores - scores.max()) / temperature)
        likelier = weights[weights > weights[token]].sum() / weights.sum()
        assert likelier <= top_p + 1e-9


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    scores = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    drawn = [draw_token(scores, 1.0, 1.0, rng) for _ in range(4000)]
    shares = np.bincount(drawn, minlength=4) / 4000
    assert np.abs(shares - [0.5, 0.3, 0.15, 0.05]).max() < 0.03
    nucleus = {draw_token(scores, 1.0, 0.75, rng) for _ in range(500)}
    assert nucleus == {0, 1}


LOAD = """
import sys
from pathlib import Path
from butwait.pipelines.sampling.engine import make_sampler, open_sampler
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec

here, server = Path(), ServerSpec(mode="transformers")
for revision in (sys.argv[1], None):
    model = ModelSpec(id="some/model", revision=revision)
    with open_sampler(model, server, base=here, log_dir=here, say=str) as endpoint:
        sampler = make_sampler(endpoint)
    loaded = sampler._model.config.max_position_embeddings, sampler._tokenizer.model_max_length
    print(*loaded, sampler.identity.revision)
"""


def test_the_weights_of_a_hub_model_are_those_of_the_revision_that_rows_name(
    folder: Path, tmp_path: Path
) -> None:
    repo = tmp_path / "hub" / "models--some--model"
    for commit, n_context in (("a" * 40, 300), ("b" * 40, 200)):
        snapshot = repo / "snapshots" / commit
        shutil.copytree(folder, snapshot)
        for name, key in (
            ("config.json", "max_position_embeddings"),
            ("tokenizer_config.json", "model_max_length"),
        ):
            content = json.loads((snapshot / name).read_text())
            (snapshot / name).write_text(json.dumps({**content, key: n_context}))
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)
    env = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    env.pop("HF_HUB_CACHE", None)
    command = [sys.executable, "-c", LOAD, "b" * 40]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"200 200 {'b' * 40}", f"300 300 {'a' * 40}"]
