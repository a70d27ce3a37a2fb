"""TRL's GRPO trainer with what a run of ours needs beside it.

Added: an order of the questions that a resume can find again; a reference model that survives a
resume; counts of what had no reward and of groups without a difference; no update from a step
without any difference; twins (``evolution``); times; an end when the reward stays flat. Departs
from TRL: rollouts that cannot be sampled end the run with one line.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from trl import GRPOTrainer

from butwait.schemas.errors import TrainerError
from butwait.schemas.recipe_grpo import GrpoRecipe, PlateauSpec
from butwait.trainer.evolution import Evolver, make_twins
from butwait.trainer.folder import TrainFolder
from butwait.trainer.loop import EpochOrder, Watched

REFERENCE = "reference.safetensors"
"""File of a refreshed reference in a checkpoint."""


class QuestionOrder(EpochOrder):
    """The epoch's questions in whole batches, each question a group of times, as TRL reads them.

    Args:
        n: Questions.
        seed: The recipe's.
        batch_size: Questions in a batch; an epoch's rest is left out, and met in another epoch.
        group: Rollouts of a question.
        repeats: How often TRL reads a batch: once a micro-batch and update.
    """

    def __init__(self, n: int, seed: int, batch_size: int, group: int, repeats: int) -> None:
        super().__init__(n, seed)
        self._batch_size = batch_size
        self._group = group
        self._repeats = repeats

    def __iter__(self) -> Iterator[int]:
        order = self.permute(self._epoch).tolist()
        for start in range(0, len(self) // (self._group * self._repeats), self._batch_size):
            batch = [i for i in order[start : start + self._batch_size] for _ in range(self._group)]
            for _ in range(self._repeats):
                yield from batch

    def __len__(self) -> int:
        return self._n // self._batch_size * self._batch_size * self._group * self._repeats


class KeptReference(GRPOTrainer):  # type: ignore[misc]
    """Saves a refreshed reference with each checkpoint: TRL would go on with the first one."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if not self.args.sync_ref_model:
            return
        from safetensors.torch import save_file
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights = get_model_state_dict(self.accelerator.unwrap_model(self.ref_model), options=whole)
        if self.args.should_save:
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            tensors = {name: weight.detach().clone() for name, weight in weights.items()}
            save_file(tensors, folder / REFERENCE)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if not self.args.sync_ref_model or checkpoint is None:
            return
        from safetensors.torch import load_file
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

        whole = StateDictOptions(full_state_dict=True)
        weights = load_file(Path(checkpoint) / REFERENCE)
        set_model_state_dict(self.accelerator.unwrap_model(self.ref_model), weights, options=whole)


