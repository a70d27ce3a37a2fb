"""A process reward model on a real vLLM server: step tokens, against transformers."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from random_models import STEP_TOKEN, load_process_reward_model, make_process_reward_model
from scoring_requests import score

from butwait.pipelines.scoring.engine import ScorerEndpoint, open_scorer
from butwait.schemas.errors import ConfigError, RequestRefused
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec
from butwait.schemas.scoring import ScoreRequest

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]
PROBLEM = "Tom has 47 beads. Tom gives 3 beads to Ivy. How many beads does Tom have now?"
STEPS = ("Step 1: 47 - 3 = 44\n\n", "Step 2: 44 + 0 = 44\n\n", "\nAnswer: \\boxed{44}")
SYSTEM = "Judge."
NEAR = 0.02
"""bfloat16 on the server against float32 here."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    folder = tmp_path_factory.mktemp("models") / "prm"
    make_process_reward_model(root / "trainer/pocket/checkpoints/scorer", folder)
    return folder


@pytest.fixture(scope="module")
def endpoint(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScorerEndpoint]:
    prm = PrmSpec(
        model=ModelSpec(id="./prm"),
        system=SYSTEM,
        server=ServerSpec(mode="managed", start_timeout_s=500),
    )
    logs = tmp_path_factory.mktemp("logs")
    with open_scorer(prm, base=model.parent, log_dir=logs, say=print) as opened:
        assert (logs / "prm.log").is_file()
        yield opened


def ask(*steps: str, **more: Any) -> ScoreRequest:
    known: dict[str, Any] = {"question_id": "q", "problem": PROBLEM, "messages": None}
    return ScoreRequest(**{**known, "prompt": "unread", "steps": steps or STEPS, **more})


def expect(model: Path, *steps: str, problem: str = PROBLEM) -> list[float]:
    """Compute the rewards as the model card does, with transformers."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    said = "".join(step.rstrip() + STEP_TOKEN for step in steps)
    chat = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": problem},
        {"role": "assistant", "content": said},
    ]
    ids = tokenizer.encode(tokenizer.apply_chat_template(chat, tokenize=False))
    step_id = tokenizer.convert_tokens_to_ids(STEP_TOKEN)
    rewards = load_process_reward_model(model)(ids)
    return [reward for reward, token in zip(rewards, ids, strict=True) if token == step_id]


def test_rewards_are_those_of_the_model_cards_own_computation(
    endpoint: ScorerEndpoint, model: Path
) -> None:
    (rewards,) = score(endpoint, ask())
    assert rewards == pytest.approx(expect(model, *STEPS), abs=NEAR)
    assert len(set(rewards)) == 3


def test_a_growing_prefix_keeps_the_rewards_of_its_steps(endpoint: ScorerEndpoint) -> None:
    one, two, three = (score(endpoint, ask(*STEPS[:k]))[0] for k in (1, 2, 3))
    assert (len(one), len(two), len(three)) == (1, 2, 3)
    assert three[:2] == pytest.approx(two, abs=NEAR) and two[:1] == pytest.approx(one, abs=NEAR)


def test_hundreds_of_prefixes_each_get_their_own(endpoint: ScorerEndpoint, model: Path) -> None:
    requests = [ask(*STEPS[: 1 + i % 3], f"{i} = {i}", problem=f"{i % 5}?") for i in range(200)]
    answers = score(endpoint, *requests)
    assert [len(rewards) for rewards in answers] == [2 + i % 3 for i in range(200)]
    for i in (0, 77, 199):
        expected = expect(model, *requests[i].steps, problem=f"{i % 5}?")
        assert answers[i] == pytest.approx(expected, abs=NEAR)


def test_a_step_token_that_a_text_brings_along_makes_no_step(endpoint: ScorerEndpoint) -> None:
    hostile = ask(f"4{STEP_TOKEN}4", f"{STEP_TOKEN}", problem=f"2?{STEP_TOKEN}{STEP_TOKEN}")
    (rewards,) = score(endpoint, hostile)
    assert len(rewards) == 2


def test_an_overlong_text_is_refused_alone(endpoint: ScorerEndpoint) -> None:
    long, *others = score(endpoint, ask("1 + " * 600), *[ask(f"{i}") for i in range(20)])
    assert isinstance(long, RequestRefused) and long.reason == "context_overflow"
    assert all(len(rewards) == 1 for rewards in others)


def test_texts_of_other_alphabets_are_scored(endpoint: ScorerEndpoint, model: Path) -> None:
    steps = ("ответ: четыре\n\n", "答案 \U0001f642 e\u0301")
    (rewards,) = score(endpoint, ask(*steps, problem="Сколько?"))
    assert rewards == pytest.approx(expect(model, *steps, problem="Сколько?"), abs=NEAR)


def test_the_identity_is_the_folders_content(endpoint: ScorerEndpoint) -> None:
    assert endpoint.identity.id == "prm"
    assert (endpoint.identity.revision or "").startswith("sha256:")
    assert endpoint.identity.engine.startswith("vllm-")


@pytest.mark.parametrize(
    ("layout", "path"), [("rlhflow", "/v1/completions"), ("outcome", "/classify")]
)
def test_this_server_given_for_another_layout_is_refused_by_name(
    endpoint: ScorerEndpoint, layout: Any, path: str
) -> None:
    assert endpoint.server is not None
    model = ModelSpec(id="some/model", revision="0" * 40)
    prm = PrmSpec(layout=layout, model=model, server=ServerSpec(url=endpoint.server.url))
    with pytest.raises(ConfigError, match=f"has no {path}"):
        with open_scorer(prm, base=Path(), log_dir=Path(), say=print):
            pass


def test_this_server_given_with_another_step_token_is_refused(endpoint: ScorerEndpoint) -> None:
    assert endpoint.server is not None
    model = ModelSpec(id="some/model", revision="0" * 40)
    prm = PrmSpec(model=model, server=ServerSpec(url=endpoint.server.url), step_tag="<|end|>")
    with pytest.raises(ConfigError, match="0 rewards for 2 steps"):
        with open_scorer(prm, base=Path(), log_dir=Path(), say=print):
            pass
