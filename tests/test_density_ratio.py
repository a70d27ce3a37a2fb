"""Density ratios (Dr. SoW): two models' log-probabilities, exactly, and pairs of best and worst."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_prm import FakePrm
from handmade import make_question
from handmade_trees import RIGHT_END, WRONG_END, make_tree, make_tree_group, node
from hypothesis import given
from hypothesis import strategies as st
from scoring_requests import STEPS, ask, score

from butwait.pipelines.scoring.cached import score_key
from butwait.pipelines.scoring.engine import ScorerEndpoint, open_scorer
from butwait.schemas.errors import ConfigError, RequestRefused
from butwait.schemas.recipe_rows import PreferenceSpec
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec
from butwait.schemas.sampling import ModelIdentity
from butwait.transforms.density import read_log_ratio, squash_ratio
from butwait.transforms.preference import preference

CAUSAL = ("/v1/completions",)
CHECKPOINTS = Path(__file__).resolve().parents[1] / "trainer" / "pocket" / "checkpoints"


class ModelServer(FakePrm):
    """The fake server with a pocket model's own tokens and log-probabilities.

    Args:
        name: Checkpoint (``scorer`` or ``policy``).
    """

    def __init__(self, name: str) -> None:
        import torch
        from transformers import AutoTokenizer, LlamaForCausalLM

        super().__init__(CAUSAL, model=name)
        self.tokenizer = AutoTokenizer.from_pretrained(CHECKPOINTS / name)
        self._model = LlamaForCausalLM.from_pretrained(CHECKPOINTS / name, dtype=torch.float32)
        self._pieces = [self.tokenizer.decode([i]) for i in range(len(self.tokenizer))]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def read(self, ids: list[int]) -> list[float]:
        """Log-probabilities of all tokens but the first, by transformers."""
        import torch

        with torch.no_grad():
            found = self._model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return [float(found[k, token]) for k, token in enumerate(ids[1:])]

    def _complete_one(self, i: int, text: str, payload: dict[str, Any]) -> dict[str, Any]:
        ids = payload["prompt"][i]
        rows = [{str(t): {"logprob": x}} for t, x in zip(ids[1:], self.read(ids), strict=True)]
        return {"index": i, "text": "x", "prompt_logprobs": [None, *rows]}


class OtherFake(FakePrm):
    """A fake that finds everything a little less likely."""

    def find_log_prob(self, position: int, token: int) -> float:
        return super().find_log_prob(position, token) - 0.25


@contextmanager
def opened(strong: FakePrm, weak: FakePrm, **more: Any) -> Iterator[ScorerEndpoint]:
    """Attach to two running servers."""
    strong.model, weak.model = "fake/strong", "fake/weak"
    with strong.running(), weak.running():
        prm = PrmSpec(
            layout="density_ratio",
            model=ModelSpec(id="fake/strong", revision="1" * 40),
            server=ServerSpec(url=strong.url, n_retries=0),
            weak=ModelSpec(id="fake/weak", revision="2" * 40),
            weak_server=ServerSpec(url=weak.url, n_retries=0),
            **more,
        )
        with open_scorer(prm, base=Path(), log_dir=Path(), say=lambda line: None) as endpoint:
            strong.payloads.clear()
            yield endpoint


def test_the_reward_is_the_difference_of_the_two_models_log_probabilities() -> None:
    with opened(FakePrm(CAUSAL), OtherFake(CAUSAL)) as endpoint:
        (rewards,) = score(endpoint, ask(*STEPS))
        n_tokens = [len(FakePrm().cut(step)) for step in STEPS]
    assert [read_log_ratio(r) for r in rewards] == pytest.approx([0.25 * n for n in n_tokens])


def test_by_the_token_a_long_text_is_worth_no_more_than_a_short_one() -> None:
    with opened(FakePrm(CAUSAL), OtherFake(CAUSAL), statistic="mean") as endpoint:
        (rewards,) = score(endpoint, ask("4", "4 and " * 30))
    assert [read_log_ratio(r) for r in rewards] == pytest.approx([0.25, 0.25])


@pytest.mark.parametrize("statistic", ["sum", "mean"])
def test_pocket_models_give_the_ratios_that_transformers_gives(statistic: str) -> None:
    strong, weak = ModelServer("scorer"), ModelServer("policy")
    text = "Step 1: 2 + 2 = 4\n\nAnswer: \\boxed{4}"
    with opened(strong, weak, statistic=statistic) as endpoint:
        (rewards,) = score(endpoint, ask(text))
    said = [{"role": "user", "content": "2 + 2? Think."}]
    head = strong.tokenizer.apply_chat_template(said, add_generation_prompt=True, return_dict=False)
    ids = [*head, *strong.tokenizer.encode(text)]
    n = len(ids) - len(head)
    ratio = math.fsum(strong.read(ids)[-n:]) - math.fsum(weak.read(ids)[-n:])
    expected = ratio if statistic == "sum" else ratio / n
    assert [read_log_ratio(r) for r in rewards] == pytest.approx([expected], rel=1e-4, abs=1e-5)
    assert abs(expected) > 1e-3


def test_one_model_that_refuses_a_text_costs_this_text_alone() -> None:
    weak = OtherFake(CAUSAL)
    with opened(FakePrm(CAUSAL), weak) as endpoint:
        weak.spoil = lambda text, rows: [*rows[:-1], None] if "poison" in text else rows
        bad, good = score(endpoint, ask("poison"), ask("4"))
    assert isinstance(bad, RequestRefused) and bad.reason == "bad_score"
    assert len(good) == 1


def test_both_models_are_named_and_part_of_the_key() -> None:
    with opened(FakePrm(CAUSAL), OtherFake(CAUSAL)) as endpoint:
        assert endpoint.identity.id == "fake/strong over fake/weak"
        assert endpoint.identity.revision == f"{'1' * 40} over {'2' * 40}"
        other = ModelIdentity(**{**endpoint.identity.model_dump(), "revision": "x over y"})
        keys = {
            score_key(identity, endpoint.prm, request)
            for identity in (endpoint.identity, other)
            for request in (ask("4"), ask("4", messages=None, prompt="2?"))
        }
    assert len(keys) == 4


def test_a_server_of_another_task_is_refused_before_the_first_request() -> None:
    with pytest.raises(ConfigError, match="has no /v1/completions, which prm layout 'density_"):
        with opened(FakePrm(CAUSAL), FakePrm(("/pooling",))):
            pass


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"weak": None}, "needs 'weak'"),
        ({"layout": "likelihood"}, "takes no 'weak'"),
        ({"statistic": "worst"}, "statistic 'sum' or 'mean'"),
        ({"aggregation": "prod"}, "aggregation 'model'"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(more: dict[str, Any], said: str) -> None:
    known = {"layout": "density_ratio", "model": {"id": "a"}, "weak": {"id": "b"}}
    assert PrmSpec.model_validate(known).statistic == "sum"
    with pytest.raises(ValueError, match=said):
        PrmSpec.model_validate({**known, **more})


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=2))
def test_log_ratios_of_any_size_keep_their_order_and_come_back(ratios: list[float]) -> None:
    low, high = sorted(ratios)
    assert 0.0 < squash_ratio(low) <= squash_ratio(high) < 1.0
    assert squash_ratio(low) < squash_ratio(high) or high - low < 1e-6
    assert read_log_ratio(squash_ratio(low)) == pytest.approx(low, rel=1e-6, abs=1e-6)


def test_best_and_worst_of_a_questions_samples_are_paired_whatever_the_verifier_says() -> None:
    ratios = [120.0, 150.0, -3.0, 140.0]
    verdicts = ["correct", "incorrect", "incorrect", "correct"]
    ends = {"correct": RIGHT_END, "incorrect": WRONG_END}
    nodes = [
        node(None, f"Sample {i}. {ends[verdict]}", verdict, squash_ratio(ratio))
        for i, (ratio, verdict) in enumerate(zip(ratios, verdicts, strict=True))
    ]
    group = make_tree_group(make_tree(nodes, method="best_of_n"))

    def pair(**more: Any) -> tuple[int, int]:
        spec = PreferenceSpec(transform="preference", by="prm", margin=1e-6, **more)
        (made,) = preference(make_question(), group, spec, 0).pairs
        return made.chosen.parent.node.id, made.rejected.parent.node.id

    assert pair(chosen="any") == (1, 2)
    assert pair() == (3, 2)  # the best of the right ones
    with pytest.raises(ValueError, match="chosen 'any' belongs to"):
        PreferenceSpec(transform="preference", chosen="any")