class GroupTrainer(Watched, KeptReference):
    """The trainer of a run; ``prepare`` and ``prepare_groups`` must be called before ``train``."""

    def prepare_groups(
        self, folder: TrainFolder, recipe: GrpoRecipe, order: QuestionOrder, evolver: Evolver | None
    ) -> None:
        """Tell the order of the questions, where rollouts are written and how twins are made."""
        self._order = order
        self._evolver = evolver
        self._rollouts = folder.rollouts
        self._n_logged = recipe.log_rollouts
        self._place = recipe.rollouts.url or recipe.rollouts.engine
        self._has_signal = True
        self._masks: list[list[int]] | None = None
        self.add_callback(SkipEmptyStep(self))

    @property
    def has_signal(self) -> bool:
        """Whether any group of the current rollouts has a difference."""
        return self._has_signal

    def _get_train_sampler(self, dataset: Any = None) -> QuestionOrder:
        return self._order

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, fields: Any, n: int, *more: Any
    ) -> tuple[list[list[int]], Any]:
        start_s = time.perf_counter()
        if self._evolver is None:
            found = self._sample(prompt_ids, n)
        else:
            found = self._sample_twins(prompt_ids, n, self._evolver)
        self._note("seconds/rollouts", time.perf_counter() - start_s)
        return found

    def _sample(self, prompt_ids: Any, n: int) -> tuple[list[list[int]], Any]:
        """Sample by TRL.

        Raises:
            TrainerError: The server is gone, or the policy has no finite probabilities left.
        """
        try:
            with self._cast_once():
                ids, logps = super()._generate_single_turn(prompt_ids, None, {}, n)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            what = " ".join(str(error).split())[:160]
            step = self.state.global_step + 1
            if not self.use_vllm and "probability tensor" not in what:
                raise
            way = "start it again" if self.use_vllm else "try a smaller learning_rate"
            raise TrainerError(
                f"step {step}: {self._place} gives no rollouts ({type(error).__name__}: {what}): "
                f"{way}, and the same command goes on from the last checkpoint"
            ) from error
        # A rollout without a token would end TRL; an end token says the same.
        return [one or [self.eos_token_ids[0]] for one in ids], logps

    def _cast_once(self) -> contextlib.AbstractContextManager[Any]:
        """Cast each weight to bfloat16 once for all of a rollout's tokens: autocast forgets its
        casts at the end of the outermost context, which else is that of one token.

        Not with weights that several devices share: all of them would be held at once.
        """
        if self.use_vllm or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[Any] = self.accelerator.autocast()
        return context

    def _sample_twins(
        self, prompt_ids: Any, n: int, evolver: Evolver
    ) -> tuple[list[list[int]], Any]:
        """Sample the first of each pair of rows, then its twin; keep the inserted tokens' masks."""
        asked = prompt_ids[::2]
        firsts, logps = self._sample(asked, n // 2)
        place = (self.state.global_step, self.accelerator.process_index)
        twins = make_twins(firsts, evolver, place, self.max_completion_length)
        heads = [[*ask, *twin.head] for ask, twin in zip(asked, twins, strict=True)]
        with self._at_most(max(twin.room for twin in twins)):
            tails, more = self._sample(heads, 1)
        ends = [twin.join(tail) for twin, tail in zip(twins, tails, strict=True)]
        ids = [one for pair in zip(firsts, ends, strict=True) for one in pair]
        if evolver.mask_inserted:
            kept = [twin.mask(len(end)) for twin, end in zip(twins, ends, strict=True)]
            whole = [[1] * len(first) for first in firsts]
            self._masks = [one for pair in zip(whole, kept, strict=True) for one in pair]
        if logps is None:
            return ids, None
        joined = [twin.join_logps(*both) for twin, *both in zip(twins, logps, more, strict=True)]
        return ids, [one for pair in zip(logps, joined, strict=True) for one in pair]

    @contextlib.contextmanager
    def _at_most(self, n_tokens: int) -> Iterator[None]:
        """Sample fewer tokens for a while: a twin has begun already."""
        if self.use_vllm:
            holder, name = self.vllm_generation, "max_completion_length"
        else:
            holder, name = self.generation_config, "max_new_tokens"
        before = getattr(holder, name)
        setattr(holder, name, n_tokens)
        try:
            yield
        finally:
            setattr(holder, name, before)

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        prompt_ids, ids, mask, *rest = super()._generate(prompts)
        if self._masks is not None:
            mask, self._masks = self._masks, None
        return prompt_ids, ids, mask, *rest

    def _calculate_rewards(self, *arguments: Any) -> Any:
        start_s = time.perf_counter()
        rewards = super()._calculate_rewards(*arguments)
        self._note("seconds/rewards", time.perf_counter() - start_s)
        facts = describe_groups(weigh(rewards, self.reward_weights), self.num_generations)
        for name, value in facts.items():
            self._note(name, value)
        self._has_signal = facts["groups/with_difference"] > 0
        if self._evolver is not None:
            total = weigh(rewards, self.reward_weights)
            self._note("evolution/reward_first", total[::2].nanmean().item())
            self._note("evolution/reward_twin", total[1::2].nanmean().item())
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        output["rows"] = torch.tensor([row["rows"] for row in inputs])
        if self.accelerator.is_main_process and self._n_logged:
            self._write_rollouts(inputs, output)
        return output

    def _write_rollouts(self, inputs: list[dict[str, Any]], output: dict[str, Any]) -> None:
        """Write some rollouts, spread over the questions, with what they earned."""
        n = min(self._n_logged, len(inputs))
        rewards, extra = self._logs["rewards"], self._logs["extra"]
        lines = []
        for k in range(n):
            # With twins every second row is one: some of both.
            i = k * len(inputs) // n
            i += k % 2 if self._evolver is not None and i % 2 == 0 else 0
            ids = output["completion_ids"][i][output["completion_mask"][i].bool()]
            lines.append(
                {
                    "step": self.state.global_step + 1,
                    "id": inputs[i]["id"],
                    "answer": inputs[i]["answer"],
                    "verdict": extra["accuracy/verdict"][i],
                    "extracted": extra["accuracy/extracted"][i],
                    **{f"rewards/{name}": values[i] for name, values in rewards.items()},
                    "advantage": output["advantages"][i].item(),
                    "text": self.processing_class.decode(ids, skip_special_tokens=False),
                }
            )
        TrainFolder.add_lines(self._rollouts, lines)

    def _note(self, name: str, value: float) -> None:
        """Give TRL a metric of this step; it averages them between two lines."""
        self._metrics["train"][name].append(value)


def weigh(rewards: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The sum of weighted rewards; not a number where a rollout has none at all.

    Args:
        rewards: (rollouts, rewards).
        weights: (rewards,).
    """
    total = (rewards * weights.to(rewards.device)).nansum(dim=1)
    total[rewards.isnan().all(dim=1)] = torch.nan
    return total


def describe_groups(total: torch.Tensor, group: int) -> dict[str, float]:
    """Count what teaches nothing.

    Args:
        total: (rollouts,); not a number where a rollout is left out.
        group: Rollouts of a question, one after the other.

    Returns:
        Shares in [0, 1]: rollouts that are left out; groups of which none or one is left; groups
        whose rewards are all equal; groups that teach something.

    >>> facts = describe_groups(torch.tensor([1.0, 0.0, 1.0, 1.0, torch.nan, 1.0]), 2)
    >>> [round(value, 2) for value in facts.values()]
    [0.17, 0.33, 0.33, 0.33]
    """
    groups = total.view(-1, group)
    left = ~groups.isnan()
    counted = left.sum(dim=1) > 1
    high = groups.masked_fill(~left, -torch.inf).amax(dim=1)
    low = groups.masked_fill(~left, torch.inf).amin(dim=1)
    equal = torch.isclose(high, low)
    return {
        "rollouts/excluded": 1 - left.float().mean().item(),
        "groups/excluded": 1 - counted.float().mean().item(),
        "groups/zero_variance": (counted & equal).float().mean().item(),
        "groups/with_difference": (counted & ~equal).float().mean().item(),
    }


class SkipEmptyStep(TrainerCallback):  # type: ignore[misc]
    """Takes the gradients of a step away in which no group has a difference.

    Adam would go on along its last steps, and the divergence term would pull alone.
    """

    def __init__(self, trainer: GroupTrainer) -> None:
        self._trainer = trainer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Clear the gradients: the optimiser leaves a weight alone that has none."""
        if not self._trainer.has_signal:
            more["model"].zero_grad(set_to_none=True)


class StopOnPlateau(TrainerCallback):  # type: ignore[misc]
    """Ends the run when the reward has stayed flat.

    Args:
        spec: Window and gain.
        run: Is told why.
    """

    def __init__(self, spec: PlateauSpec, run: Any) -> None:
        self._spec = spec
        self._run = run

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look at the last two windows when one is full."""
        rewards = [(line["step"], line.get("reward")) for line in state.log_history]
        known = [(step, reward) for step, reward in rewards if reward is not None]
        means = compare_windows(known, state.global_step, self._spec.window)
        if means is not None and means[1] - means[0] <= self._spec.min_gain:
            control.should_training_stop = True
            why = (
                f"plateau at step {state.global_step}: mean reward {means[1]:.4f} over the last "
                f"{self._spec.window} steps, {means[0]:.4f} over those before"
            )
            self._run.note(stopped=why)
            self._run.say(why)


def compare_windows(
    rewards: Sequence[tuple[int, float]], step: int, window: int
) -> tuple[float, float] | None:
    """The mean reward of the window before the last one, and of the last; None within a window.

    Args:
        rewards: Steps and rewards.
        step: The last one.
        window: Steps.

    >>> compare_windows([(1, 0.0), (2, 1.0), (3, 1.0), (4, 1.0)], 4, 2)
    (0.5, 1.0)
    """
    if step % window or step < 2 * window:
        return None
    last = [reward for at, reward in rewards if step - window < at <= step]
    before = [reward for at, reward in rewards if step - 2 * window < at <= step - window]
    if not last or not before:
        return None
    return sum(before) / len(before), sum(last) / len(last)
