"""TRL used directly with the settings of a recipe: the other side of the comparison.

Rows are rendered, tokenized and masked by TRL itself. One JSON line with its figures is printed.

    python -m benchmarks.train.peer sft '{"model": "...", "rows": "rows.jsonl", ...}'
"""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any


def train_sft(job: dict[str, Any]) -> dict[str, float]:
    """Fine-tune with ``SFTTrainer``; seconds of its loop and tokens that went through."""
    import torch
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = load_dataset("json", data_files=job["rows"], split="train")
    rows = rows.select_columns(["prompt", "completion"])
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            folder,
            max_steps=job["steps"],
            per_device_train_batch_size=job["micro"],
            gradient_accumulation_steps=job["batch"] // job["micro"],
            learning_rate=job["learning_rate"],
            lr_scheduler_type="constant",
            max_length=None,
            logging_steps=1,
            save_strategy="no",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to=["tensorboard"],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            seed=job["seed"],
        )
        trainer = SFTTrainer(
            AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32),
            args=arguments,
            train_dataset=rows,
            processing_class=AutoTokenizer.from_pretrained(job["model"]),
        )
        result = trainer.train()
        tokens = trainer.state.log_history[-2]["num_tokens"]
    return {"seconds": result.metrics["train_runtime"], "tokens": tokens}


if __name__ == "__main__":
    kinds = {"sft": train_sft}
    print("RESULT " + json.dumps(kinds[sys.argv[1]](json.loads(sys.argv[2]))))
