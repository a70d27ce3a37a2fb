"""Causal judges on a real vLLM server, each against the same probabilities from transformers."""

from __future__ import annotations

import asyncio
import importlib.util
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scoring_requests import score

from butwait.pipelines.scoring.engine import ScorerEndpoint, make_scorer, open_scorer
from butwait.schemas.errors import ConfigError, RequestRefused
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec
from butwait.schemas.record import Message
from butwait.schemas.scoring import ScoreRequest

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]
MODEL = "./trainer/pocket/checkpoints/scorer"
PROBLEM = "Tom has 47 beads. Tom gives 3 beads to Ivy. How many beads does Tom have now?"
STEPS = ("Step 1: 47 - 3 = 44\n\n", "Step 2: 44 + 3 = 50\n\n", "Answer: \\boxed{50}")
SYSTEM = "Solve step by step. Put the answer in \\boxed{}."
CHAT = (Message(role="system", content=SYSTEM), Message(role="user", content=PROBLEM))
NEAR = 0.3
"""Of log-probabilities and log-odds: bfloat16 on the server against float32 here."""


@pytest.fixture(scope="module")
def endpoint(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScorerEndpoint]:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    logs = tmp_path_factory.mktemp("logs")
    server = ServerSpec(mode="managed", start_timeout_s=500)
    prm = PrmSpec(layout="likelihood", model=ModelSpec(id=MODEL), server=server)
    with open_scorer(prm, base=root, log_dir=logs, say=print) as opened:
        yield opened


