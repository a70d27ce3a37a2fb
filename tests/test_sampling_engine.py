"""Which engine a recipe gets, and whose weights they are."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_openai import FakeOpenAI

from butwait.pipelines.sampling import engine
from butwait.pipelines.sampling.engine import choose_engine, make_sampler, open_sampler
from butwait.pipelines.sampling.identity import resolve_model
from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec
from butwait.schemas.record import Message
from butwait.schemas.sampling import SampleRequest, SamplingParameters


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that packages are not installed."""

    def hide(*names: str) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(
            engine.importlib.util, "find_spec", lambda name: None if name in names else find(name)
        )

    return hide


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like a model."""
    model = tmp_path / "deep" / "recipes" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "tokenizer.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    return model


def test_auto_takes_a_url_then_vllm_then_transformers(without: Callable[..., None]) -> None:
    assert choose_engine(ServerSpec(url="http://gpu7:8000")).engine == "attach"
    if importlib.util.find_spec("vllm"):
        assert choose_engine(ServerSpec()).engine == "vllm-managed"
    without("vllm")
    assert choose_engine(ServerSpec()) == ("transformers", "vLLM is not installed")
    assert choose_engine(ServerSpec(mode="transformers")).engine == "transformers"
    with pytest.raises(ConfigError, match=r"needs vLLM, which is not installed.*server\.url"):
        choose_engine(ServerSpec(mode="managed"))
    without("vllm", "torch")
    with pytest.raises(ConfigError, match="no engine"):
        choose_engine(ServerSpec())


def test_an_attached_server_is_an_address_that_travels_to_workers(tmp_path: Path) -> None:
    said: list[str] = []
    with FakeOpenAI(api_key="sesame").running() as server:
        with open_sampler(
            ModelSpec(id="fake/model", revision="abc"),
            ServerSpec(url=f"{server.url}/v1", max_in_flight=3),
            base=tmp_path,
            log_dir=tmp_path,
            say=said.append,
            api_key="sesame",
        ) as endpoint:
            assert "sesame" not in repr(endpoint)
            travelled = pickle.loads(pickle.dumps(endpoint))
            completions = asyncio.run(sample_once(travelled))
    assert travelled.identity.model_dump() == {
        "id": "fake/model",
        "revision": "abc",
        "engine": "vllm-0.0-fake",
    }
    assert len(completions) == 2 and said[0].startswith("engine: attach (")


async def sample_once(endpoint: engine.Endpoint) -> list[Any]:
    sampler = make_sampler(endpoint)
    parameters = SamplingParameters(temperature=1.0, top_p=1.0, max_tokens=50)
    request = SampleRequest(
        question_id="q",
        step="sample",
        messages=(Message(role="user", content="1 + 1?"),),
        prompt=None,
        n=2,
        seed=1,
        parameters=parameters,
    )
    try:
        return list(await sampler.sample(request))
    finally:
        await sampler.close()


def test_another_model_than_the_recipes_is_not_sampled(tmp_path: Path) -> None:
    with FakeOpenAI().running() as server, pytest.raises(ConfigError, match="'fake/model'"):
        with open_sampler(
            ModelSpec(id="good/model"),
            ServerSpec(url=server.url),
            base=tmp_path,
            log_dir=tmp_path,
            say=print,
        ):
            pass


def test_a_folder_is_named_without_the_machines_path(folder: Path) -> None:
    recipes = folder.parent
    inside = resolve_model(ModelSpec(id="./model"), recipes)
    assert (inside.id, inside.location) == ("model", str(folder))
    outside = resolve_model(ModelSpec(id=str(folder)), recipes / "elsewhere")
    assert outside.id == "recipes/model"
    assert inside.revision == outside.revision
    assert inside.n_weight_bytes == 7


def test_a_revision_follows_what_decides_the_samples_and_nothing_else(folder: Path) -> None:
    def hash_now() -> str | None:
        return resolve_model(ModelSpec(id="./model"), folder.parent).revision

    before = hash_now()
    (folder / "README.md").write_text("a card")
    (folder / "training.json").write_text("{}")
    assert hash_now() == before
    (folder / "model.safetensors").write_bytes(b"Weights")
    changed = hash_now()
    assert changed != before
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert len({before, changed, hash_now()}) == 3


def test_a_missing_or_empty_folder_is_one_line_that_shows_it(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'\./modle': there is no folder"):
        resolve_model(ModelSpec(id="./modle"), folder.parent)
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        resolve_model(ModelSpec(id=str(tmp_path)), tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="has no weights"):
        resolve_model(ModelSpec(id="./model"), folder.parent)


@pytest.fixture
def offline_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty Hub cache of a machine that cannot reach the Hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def keep_in_cache(cache: Path, commit: str, ref: str) -> None:
    """Lay a model into a Hub cache as a download does."""
    repo = cache / "models--some--model"
    (repo / "snapshots" / commit).mkdir(parents=True)
    (repo / "snapshots" / commit / "config.json").write_text("{}")
    (repo / "refs").mkdir(exist_ok=True)
    (repo / "refs" / ref).write_text(commit)


def test_a_hub_model_without_a_network_keeps_the_revision_that_was_given(
    offline_cache: Path,
) -> None:
    model = resolve_model(ModelSpec(id="some/model", revision="abc"), Path())
    assert (model.location, model.revision, model.is_local) == ("some/model", "abc", False)


def test_without_a_network_a_cached_model_is_the_commit_that_was_downloaded(
    offline_cache: Path,
) -> None:
    keep_in_cache(offline_cache, "a" * 40, "main")
    keep_in_cache(offline_cache, "b" * 40, "v2")

    def pin(revision: str | None) -> str | None:
        return resolve_model(ModelSpec(id="some/model", revision=revision), Path()).revision

    assert [pin(None), pin("main"), pin("v2")] == ["a" * 40, "a" * 40, "b" * 40]
    assert [pin("c" * 40), pin("v3")] == ["c" * 40, "v3"]


def test_without_a_network_a_model_nobody_pinned_stops_the_build_in_one_line(
    offline_cache: Path,
) -> None:
    with pytest.raises(ConfigError, match=r"does not answer.*revision.*pin one, or try") as caught:
        resolve_model(ModelSpec(id="some/model"), Path())
    assert "'some/model'" in str(caught.value) and "\n" not in str(caught.value)


def test_an_attached_model_of_which_nothing_is_known_has_no_revision(offline_cache: Path) -> None:
    spec = ModelSpec(id="some/model")
    assert resolve_model(spec, Path(), is_attached=True).revision is None
    keep_in_cache(offline_cache, "a" * 40, "main")
    assert resolve_model(spec, Path(), is_attached=True).revision == "a" * 40


@pytest.mark.skipif(not importlib.util.find_spec("vllm"), reason="vLLM is not installed")
@pytest.mark.parametrize(
    "server",
    [
        ServerSpec(args=("--api-key", "sesame")),
        ServerSpec(args=("--api_key=sesame",)),
        ServerSpec(env={"VLLM_API_KEY": "sesame"}),
    ],
)
def test_a_key_for_a_managed_server_is_refused_and_not_shown(server: ServerSpec) -> None:
    with pytest.raises(ConfigError, match=r"needs no key") as caught:
        choose_engine(server)
    assert "sesame" not in str(caught.value)
    assert choose_engine(ServerSpec(args=("--seed", "1"))).engine == "vllm-managed"


def test_an_endpoint_of_transformers_knows_its_weights_without_loading_them(folder: Path) -> None:
    spec = ServerSpec(mode="transformers")
    with open_sampler(
        ModelSpec(id="./model"), spec, base=folder.parent, log_dir=folder, say=print
    ) as endpoint:
        assert endpoint.kind == "transformers" and endpoint.folder == str(folder)
        assert endpoint.hub_revision is None
        assert endpoint.identity.engine.startswith("transformers-")
        assert json.loads(endpoint.model_dump_json())["identity"]["id"] == "model"
