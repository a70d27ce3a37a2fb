"""Direct evolution: where twins are cut, how they begin, and what they are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from grpo_world import POLICY, build_trainer, read_lines, roll_out, train
from hypothesis import given
from hypothesis import strategies as st

from butwait.schemas.recipe_grpo import EvolutionSpec
from butwait.trainer.evolution import Evolver, find_cuts, make_evolver, make_twins

pytestmark = pytest.mark.filterwarnings("ignore")  # of TRL, vLLM and torch about one another

PHRASES = ("Wait! ", "Hold on! I made a mistake.")
END = 1
LONGEST = 40


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(POLICY)


@pytest.fixture(scope="module")
def evolver(tokenizer: Any) -> Evolver:
    return make_evolver(EvolutionSpec(phrases=PHRASES), tokenizer, {END}, seed=7)


def encode(tokenizer: Any, text: str) -> list[int]:
    return [*tokenizer(text, add_special_tokens=False)["input_ids"], END]


def test_a_twin_keeps_sampled_tokens_up_to_a_blank_line_and_then_says_a_phrase(
    tokenizer: Any, evolver: Evolver
) -> None:
    text = "Step 1: 2 + 2 = 4\n\nStep 2: 4 * 2 = 8\n\nAnswer: \\boxed{8}"
    ids = encode(tokenizer, text)
    begun = set()
    for step in range(40):
        (twin,) = make_twins([ids], evolver, (step, 0), 64)
        assert twin.kept == ids[: len(twin.kept)]
        said = tokenizer.decode(twin.head)
        prefix = next(said.removesuffix(phrase) for phrase in PHRASES if said.endswith(phrase))
        assert text.startswith(prefix) and prefix.endswith("\n\n")
        begun.add(said)
    steps = ("Step 1: 2 + 2 = 4\n\n", "Step 1: 2 + 2 = 4\n\nStep 2: 4 * 2 = 8\n\n")
    assert begun == {step + phrase for step in steps for phrase in PHRASES}


def test_the_same_seed_and_step_make_the_same_twins(tokenizer: Any, evolver: Evolver) -> None:
    rollouts = [encode(tokenizer, f"a\n\nb\n\nc\n\n{n}") for n in range(8)]
    first, again, later = (
        make_twins(rollouts, evolver, place, 64) for place in ((3, 0), (3, 0), (4, 0))
    )
    assert first == again and first != later


def test_without_a_blank_line_a_newline_will_do_and_without_that_the_whole_rollout(
    tokenizer: Any, evolver: Evolver
) -> None:
    lined, plain = (encode(tokenizer, text) for text in ("one\ntwo", "Answer: \\boxed{4}"))
    twins = make_twins([lined, plain], evolver, (0, 0), 64)
    assert tokenizer.decode(twins[0].kept) == "one\n"
    assert tokenizer.decode(twins[1].kept) == "Answer: \\boxed{4}"
    assert tokenizer.decode(twins[1].head).startswith("Answer: \\boxed{4}\n\n")


def test_a_rollout_too_long_to_go_on_from_begins_anew_with_the_phrase(
    tokenizer: Any, evolver: Evolver
) -> None:
    (twin,) = make_twins([encode(tokenizer, "x" * 50)[:-1]], evolver, (0, 0), 50)
    assert twin.kept == [] and tokenizer.decode(twin.head) in PHRASES and twin.room >= 1


@given(st.lists(st.sampled_from(["a", "\n", "\n\n", ".\n\n", "b\nc", "\n \n"]), max_size=12))
def test_every_cut_lies_behind_a_line_that_ends_there(pieces: list[str]) -> None:
    for kind in ("blank_line", "newline"):
        cuts = find_cuts(pieces, kind, room=9)
        texts = ["".join(pieces[:n]) for n in cuts]
        assert all(0 < n <= 9 for n in cuts) and cuts == sorted(set(cuts))
        assert all(text.endswith("\n") for text in texts)
        blank = [n for n in range(1, len(pieces) + 1) if "".join(pieces[:n]).endswith("\n\n")]
        if kind == "blank_line" and [n for n in blank if n <= 9]:
            assert cuts == [n for n in blank if n <= 9]


@given(st.integers(1, 30), st.integers(2, 40), st.integers(0, 5))
def test_a_twin_always_has_room_for_a_token_and_is_never_too_long(
    n: int, longest: int, seed: int
) -> None:
    made = Evolver(((5, 6, 7),), (8,), "blank_line", True, frozenset({END}), one_line, seed)
    (twin,) = make_twins([[9] * n], made, (0, 0), longest)
    whole = twin.join([3] * longest)
    assert twin.room >= 1 and len(whole) == longest
    assert twin.mask(len(whole)).count(0) == len(twin.inserted)
    known = twin.join_logps([-1.0] * n, [-2.0] * longest)
    assert len(known) == longest and known.count(None) == len(twin.inserted)


def one_line(ids: Any) -> list[str]:
    return ["a" for _ in ids]


def evolve(folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> tuple[Any, Any, Any]:
    """One step's rollouts with twins; the trainer, what it saw, and what it was given."""
    given: dict[str, Any] = {}
    changes = {"rewards": {"length": 1.0, "truncated": 0.0}, "max_completion_length": LONGEST}
    evolution = {"phrases": list(PHRASES), **more}
    trainer = build_trainer(folder, evolution=evolution, **changes)
    rewards = trainer._calculate_rewards

    def keep(*arguments: Any) -> Any:
        given["rewards"] = rewards(*arguments)
        return given["rewards"]

    monkeypatch.setattr(trainer, "_calculate_rewards", keep)
    return trainer, roll_out(trainer), given


