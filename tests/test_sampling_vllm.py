"""What the pipeline relies on, shown on a real vLLM server with the pocket policy."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import httpx
import pytest

from butwait.pipelines.sampling.connect import connect
from butwait.pipelines.sampling.engine import Endpoint, make_sampler, open_sampler
from butwait.pipelines.sampling.life import read_life
from butwait.schemas.errors import ConfigError, RequestRefused, SamplerError
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec
from butwait.schemas.record import Message
from butwait.schemas.sampling import Completion, SampleRequest, SamplingParameters
from butwait.transforms.seeds import derive_seed

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]
PROBLEM = (
    "Tom has 47 beads. Tom gives 3 beads to Ivy. Tom doubles the number of beads. Tom loses 57 "
    "beads. Tom loses 25 beads. How many beads does Tom have now?"
)
PARAMETERS = SamplingParameters(temperature=1.0, top_p=1.0, max_tokens=24)


def ask(problem: str = PROBLEM, **more: Any) -> SampleRequest:
    given = {
        "messages": (Message(role="user", content=problem),),
        "prompt": None,
        "n": 4,
        "seed": derive_seed(0, problem, "sample"),
        "parameters": PARAMETERS,
    }
    return SampleRequest(question_id=problem, step="sample", **{**given, **more})


def answer(endpoint: Endpoint, *requests: SampleRequest) -> list[Any]:
    async def gather() -> list[Any]:
        sampler = make_sampler(endpoint)
        try:
            tasks = [sampler.sample(request) for request in requests]
            return await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await sampler.close()

    return asyncio.run(gather())


def read_texts(completions: list[Completion]) -> list[str]:
    return [completion.text for completion in completions]


def post(endpoint: Endpoint, path: str, **body: Any) -> dict[str, Any]:
    body = {"model": endpoint.served_name, **body}
    reply = httpx.post(f"{endpoint.url}{path}", json=body, timeout=60, trust_env=False)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_sample_i_is_the_sample_of_seed_plus_i(pocket_server: Endpoint) -> None:
    (together,) = answer(pocket_server, ask(seed=40))
    alone = answer(pocket_server, *[ask(n=1, seed=40 + i) for i in range(4)])
    assert read_texts(together) == [one[0].text for one in alone]
    assert len(set(read_texts(together))) > 1


def test_requests_whose_seeds_are_next_to_each_other_share_samples_and_ours_do_not(
    pocket_server: Endpoint,
) -> None:
    near = [read_texts(c) for c in answer(pocket_server, ask(n=8, seed=40), ask(n=8, seed=41))]
    assert near[0][1:] == near[1][:-1]
    seeds = [derive_seed(0, f"q{i}", "sample") for i in range(4)]
    ours = [read_texts(c) for c in answer(pocket_server, *[ask(n=8, seed=seed) for seed in seeds])]
    for one, other in permutations(ours, 2):
        assert all(one[shift:] != other[:-shift] for shift in range(1, 5)) and one != other


def test_a_list_of_prompts_shares_one_seed_which_is_why_we_send_one_each(
    pocket_server: Endpoint,
) -> None:
    more = {"temperature": 1.0, "max_tokens": 12, "seed": 3}
    reply = post(pocket_server, "/v1/completions", prompt=["12 + 3"] * 3, **more)
    assert len({choice["text"] for choice in reply["choices"]}) == 1


def test_seeded_requests_with_more_prompt_than_a_step_holds_leave_the_engine_alive(
    pocket_server: Endpoint,
) -> None:
    problems = [f"{i} " + "12 + 35 + 7 + " * 24 for i in range(256)]
    short = PARAMETERS.model_copy(update={"max_tokens": 8})
    limits = replace(pocket_server.patience, max_in_flight=256, n_retries=0)
    wide = pocket_server.model_copy(update={"patience": limits})
    answers = answer(wide, *[ask(problem, n=1, parameters=short) for problem in problems])
    assert [len(completions) for completions in answers] == [1] * 256
    assert sum(completions[0].n_prompt_tokens for completions in answers) > 32_768
    life = read_life(Path(pocket_server.state_path))
    assert life is not None and life.n_restarts == 0


def test_each_sample_counts_its_own_tokens(pocket_server: Endpoint) -> None:
    (completions,) = answer(pocket_server, ask(n=8))
    asked = {"messages": [{"role": "user", "content": PROBLEM}], "n": 8, "max_tokens": 24}
    seed = derive_seed(0, PROBLEM, "sample")
    usage = post(pocket_server, "/v1/chat/completions", **asked, seed=seed, temperature=1.0)[
        "usage"
    ]
    assert sum(c.n_completion_tokens for c in completions) == usage["completion_tokens"]
    assert {c.n_prompt_tokens for c in completions} == {usage["prompt_tokens"]}
    assert all(1 <= c.n_completion_tokens <= 24 for c in completions)
    assert all(c.finish_reason == "stop" or c.n_completion_tokens == 24 for c in completions)


def test_a_stop_string_ends_a_sample_and_is_not_in_it(pocket_server: Endpoint) -> None:
    long = PARAMETERS.model_copy(update={"max_tokens": 200, "stop": ("\n\n", "}")})
    (completions,) = answer(pocket_server, ask(n=8, parameters=long))
    ended = [c for c in completions if c.stop_reason is not None]
    assert ended
    assert all(c.finish_reason == "stop" and c.stop_reason in ("\n\n", "}") for c in ended)
    assert not any(stop in c.text for c in completions for stop in ("\n\n", "}"))


def test_a_continuation_goes_on_from_the_prefixs_very_last_blank_line(
    pocket_server: Endpoint,
) -> None:
    cold = PARAMETERS.model_copy(update={"temperature": 0.0, "max_tokens": 120})
    first = "Step 1: 47 - 3 = 44\n\n"
    (whole,) = answer(pocket_server, ask(n=1, prefix=first, parameters=cold))
    step, blank, rest = whole[0].text.partition("\n\n")
    assert blank and rest and whole[0].finish_reason == "stop"
    (continued,) = answer(pocket_server, ask(n=1, prefix=first + step + blank, parameters=cold))
    assert continued[0].text == rest
    assert continued[0].n_prompt_tokens > whole[0].n_prompt_tokens


def test_our_own_rendering_is_the_servers_where_its_template_leaves_the_prefix_alone(
    pocket_server: Endpoint,
) -> None:
    prefix = "Step 1: 47 - 3 = 44\n\n"
    said = [
        {"role": "user", "content": PROBLEM},
        {"role": "assistant", "content": prefix},
    ]
    chat = {"continue_final_message": True, "add_generation_prompt": False}
    theirs = post(
        pocket_server,
        "/v1/chat/completions",
        **chat,
        messages=said,
        n=4,
        max_tokens=24,
        temperature=1.0,
        seed=9,
    )
    (ours,) = answer(pocket_server, ask(prefix=prefix, seed=9))
    assert read_texts(ours) == [c["message"]["content"] for c in theirs["choices"]]
    assert ours[0].n_prompt_tokens == theirs["usage"]["prompt_tokens"]


def test_a_raw_prompt_and_its_prefix_are_one_text(pocket_server: Endpoint) -> None:
    whole = ask(messages=None, prompt="12 + 35 = 4", seed=5)
    parts = ask(messages=None, prompt="12 + 35", prefix=" = 4", seed=5)
    one, other = answer(pocket_server, whole, parts)
    assert read_texts(one) == read_texts(other)


def test_what_does_not_fit_the_context_is_refused_by_name(pocket_server: Endpoint) -> None:
    endless = PARAMETERS.model_copy(update={"max_tokens": 100_000})
    errors = answer(pocket_server, ask("12 + " * 2000), ask(parameters=endless))
    assert [type(error) for error in errors] == [RequestRefused] * 2
    assert {error.reason for error in errors} == {"context_overflow"}


def test_the_identity_names_weights_and_engine_but_no_path_of_this_machine(
    pocket_server: Endpoint,
) -> None:
    identity = pocket_server.identity
    assert identity.id == "trainer/pocket/checkpoints/policy"
    assert identity.revision is not None and identity.revision.startswith("sha256:")
    assert identity.engine.startswith("vllm-")
    with pytest.raises(ConfigError, match="it serves: trainer/pocket/checkpoints/policy"):
        connect(pocket_server.url, "another")


def test_a_server_that_cannot_start_is_told_with_its_log(root: Path, tmp_path: Path) -> None:
    spec = ServerSpec(mode="managed", args=("--no-such-flag",))
    model = ModelSpec(id="./trainer/pocket/checkpoints/policy")
    with pytest.raises(SamplerError, match=r"(?s)did not start.*--no-such-flag"):
        with open_sampler(model, spec, base=root, log_dir=tmp_path, say=print):
            pass