@pytest.fixture(scope="module")
def judge(root: Path) -> tuple[Any, Callable[[list[int]], Any]]:
    """The tokenizer, and log-probabilities at every position, by transformers."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(root / MODEL, dtype=torch.float32).eval()

    def read(ids: list[int]) -> Any:
        with torch.no_grad():
            return model(torch.tensor([ids])).logits[0].log_softmax(-1)

    return AutoTokenizer.from_pretrained(root / MODEL), read


def reopen(endpoint: ScorerEndpoint, root: Path, layout: Any, **more: Any) -> ScorerEndpoint:
    """Attach to the same server with another layout."""
    assert endpoint.server is not None
    server = ServerSpec(url=endpoint.server.url)
    prm = PrmSpec(layout=layout, model=ModelSpec(id=MODEL), server=server, **more)
    with open_scorer(prm, base=root, log_dir=root, say=print) as opened:
        return opened


def ask(*steps: str, **more: Any) -> ScoreRequest:
    known: dict[str, Any] = {"question_id": "q", "problem": PROBLEM, "messages": CHAT}
    return ScoreRequest(**{**known, "prompt": None, "steps": steps or STEPS, **more})


def to_log(rewards: tuple[float, ...]) -> list[float]:
    return [math.log(reward) for reward in rewards]


def to_odds(rewards: tuple[float, ...]) -> list[float]:
    return [math.log(reward / (1 - reward)) for reward in rewards]


@pytest.mark.parametrize("statistic", ["worst", "mean", "sum"])
def test_likelihood_is_that_of_each_steps_own_tokens(
    endpoint: ScorerEndpoint, root: Path, judge: Any, statistic: Any
) -> None:
    tokenizer, read = judge
    (rewards,) = score(reopen(endpoint, root, "likelihood", statistic=statistic), ask())
    said = [message.model_dump() for message in CHAT]
    ids = list(tokenizer.apply_chat_template(said, add_generation_prompt=True, return_dict=False))
    expected = []
    for step in STEPS:
        tokens = tokenizer.encode(step)
        found = read(ids + tokens)
        values = [float(found[len(ids) - 1 + k, token]) for k, token in enumerate(tokens)]
        ids += tokens
        whole = sum(values)
        expected.append(
            {"worst": min(values), "mean": whole / len(values), "sum": whole}[statistic]
        )
    assert to_log(rewards) == pytest.approx(expected, abs=NEAR, rel=0.05)


def test_a_wrong_step_is_less_likely_than_a_right_one(endpoint: ScorerEndpoint) -> None:
    right, wrong = score(endpoint, ask(STEPS[0]), ask("Step 1: 47 - 3 = 41\n\n"))
    assert right[0] > 2 * wrong[0]


def test_a_token_that_would_span_a_boundary_is_cut_there(
    endpoint: ScorerEndpoint, judge: Any
) -> None:
    tokenizer, _ = judge
    parts = ("Step 1: 47 - 3 = 44\n", "\nAnswer", ": 44")
    joined = tokenizer.encode("".join(parts))
    assert joined != [token for part in parts for token in tokenizer.encode(part)]
    one, two, three = score(endpoint, *[ask(*parts[:k]) for k in (1, 2, 3)])
    assert to_log(three)[:2] == pytest.approx(to_log(two), abs=NEAR)
    assert to_log(two)[:1] == pytest.approx(to_log(one), abs=NEAR)


def test_rlhflow_marks_are_those_of_the_whole_conversation(
    endpoint: ScorerEndpoint, root: Path, judge: Any
) -> None:
    tokenizer, read = judge
    marked = reopen(endpoint, root, "rlhflow")
    (rewards,) = score(marked, ask())
    good, bad = marked.marks or (0, 0)
    assert tokenizer.convert_ids_to_tokens([good, bad]) == ["+", "-"]
    chat = []
    for i, step in enumerate(STEPS):
        said = f"{PROBLEM} {step.strip()}" if i == 0 else step.strip()
        chat += [{"role": "user", "content": said}, {"role": "assistant", "content": "+"}]
    ids = tokenizer.apply_chat_template(chat, return_dict=False)
    begins = [i for i, t in enumerate(ids) if t == tokenizer.convert_tokens_to_ids("<|assistant|>")]
    found = read(ids)
    expected = [float(found[i, good] - found[i, bad]) for i in begins]
    assert to_odds(rewards) == pytest.approx(expected, abs=NEAR)


def test_math_shepherd_marks_are_those_at_each_tag_of_the_whole_text(
    endpoint: ScorerEndpoint, root: Path, judge: Any
) -> None:
    tokenizer, read = judge
    marks = {"step_tag": "@", "good_mark": "+", "bad_mark": "-"}
    (rewards,) = score(reopen(endpoint, root, "math_shepherd", **marks), ask())
    text = f"{PROBLEM} " + "\n".join(f"{step.strip()} @" for step in STEPS)
    ids = tokenizer.encode(text)
    found = read(ids)
    good, bad = tokenizer.convert_tokens_to_ids(["+", "-"])
    ends = [i for i, t in enumerate(tokenizer.convert_ids_to_tokens(ids)) if t.endswith("@")]
    assert len(ends) == 3
    expected = [float(found[i, good] - found[i, bad]) for i in ends]
    assert to_odds(rewards) == pytest.approx(expected, abs=NEAR)


def test_the_rewards_of_earlier_steps_are_remembered(endpoint: ScorerEndpoint, root: Path) -> None:
    marked = reopen(endpoint, root, "rlhflow")

    async def work() -> list[tuple[float, ...]]:
        scorer = make_scorer(marked)
        found = [await scorer.score(ask(*STEPS[:k])) for k in (1, 2, 3)]
        await scorer.close()
        return found

    one, two, three = asyncio.run(work())
    assert three[:2] == two and two[:1] == one


@pytest.mark.parametrize("layout", ["likelihood", "rlhflow", "math_shepherd"])
def test_an_overlong_text_is_refused_alone(
    endpoint: ScorerEndpoint, root: Path, layout: Any
) -> None:
    opened = reopen(endpoint, root, layout)
    long, *others = score(opened, ask("1 + " * 600), *[ask(f"{i}") for i in range(20)])
    assert isinstance(long, RequestRefused) and long.reason == "context_overflow"
    assert all(len(rewards) == 1 for rewards in others)


def test_a_mark_of_several_tokens_is_named(endpoint: ScorerEndpoint, root: Path) -> None:
    with pytest.raises(ConfigError, match=r"prm\.good_mark 'ки' is 4 tokens"):
        reopen(endpoint, root, "rlhflow", good_mark="ки")


def test_this_server_given_for_a_pooling_layout_is_refused_by_name(
    endpoint: ScorerEndpoint, root: Path
) -> None:
    for layout, path in (("qwen", "/pooling"), ("outcome", "/classify")):
        with pytest.raises(ConfigError, match=f"has no {path}.*--runner pooling"):
            reopen(endpoint, root, layout)