def test_advantages_are_those_of_first_rollouts_and_twins_together(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two questions, four rollouts each, and their twins: groups of eight, by hand."""
    trainer, batch, given = evolve(tmp_path, monkeypatch)
    assert trainer.num_generations == 8 and len(batch["advantages"]) == 16
    total = (given["rewards"] * torch.tensor([1.0, 1.0])).sum(dim=1).view(2, 8)
    mean, std = total.mean(dim=1, keepdim=True), total.std(dim=1, keepdim=True)
    assert bool((std > 0).all()), "rewards that are all equal show nothing"
    wanted = ((total - mean) / (std + 1e-4)).flatten()
    assert batch["advantages"].tolist() == pytest.approx(wanted.tolist(), abs=1e-5)
    rows = batch["rows"].view(2, 8)
    assert bool((rows == rows[:, :1]).all()) and len(set(rows[:, 0].tolist())) == 2
    metrics = trainer._metrics["train"]
    first, twin = total.view(-1, 2).mean(dim=0).tolist()
    assert metrics["evolution/reward_first"] == [pytest.approx(first)]
    assert metrics["evolution/reward_twin"] == [pytest.approx(twin)]


@pytest.mark.parametrize("masked", [False, True])
def test_sampled_twins_begin_with_the_cut_rollout_and_the_phrase(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, masked: bool
) -> None:
    _, batch, _ = evolve(tmp_path, monkeypatch, mask_inserted=masked)
    seen = 0
    for i in range(0, 16, 2):
        first, twin = (
            batch["completion_ids"][k][batch["completion_mask"][k].bool()].tolist()
            for k in (i, i + 1)
        )
        said = tokenizer.decode(twin)
        heads = [
            (n, phrase)
            for n in range(len(first) + 1)
            for phrase in PHRASES
            for gap in ("", "\n\n")
            if said.startswith(tokenizer.decode(first[:n]) + gap + phrase) and twin[:n] == first[:n]
        ]
        assert heads and len(twin) <= LONGEST
        seen += 1
        if not masked:
            continue
        mask = batch["tool_mask"][i + 1][: len(twin)].tolist()
        inserted = [token for token, own in zip(twin, mask, strict=True) if not own]
        assert tokenizer.decode(inserted).lstrip("\n") in PHRASES
        assert 0 not in batch["tool_mask"][i].tolist()
        kept = mask.index(0)
        assert twin[:kept] == first[:kept]
    assert seen == 8
    assert ("tool_mask" in batch) == masked


def test_a_masked_phrase_is_not_in_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, batch, _ = evolve(tmp_path, monkeypatch, mask_inserted=True)
    trainer.current_gradient_accumulation_steps = 1
    trainer.beta = 0.0
    sizes = (batch["completion_mask"] * batch["tool_mask"]).sum(dim=1).float()
    assert bool((sizes < batch["completion_mask"].sum(dim=1))[1::2].all())
    trainer.loss_type = "dr_grpo"
    loss = trainer._compute_loss(trainer.model, batch).item()
    wanted = -(batch["advantages"] * sizes).sum() / (16 * LONGEST)
    assert loss == pytest.approx(wanted.item(), abs=1e-5)


def test_some_of_the_rollouts_that_are_written_down_are_twins(tmp_path: Path) -> None:
    changes = {"max_steps": 1, "save_every": None, "log_rollouts": 4}
    assert train(tmp_path, evolution={"phrases": list(PHRASES)}, **changes) == 0
    texts = [one["text"] for one in read_lines(tmp_path / "runs" / "tiny" / "rollouts.jsonl")]
    said = [any(phrase.strip() in text for phrase in PHRASES) for text in texts]
    assert said[1] and said[3]


def test_a_small_evolution_trains_on_its_few_questions(tmp_path: Path) -> None:
    evolution = {"mini": 3, "mask_inserted": True}
    changes = {"rewards": {"length": 0.5, "truncated": 0.0}, "max_steps": 4, "save_every": 2}
    assert train(tmp_path, evolution=evolution, log_rollouts=16, **changes) == 0
    run = tmp_path / "runs" / "tiny"
    assert {one["id"] for one in read_lines(run / "rollouts.jsonl")} == {"q0", "q1", "q2"}
    found = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert found == ["samples_32", "samples_64"]
    assert '"beyond evolution.mini": 5' in (run / "manifest.json").read_text("utf-8")
