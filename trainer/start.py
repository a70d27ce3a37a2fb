"""The model that training starts from: tokenizer, template, end tokens, weights, final folder."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from butwait.schemas.errors import ConfigError, TrainerError
from butwait.schemas.recipe_train import StartSpec
from butwait.trainer.folder import TrainFolder, remove


def locate(model: StartSpec, base: Path) -> str:
    """Return what transformers loads: a Hub id, or a folder that exists.

    Raises:
        ConfigError: A folder that is not there or holds no model.
    """
    if not model.id.startswith((".", "/", "~")):
        return model.id
    folder = (base / Path(model.id).expanduser()).resolve()
    if not (folder / "config.json").is_file():
        raise ConfigError(f"model {folder} is not a model's folder: it has no config.json")
    return str(folder)


def load_tokenizer(model: StartSpec, base: Path) -> Any:
    """Load the tokenizer with the chat template that will be trained and saved.

    Raises:
        ConfigError: There is none, it is not a fast one, or it has no chat template.
    """
    from transformers import AutoTokenizer

    where = locate(model, base)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, revision=model.revision)
    except (OSError, ValueError, KeyError) as error:
        what = " ".join(str(error).split())[:200]
        raise ConfigError(f"model {where}: its tokenizer cannot be loaded: {what}") from error
    if model.chat_template is not None:
        path = (base / Path(model.chat_template).expanduser()).resolve()
        try:
            tokenizer.chat_template = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"chat template {path} cannot be read: {error}") from error
    if not tokenizer.chat_template:
        raise ConfigError(
            f"model {where}: its tokenizer has no chat template; name a Jinja file with "
            "model.chat_template, e.g. that of the model's instruct version"
        )
    if not tokenizer.is_fast:
        raise ConfigError(f"model {where}: its tokenizer is not a fast one (tokenizer.json)")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def find_end_ids(model: StartSpec, base: Path, tokenizer: Any) -> set[int]:
    """Return the tokens that end a turn: the tokenizer's and the generation configuration's.

    Raises:
        ConfigError: There are none.
    """
    from transformers import GenerationConfig

    ends = {tokenizer.eos_token_id} - {None}
    try:
        found = GenerationConfig.from_pretrained(
            locate(model, base), revision=model.revision
        ).eos_token_id
    except (OSError, ValueError):
        found = None  # many models have no generation configuration
    ends |= set(found if isinstance(found, list) else [found]) - {None}
    if not ends:
        raise ConfigError(f"model {model.id}: neither tokenizer nor generation config has an end")
    return ends


def load_model(model: StartSpec, base: Path) -> Any:
    """Load the weights in float32; on a GPU the computation runs in bfloat16 beside them.

    Raises:
        ConfigError: They cannot be loaded.
    """
    import torch
    from transformers import AutoModelForCausalLM

    options = {} if model.attention is None else {"attn_implementation": model.attention}
    where = locate(model, base)
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            where, revision=model.revision, dtype=torch.float32, **options
        )
    except (OSError, ValueError, ImportError) as error:
        what = " ".join(str(error).split())[:200]
        raise ConfigError(f"model {where} cannot be loaded: {what}") from error
    loaded.config.use_cache = False
    return loaded


def make_lora(model: StartSpec) -> Any:
    """Return the adapters' configuration; None where all weights are trained."""
    if model.lora is None:
        return None
    from peft import LoraConfig

    lora = model.lora
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )


def save_final(
    trainer: Any, tokenizer: Any, model: StartSpec, base: Path, folder: TrainFolder
) -> None:
    """Write the final folder: whole weights in the precision of the model that was started from.

    Adapters are merged into the weights, and also kept beside them in ``adapter/``.

    Raises:
        TrainerError: It cannot be written; a final folder that was there stays.
    """
    trained = folder.root / "final.tmp" / "trained"
    try:
        remove(trained.parent)
        trainer.save_model(str(trained))
        if trainer.args.should_save:
            _write_whole(trained, tokenizer, model, base, folder)
    except (OSError, RuntimeError) as error:
        raise TrainerError(f"{folder.final} cannot be written: {error}") from error
    trainer.accelerator.wait_for_everyone()


def _write_whole(
    trained: Path, tokenizer: Any, model: StartSpec, base: Path, folder: TrainFolder
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    where = locate(model, base)
    dtype = AutoConfig.from_pretrained(where, revision=model.revision).dtype
    whole = folder.root / "final.tmp" / "whole"
    if model.lora is None:
        weights = AutoModelForCausalLM.from_pretrained(trained, dtype=dtype)
    else:
        from peft import PeftModel

        weights = AutoModelForCausalLM.from_pretrained(where, revision=model.revision)
        weights = PeftModel.from_pretrained(weights.float(), trained).merge_and_unload().to(dtype)
    weights.config.use_cache = True
    weights.save_pretrained(whole)
    with contextlib.suppress(OSError):  # the model that was started from may have none
        GenerationConfig.from_pretrained(where, revision=model.revision).save_pretrained(whole)
    tokenizer.save_pretrained(whole)
    if model.lora is not None:
        trained.replace(whole / "adapter")
    remove(folder.final)
    whole.replace(folder.final)
    remove(trained.parent)


def describe_versions() -> Mapping[str, str]:
    """Return the versions of what trains."""
    from importlib.metadata import version

    names = ("butwait", "torch", "transformers", "trl", "peft", "accelerate", "datasets")
    return {name: version(name) for name in names}
