"""Which server scores: what is started, what is refused before the first request."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_prm import FakePrm

from butwait.pipelines.scoring.engine import ScorerEndpoint, add_flags, open_scorer
from butwait.pipelines.scoring.layouts import list_parameters
from butwait.schemas.errors import ConfigError, SamplerError
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec

CAUSAL = ("/v1/completions",)
SCORER = "./trainer/pocket/checkpoints/scorer"


def specify(layout: Any, url: str | None = None, **more: Any) -> PrmSpec:
    model = ModelSpec(id=more.pop("model", "fake/model"), revision="0" * 40)
    server = more.pop("server", ServerSpec(url=url))
    return PrmSpec(layout=layout, model=model, server=server, **more)


def attach(server: FakePrm, layout: Any, **more: Any) -> ScorerEndpoint:
    prm = specify(layout, server.url, **more)
    with open_scorer(prm, base=Path(), log_dir=Path(), say=lambda line: None) as endpoint:
        return endpoint


@pytest.mark.parametrize(
    ("layout", "tasks", "says"),
    [
        ("qwen", CAUSAL, "has no /pooling.*--runner pooling --pooler-config"),
        ("outcome", CAUSAL, "has no /classify.*--runner pooling"),
        ("rlhflow", ("/pooling",), "has no /v1/completions.*not --runner pooling"),
        ("math_shepherd", ("/pooling",), "has no /v1/completions"),
        ("likelihood", ("/pooling",), "has no /v1/completions"),
    ],
)
def test_a_server_of_another_task_is_named_before_any_work(
    layout: str, tasks: tuple[str, ...], says: str
) -> None:
    with FakePrm(tasks).running() as server:
        with pytest.raises(ConfigError, match=says):
            attach(server, layout)


def test_a_pooling_server_that_does_not_know_the_step_token_is_told_its_flags() -> None:
    with FakePrm(tag=None).running() as server:
        with pytest.raises(ConfigError, match=r'rewards for 2 steps.*"step_tag_id": <token id of'):
            attach(server, "qwen")
    with FakePrm(tag="<another>").running() as server:
        with pytest.raises(ConfigError, match="0 rewards for 2 steps"):
            attach(server, "qwen")


def test_a_server_that_refuses_the_task_is_quoted() -> None:
    with FakePrm().running() as server:
        server.faults.append("400")
        with pytest.raises(ConfigError, match=r"fault 400.*--runner pooling"):
            attach(server, "qwen")


def test_a_server_that_fails_is_no_mistake_of_the_recipe() -> None:
    with FakePrm().running() as server:
        server.faults.append("500")
        with pytest.raises(SamplerError, match="fault 500"):
            attach(server, "qwen")


def test_a_mark_that_is_not_one_token_is_named() -> None:
    with FakePrm(CAUSAL).running() as server:
        with pytest.raises(
            ConfigError, match=r"prm\.bad_mark 'not good' is 2 tokens of fake/model"
        ):
            attach(server, "rlhflow", bad_mark="not good")
        with pytest.raises(ConfigError, match="the same token"):
            attach(server, "math_shepherd", bad_mark="+")
        assert attach(server, "rlhflow").marks == (server._ids["+"], server._ids["-"])


def test_a_server_without_log_probabilities_of_named_tokens_is_refused() -> None:
    with FakePrm(CAUSAL).running() as server:
        server.spoil = lambda text, right: {"token_id:7": -0.5}
        with pytest.raises(ConfigError, match=r"marks .* are not in .*0\.32 or newer"):
            attach(server, "rlhflow")


def test_a_judge_whose_tokenizer_puts_blanks_between_pieces_is_refused() -> None:
    with FakePrm(CAUSAL).running() as server:
        server.puts_blanks = True
        with pytest.raises(ConfigError, match="needs a byte-level tokenizer"):
            attach(server, "likelihood")


def test_an_api_key_is_sent_with_every_look() -> None:
    with FakePrm(api_key="sesame").running() as server:
        prm = specify("qwen", server.url)
        with open_scorer(prm, base=Path(), log_dir=Path(), say=print, api_key="sesame") as endpoint:
            assert endpoint.server is not None
            assert "sesame" not in repr(endpoint)


def test_the_flags_of_a_layout_come_first_and_the_recipes_last(root: Path) -> None:
    server = ServerSpec(args=("--tensor-parallel-size", "2"))
    prm = specify("qwen", server=server, model=SCORER, step_tag="<|end|>")
    assert prm.model is not None
    assert add_flags(prm, prm.model, root).args == (
        "--runner",
        "pooling",
        "--pooler-config",
        '{"pooling_type": "STEP", "step_tag_id": 1}',
        "--tensor-parallel-size",
        "2",
    )
    outcome = specify("outcome", server=server)
    assert add_flags(outcome, prm.model, root).args[:2] == ("--runner", "pooling")
    assert add_flags(specify("rlhflow", server=server), prm.model, root).args == server.args


def test_a_pooler_of_the_recipe_is_left_alone(root: Path) -> None:
    server = ServerSpec(args=("--pooler-config.step_tag_id=5",))
    prm = specify("qwen", server=server, model="./nowhere")
    assert prm.model is not None
    assert add_flags(prm, prm.model, root).args == ("--runner", "pooling", *server.args)


def test_a_model_without_the_step_token_is_named(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"scorer' has no token '<extra_0>': give prm\.step_tag"):
        with open_scorer(specify("qwen", model=SCORER), base=root, log_dir=root, say=print):
            pass


def test_without_vllm_there_is_a_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = importlib.util.find_spec
    missing: Callable[..., Any] = lambda name, *more: None if name == "vllm" else found(name, *more)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", missing)
    for mode in ("auto", "managed"):
        prm = specify("qwen", server=ServerSpec(mode=mode))
        with pytest.raises(ConfigError, match=r"not installed.*prm\.server\.url.*self_certainty"):
            with open_scorer(prm, base=tmp_path, log_dir=tmp_path, say=print):
                pass
    own = PrmSpec(layout="self_certainty")
    with open_scorer(own, base=tmp_path, log_dir=tmp_path, say=print) as endpoint:
        assert endpoint.server is None and endpoint.identity.id == "self_certainty"


def test_there_is_no_transformers_engine_for_reward_models(tmp_path: Path) -> None:
    prm = specify("rlhflow", server=ServerSpec(mode="transformers"))
    with pytest.raises(ConfigError, match="no transformers engine for reward models"):
        with open_scorer(prm, base=tmp_path, log_dir=tmp_path, say=print):
            pass


def test_only_what_a_layout_reads_is_among_its_parameters() -> None:
    assert list_parameters(specify("likelihood")) == {"layout": "likelihood", "statistic": "worst"}
    assert list_parameters(specify("qwen"))["step_tag"] == "<extra_0>"
    assert list_parameters(specify("math_shepherd", step_tag="@"))["step_tag"] == "@"
    assert list_parameters(specify("qwen", system=""))["system"] is None
