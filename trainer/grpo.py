"""GRPO: questions become groups of verified rollouts, TRL's trainer learns from their differences.

Whatever TRL would decide silently is decided here by name (``make_arguments``).
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from butwait.schemas.errors import ConfigError, SourceError
from butwait.schemas.recipe_grpo import GrpoRecipe, RolloutSpec
from butwait.trainer.examples import read_messages
from butwait.trainer.options import TrainOptions
from butwait.trainer.quiet import without_vllm
from butwait.trainer.rows import Rows, read_rows
from butwait.trainer.start import find_end_ids, load_model, load_tokenizer, locate, make_lora

COLUMNS = ("prompt+answer",)
NO_CLIP = 1e9
"""A bound that no probability ratio reaches: TRL knows no other way to clip nothing."""


@dataclass(frozen=True)
class Questions:
    """Questions that can be trained on."""

    table: Any
    """``rows`` (its own number), ``id``, ``prompt``, ``answer``, and ``problem`` where known."""
    rows: Rows
    dropped: dict[str, int]
    n_prompt_tokens: int
    longest: int
    """``max_completion_length``, in tokens."""
    tokenizer: Any
    ends: set[int]


def train_grpo(recipe: GrpoRecipe, options: TrainOptions) -> dict[str, Any]:
    """Train, or go on with an interrupted run.

    Returns:
        The manifest.

    Raises:
        ConfigError: The recipe does not fit the model, the rows or the machine.
        SourceError: No usable question.
        TrainerError: The run cannot go on; the last whole checkpoint is kept.
    """
    check_engine(recipe.rollouts)
    from butwait.trainer.run import Run

    run = Run.open(recipe, options, kind="grpo")
    if run.is_finished and not options.check_only:
        return run.manifest
    questions = prepare(recipe, options)
    n, n_kept = len(questions.rows.table), len(questions.table)
    run.say(f"rows     {n_kept} of {n} questions, {questions.n_prompt_tokens} prompt tokens")
    for reason, count in questions.dropped.items():
        run.say(f"dropped  {count}: {reason}")
    gate = {"rows": n, "kept": n_kept, "tokens": questions.n_prompt_tokens, "findings": {}}
    run.note(data=questions.rows.origin, dropped=questions.dropped, gate=gate)
    if options.check_only:
        return run.manifest
    n_rollouts = n_kept * recipe.group
    n_tokens = questions.n_prompt_tokens * recipe.group + n_rollouts * questions.longest
    run.say_estimate(n_tokens, n_rollouts)
    trainer = _make_trainer(recipe, options, questions, run)
    return run.train(trainer, questions.tokenizer, lambda step: count_rollouts(recipe, step))


def prepare(recipe: GrpoRecipe, options: TrainOptions) -> Questions:
    """Read the questions and leave out what cannot be checked or does not fit the context.

    Raises:
        SourceError: No usable question.
        ConfigError: A batch larger than the dataset, or rollouts longer than the context.
    """
    tokenizer = load_tokenizer(recipe.model, options.base)
    ends = find_end_ids(recipe.model, options.base, tokenizer)
    rows = read_rows(recipe.data, options.base, COLUMNS)
    context = find_context(recipe, options.base)
    longest = recipe.max_completion_length
    if longest is not None and context is not None and longest >= context:
        raise ConfigError(
            f"max_completion_length {longest} leaves no room for a prompt in the model's context "
            f"of {context} tokens; set it lower, or to null for what the prompts leave"
        )
    asked = [as_messages(prompt, rows) for prompt in rows.table["prompt"]]
    sizes = _count_tokens(asked, tokenizer)
    room = None if context is None else context - (longest or context // 2)
    kept, dropped = _choose(rows.table["answer"], sizes, room, recipe)
    if not kept:
        seen = ", ".join(f"{n} {reason}" for reason, n in dropped.items())
        raise SourceError(f"{rows.origin['from']} has no usable question ({seen})")
    if len(kept) < recipe.batch_size:
        raise ConfigError(
            f"batch_size {recipe.batch_size} is larger than the dataset: {len(kept)} questions are "
            f"left to train on; set batch_size to at most {len(kept)}"
        )
    if longest is None:
        longest = _fill_context(context, max(sizes[i] for i in kept))
    table = _make_table(rows.table, asked, kept)
    n_tokens = sum(sizes[i] for i in kept)
    return Questions(table, rows, rows.dropped | dropped, n_tokens, longest, tokenizer, ends)


def find_context(recipe: GrpoRecipe, base: Path) -> int | None:
    """Return the model's context in tokens; None where its configuration does not say."""
    from transformers import AutoConfig

    where = locate(recipe.model, base)
    try:
        config = AutoConfig.from_pretrained(where, revision=recipe.model.revision)
    except (OSError, ValueError) as error:
        what = " ".join(str(error).split())[:200]
        raise ConfigError(f"model {where} cannot be loaded: {what}") from error
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def _fill_context(context: int | None, prompt: int) -> int:
    if context is None:
        raise ConfigError(
            "max_completion_length null needs the model's context, and its configuration has none: "
            "give a number"
        )
    return context - prompt


