"""Pushing a trained model through the real client and a test Hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub.fixture import ClientRunner
from hub.server import HubServer
from hub.state import ALICE_WRITE
from train_world import POLICY, write_rows

from butwait.pipelines.publish import PushOptions
from butwait.pipelines.publish_model import push_model
from butwait.schemas.errors import ConfigError, HubError

REPO = "alice/small"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished training run."""
    run = tmp_path / "sums"
    shutil.copytree(POLICY, run / "final")
    (run / "final" / "README.md").write_text(
        "---\nlibrary_name: transformers\ntags: [butwait]\n---\n# sums\n", "utf-8"
    )
    (run / "checkpoints" / "samples_8").mkdir(parents=True)
    (run / "manifest.json").write_text(json.dumps({"status": "finished"}), "utf-8")
    return run


def push(hub: HubServer, run: Path, **more: Any) -> Any:
    options = {"token": ALICE_WRITE, "endpoint": hub.endpoint, "progress": lambda _: None, **more}
    return push_model(run, REPO, **options)


def test_a_finished_run_becomes_one_private_commit_and_a_second_push_sends_nothing(
    hub: HubServer, run: Path, hub_api: Any
) -> None:
    result = push(hub, run)
    repo = hub.repo(REPO, "models")
    held = hub_api(ALICE_WRITE).list_repo_files(REPO)
    assert set(held) - {".gitattributes"} == {path.name for path in (run / "final").iterdir()}
    assert repo.private and result.private and result.files_sent == len(held) - 1
    assert result.url == f"{hub.endpoint}/{REPO}/tree/{result.revision}"
    again = push(hub, run)
    assert (again.files_sent, again.revision) == (0, result.revision)


def test_weights_of_an_older_push_go_and_strangers_files_stay(
    hub: HubServer, run: Path, hub_api: Any
) -> None:
    push(hub, run)
    api = hub_api(ALICE_WRITE)
    for name in ("model-00001-of-00002.safetensors", "notes.txt"):
        api.upload_file(path_or_fileobj=b"old", path_in_repo=name, repo_id=REPO)
    result = push(hub, run)
    held = api.list_repo_files(REPO)
    assert result.files_deleted == 1
    assert "notes.txt" in held and "model-00001-of-00002.safetensors" not in held


def test_transformers_loads_what_was_pushed(
    hub: HubServer, run: Path, hub_api: Any, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    result = push(hub, run)
    folder = hub_api(ALICE_WRITE).snapshot_download(
        REPO, revision=result.revision, local_dir=tmp_path / "back"
    )
    assert AutoModelForCausalLM.from_pretrained(folder).num_parameters() == 656_256


def test_the_card_of_a_trained_model_names_its_repository_data_and_evaluation(
    hub: HubServer, run: Path, hub_api: Any, tmp_path: Path
) -> None:
    from butwait.schemas.recipe_train import SftRecipe
    from butwait.trainer.card import renew_evaluation, write_card
    from butwait.trainer.folder import TrainFolder
    from butwait.trainer.rows import read_rows

    rows = [
        {
            "messages": [{"role": "user", "content": "1"}],
            "provenance": {"licence": name, "r1_derived": is_r1},
        }
        for name, is_r1 in (("mit", False), ("apache-2.0", True))
    ]
    write_rows(tmp_path / "a`|<b>.jsonl", rows)
    recipe = SftRecipe.model_validate(
        {
            "name": "sums",
            "model": {"id": str(POLICY)},
            "data": {"path": str(tmp_path / "a`|<b>.jsonl")},
        }
    )
    origin = read_rows(recipe.data, tmp_path, ("messages",)).origin
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")), "utf-8")
    manifest = {"kind": "sft", "steps": 3, "samples": 24, "data": origin, "versions": {"trl": "1"}}
    write_card(TrainFolder(run), recipe, manifest)
    evaluation = [{"name": "pass@1 | <i>`x`", "value": 0.5, "low": 0.4, "high": 0.6}]
    (run / "evaluation.json").write_text(json.dumps(evaluation), "utf-8")
    renew_evaluation(run)
    push(hub, run)
    path = hub_api(ALICE_WRITE).hf_hub_download(REPO, "README.md", local_dir=tmp_path / "back")
    card = Path(path).read_text("utf-8")
    assert f'pipeline("text-generation", "{REPO}")' in card and "OWNER/NAME" not in card
    assert "- licences of the rows: `apache-2.0, mit`" in card
    assert "- derived from DeepSeek-R1: yes" in card and "- r1-derived\n" in card
    assert "| `pass@1 / <i>'x'` | 0.5 | [0.4, 0.6] |" in card and "None yet" not in card
    assert "seed 42" in card and "Known limits" in card
    assert str(tmp_path) not in card and str(POLICY.parent) not in card
    renew_evaluation(run)
    assert (run / "final" / "README.md").read_text("utf-8").count("## Evaluation") == 1
    (run / "evaluation.json").write_text("{}]", "utf-8")
    with pytest.raises(ConfigError, match=r"evaluation.json is not a list of records"):
        renew_evaluation(run)


@pytest.mark.slow
def test_the_loading_snippet_of_a_models_card_runs(
    hub: HubServer, run: Path, hub_api: Any, run_client: ClientRunner
) -> None:
    from butwait.trainer.card import _explain_loading

    snippet = "\n".join(_explain_loading("sft"))
    (run / "final" / "README.md").write_text(f"---\ntags: [butwait]\n---\n{snippet}", "utf-8")
    push(hub, run)
    path = hub_api(ALICE_WRITE).hf_hub_download(REPO, "README.md", local_dir=run / "back")
    code = Path(path).read_text("utf-8").split("```python\n")[1].split("```")[0]
    assert REPO in code
    assert run_client(code.replace("512", "8")).returncode == 0


def test_a_model_that_butwait_did_not_make_is_not_overwritten(
    hub: HubServer, run: Path, hub_api: Any
) -> None:
    api = hub_api(ALICE_WRITE)
    api.create_repo(REPO)
    api.upload_file(
        path_or_fileobj=b"---\ntags: [mine]\n---\n# mine\n", path_in_repo="README.md", repo_id=REPO
    )
    with pytest.raises(HubError, match=f"{REPO} exists and was not made by butwait.*--replace"):
        push(hub, run)
    assert api.list_repo_files(REPO) == [".gitattributes", "README.md"]
    result = push(hub, run, options=PushOptions(replace=True, tag="v1"))
    assert "model.safetensors" in api.list_repo_files(REPO, revision="v1")
    assert hub.repo(REPO, "models").tags == {"v1": result.revision}


@pytest.mark.parametrize("status", ["running", None])
def test_an_unfinished_run_is_refused(hub: HubServer, run: Path, status: str | None) -> None:
    (run / "manifest.json").write_text(json.dumps({"status": status}), "utf-8")
    with pytest.raises(ConfigError, match="is not finished: run its `butwait train` command"):
        push(hub, run)


def test_a_repository_of_somebody_else_is_refused(hub: HubServer, run: Path) -> None:
    with pytest.raises(HubError, match="belongs to 'bob'"):
        push_model(
            run, "bob/small", token=ALICE_WRITE, endpoint=hub.endpoint, progress=lambda _: None
        )
