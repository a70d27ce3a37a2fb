"""The main job with real vLLM: the quickstart's recipe, pushed to a Hub and loaded back equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub.server import HubServer

from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.sampling.engine import Endpoint
from butwait.pipelines.summary import read_ledger
from butwait.pipelines.tables import read_records
from butwait.schemas.row import SftRow
from butwait.schemas.trajectory import Trajectory
from butwait.transforms.verify import verify
from tests.build_world import build

N = 48


def quickstart(root: Path, endpoint: Endpoint) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((root / "recipes" / "quickstart.yaml").read_text())
    document["server"] = {
        "mode": "attach",
        "url": endpoint.url,
        "served_name": endpoint.served_name,
    }
    document["sources"][0]["path"] = str(root / "pipelines" / "pocket" / "data" / "train.jsonl")
    document["model"]["id"] = str(root / "trainer" / "pocket" / "checkpoints" / "policy")
    document["limit"] = N
    return document


@pytest.fixture(scope="module")
def run(root: Path, pocket_server: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return build(tmp_path_factory.mktemp("quickstart"), quickstart(root, pocket_server))


@pytest.mark.vllm
def test_the_quickstart_keeps_right_answers_of_a_model_that_is_often_wrong(run: RunFolder) -> None:
    ledger = read_ledger(run.root)
    ledger.check()
    assert ledger.questions.total == N
    assert ledger.samples.total == 8 * N
    share = ledger.samples.bins["correct"] / ledger.samples.total
    assert 0.2 < share < 0.6, "the pocket policy's window, with room for 48 questions"
    assert all(account.bins["written"] > 0 for account in ledger.rows.values())


@pytest.mark.vllm
def test_every_published_text_ends_with_its_label(run: RunFolder) -> None:
    names = ("default", "stitch", "but_wait", "limo")
    rows = [r for name in names for p in run.row_shards(name) for r in read_records(p, SftRow)]
    assert len(rows) > N
    for row in rows:
        assert verify(row.answer, row.completion[0].content).correct


@pytest.mark.vllm
def test_samples_of_a_question_differ_and_no_two_questions_share_a_seed(run: RunFolder) -> None:
    trajectories = [t for p in run.trajectory_parts() for t in read_records(p, Trajectory)]
    samples = [t for t in trajectories if t.kind == "sample"]
    seeds = [t.seed for t in samples]
    assert len(set(seeds)) == len(seeds) == 8 * N
    texts: dict[str, set[str]] = {}
    for trajectory in samples:
        texts.setdefault(trajectory.question_id, set()).add(trajectory.text)
    assert sum(len(found) > 1 for found in texts.values()) > 0.8 * N


@pytest.mark.vllm
def test_the_same_cache_gives_the_same_bytes_without_a_model(
    run: RunFolder, root: Path, pocket_server: Endpoint
) -> None:
    document = quickstart(root, pocket_server)
    # Nothing answers there: whatever is not cached would fail.
    document["server"]["url"] = "http://127.0.0.1:9"
    again = build(run.root.parents[1], document, out="again")
    for name in read_ledger(run.root).rows:
        pairs = zip(run.row_shards(name), again.row_shards(name), strict=True)
        assert all(a.read_bytes() == b.read_bytes() for a, b in pairs)


@pytest.mark.vllm
def test_the_dataset_is_pushed_privately_and_loads_back_equal(
    run: RunFolder, hub: HubServer, push: Any, run_client: Any
) -> None:
    result = push(run.root, "alice/pocket")
    assert result.private
    assert hub.n_commits("alice/pocket") == 1
    code = """
        import json
        from datasets import get_dataset_config_names, load_dataset
        names = get_dataset_config_names("alice/pocket")
        sets = {n: load_dataset("alice/pocket", n, split="train") for n in names}
        streamed = next(iter(load_dataset("alice/pocket", split="train", streaming=True)))
        print(json.dumps({
            "rows": {n: len(d) for n, d in sets.items()},
            "first": streamed["messages"][-1]["content"],
            "columns": sets["default"].column_names,
        }))
    """
    loaded = json.loads(run_client(code).stdout.strip().splitlines()[-1])
    written = {n: a.bins["written"] for n, a in read_ledger(run.root).rows.items()}
    assert loaded["rows"] == written
    assert loaded["columns"] == list(SftRow.model_fields)
    first = next(read_records(run.row_shards("default")[0], SftRow))
    assert loaded["first"] == first.completion[0].content


@pytest.mark.vllm
def test_trl_takes_the_rows_as_they_are_and_masks_the_prompt(run: RunFolder, root: Path) -> None:
    from datasets import Dataset
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        root / "trainer" / "pocket" / "checkpoints" / "policy"
    )
    shard = str(run.row_shards("default")[0])
    row = Dataset.from_parquet(shard, cache_dir=str(run.root / "hf"))[0]
    prompt = tokenizer.apply_chat_template(
        row["prompt"], tokenize=False, add_generation_prompt=True
    )
    whole = tokenizer.apply_chat_template(row["messages"], tokenize=False)
    assert whole.startswith(prompt), "the prompt is a prefix of the conversation"
    assert row["completion"][0]["content"] in whole[len(prompt) :]