def as_messages(prompt: object, rows: Rows) -> list[dict[str, str]]:
    """Return a prompt as messages; a text is the user's.

    Raises:
        SourceError: It is neither.
    """
    try:
        messages = read_messages(prompt, "user")
    except ValueError:
        messages = []
    if any(message["content"].strip() for message in messages):
        return messages
    raise SourceError(
        f"{rows.origin['from']}: the prompt {str(prompt)[:80]!r} is neither a text nor messages of "
        "role and content"
    )


def _count_tokens(asked: list[Any], tokenizer: Any) -> list[int]:
    sizes: list[int] = []
    for start in range(0, len(asked), 1000):
        some = asked[start : start + 1000]
        ids = tokenizer.apply_chat_template(
            some, add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
        sizes += [len(one) for one in ids]
    return sizes


def _choose(
    answers: Any, sizes: list[int], room: int | None, recipe: GrpoRecipe
) -> tuple[list[int], dict[str, int]]:
    """Choose the questions that can be checked and fit, and count the others by reason."""
    from butwait.trainer.rewards import is_usable

    kept: list[int] = []
    dropped: Counter[str] = Counter()
    for i, answer in enumerate(answers):
        if not is_usable(answer):
            dropped["answer cannot be checked"] += 1
        elif room is not None and sizes[i] > room:
            dropped["prompt leaves too little context"] += 1
        else:
            kept.append(i)
    mini = recipe.evolution.mini if recipe.evolution is not None else None
    if mini is not None and len(kept) > mini:
        dropped["beyond evolution.mini"] = len(kept) - mini
        kept = kept[:mini]
    return kept, dict(dropped)


def _make_table(source: Any, asked: list[Any], kept: list[int]) -> Any:
    from datasets import Dataset

    columns = {name: source[name] for name in ("id", "problem") if name in source.column_names}
    answers = source["answer"]
    content: dict[str, list[Any]] = {
        "rows": list(range(len(kept))),
        "id": [str(i) for i in kept],
        "prompt": [asked[i] for i in kept],
        "answer": [answers[i] for i in kept],
    }
    content |= {name: [values[i] for i in kept] for name, values in columns.items()}
    return Dataset.from_dict(content)


def count_rollouts(recipe: GrpoRecipe, step: int) -> int:
    """Count the rollouts that have been seen after some optimiser steps."""
    return math.ceil(step / recipe.updates_per_batch) * recipe.rows_a_step


def check_engine(rollouts: RolloutSpec) -> None:
    """Check that the machine can sample as the recipe says, before anything is loaded.

    Raises:
        ConfigError: No vLLM, no GPU, or no server.
    """
    from importlib.util import find_spec

    import torch

    if rollouts.engine == "transformers":
        return
    way = "use `rollouts: {engine: transformers}`"
    if find_spec("vllm") is None:
        raise ConfigError(f"rollouts.engine {rollouts.engine}: vllm is not installed here; {way}")
    if not torch.cuda.is_available():
        raise ConfigError(f"rollouts.engine {rollouts.engine} needs a GPU, and none is here; {way}")
    if rollouts.url is not None:
        check_server(rollouts.url)


def check_server(url: str) -> None:
    """Check that a vLLM server answers.

    Raises:
        ConfigError: It does not.
    """
    import httpx

    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        raise ConfigError(
            f"rollouts.url {url} does not answer ({type(error).__name__}: {error}); start it with "
            "`vllm serve` as docs/train-grpo.md says"
        ) from error


def make_arguments(recipe: GrpoRecipe, shared: dict[str, Any], longest: int) -> Any:
    """Return TRL's arguments; each one that would change the result by default is set.

    Args:
        recipe: What to train.
        shared: Arguments that all trainers share.
        longest: ``max_completion_length``, in tokens.

    Raises:
        ConfigError: Twins would be cut off from their first rollouts.
    """
    from trl import GRPOConfig

    local = shared["per_device_train_batch_size"] * shared["gradient_accumulation_steps"]
    if recipe.evolution is not None and local % 2:
        raise ConfigError(f"evolution needs an even number of rollouts a process, not {local}")
    return GRPOConfig(
        **shared,
        **_sampling_arguments(recipe, longest),
        **_vllm_arguments(recipe.rollouts),
        **_loss_arguments(recipe),
        num_iterations=recipe.updates_per_batch,
        steps_per_generation=shared["gradient_accumulation_steps"],
        model_init_kwargs={"revision": recipe.model.revision} if recipe.model.revision else None,
        # A rollout that was cut is left out by its verdict, or scored, as rewards.truncated says.
        mask_truncated_completions=False,
        shuffle_dataset=False,  # the order is ours
        disable_dropout=recipe.model.lora is None,
        remove_unused_columns=False,
        log_completions=False,
    )


def _loss_arguments(recipe: GrpoRecipe) -> dict[str, Any]:
    clip = NO_CLIP if recipe.clip is None else recipe.clip
    return {
        "beta": recipe.beta,
        "sync_ref_model": recipe.sync_ref_every is not None,
        "ref_model_sync_steps": recipe.sync_ref_every or 1,
        "ref_model_mixup_alpha": 1.0,
        # TRL's default multiplies the divergence by the ratio, which changes its gradient.
        "use_bias_correction_kl": False,
        "loss_type": recipe.loss_type,
        "scale_rewards": recipe.scale_rewards,
        "epsilon": clip,
        "epsilon_high": recipe.clip_high or clip,
        "delta": None,
        "importance_sampling_level": "token",
        "multi_objective_aggregation": "sum_then_normalize",
        "top_entropy_quantile": 1.0,
        "entropy_coef": 0.0,
        "off_policy_mask_threshold": None,
    }


def _sampling_arguments(recipe: GrpoRecipe, longest: int) -> dict[str, Any]:
    by_us = recipe.rollouts.engine == "transformers"
    return {
        "num_generations": recipe.group,
        "max_completion_length": longest,
        "temperature": recipe.temperature,
        "top_p": recipe.top_p,
        "top_k": 0,
        "min_p": None,
        "repetition_penalty": 1.0,
        # The policy is loaded without a cache, for training.
        "generation_kwargs": {"use_cache": True} if by_us else None,
    }


def _vllm_arguments(rollouts: RolloutSpec) -> dict[str, Any]:
    corrects = rollouts.correction != "none"
    return {
        "use_vllm": rollouts.engine != "transformers",
        "vllm_mode": "server" if rollouts.engine == "vllm_server" else "colocate",
        "vllm_server_base_url": rollouts.url,
        "vllm_server_timeout": rollouts.start_timeout_s,
        "vllm_group_port": rollouts.group_port,
        "vllm_gpu_memory_utilization": rollouts.gpu_memory_utilization,
        "vllm_tensor_parallel_size": rollouts.tensor_parallel_size,
        "vllm_enable_sleep_mode": rollouts.sleep,
        "vllm_importance_sampling_correction": corrects,
        "vllm_importance_sampling_mode": rollouts.correction if corrects else "token_truncate",
        "vllm_importance_sampling_clip_min": None,
        "vllm_importance_sampling_clip_max": rollouts.correction_cap,
    }


def _load_trainer(engine: str) -> Any:
    with without_vllm() if engine == "transformers" else contextlib.nullcontext():
        from butwait.trainer import group_trainer

        return group_trainer


def _make_trainer(recipe: GrpoRecipe, options: TrainOptions, asked: Questions, run: Any) -> Any:
    from butwait.trainer.evolution import make_evolver
    from butwait.trainer.rewards import Judge, make_reader

    arguments = make_arguments(recipe, run.arguments, asked.longest)
    problem = "problem" if "problem" in asked.table.column_names else None
    reader = make_reader(asked.tokenizer, asked.ends)
    judge = Judge(recipe.rewards, reader, asked.longest, problem)
    functions, arguments.reward_weights = judge.list_functions()
    groups = _load_trainer(recipe.rollouts.engine)
    trainer = groups.GroupTrainer(
        model=load_model(recipe.model, options.base),
        reward_funcs=functions,
        args=arguments,
        train_dataset=asked.table,
        processing_class=asked.tokenizer,
        peft_config=make_lora(recipe.model),
    )
    repeats = arguments.steps_per_generation * arguments.num_iterations
    n = len(asked.table)
    order = groups.QuestionOrder(n, recipe.seed, recipe.batch_size, recipe.group, repeats)
    evolver = None
    if recipe.evolution is not None:
        evolver = make_evolver(recipe.evolution, asked.tokenizer, asked.ends, recipe.seed)
    trainer.prepare(run.folder, recipe, lambda step: count_rollouts(recipe, step))
    trainer.prepare_groups(run.folder, recipe, order, evolver)
    if recipe.stop_on_plateau is not None:
        trainer.add_callback(groups.StopOnPlateau(recipe.stop_on_plateau, run))
    return trainer
