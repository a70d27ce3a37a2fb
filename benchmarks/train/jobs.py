"""What both sides are told, and the rows that both train on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "trainer" / "pocket" / "checkpoints" / "policy"
QUESTIONS = ROOT / "pipelines" / "pocket" / "data" / "train.jsonl"
WARM_UP = 1
"""Steps at the beginning that are not counted on a GPU, which loads its kernels in them."""


@dataclass(frozen=True)
class Job:
    """One training of either side."""

    kind: str
    """``sft`` or ``grpo``."""
    model: str
    """Folder of the model."""
    rows: str
    """A .jsonl file."""
    steps: int
    batch: int
    """Rows, or questions, a step."""
    micro: int
    """Rows, or rollouts, held at once in the update."""
    learning_rate: float
    group: int = 1
    """Rollouts of a question."""
    longest: int = 0
    """``max_completion_length``, in tokens."""
    temperature: float = 1.0
    beta: float = 0.01
    seed: int = 0
    on_gpu: bool = False
    watch: str = ""
    """File for what the GPU did; none on a CPU."""

    @property
    def sequences(self) -> int:
        """Rows or rollouts a step."""
        return self.batch * self.group

    def to_json(self) -> str:
        """Write it for another process."""
        return json.dumps(asdict(self))


def count_tokens(job: Job, lines: list[dict[str, Any]], after: int = 0) -> float:
    """Count the tokens of the steps after some step: of rows whole, of rollouts what was sampled.

    Args:
        job: Its kind and batch.
        lines: A line of metrics a step.
        after: The first step that counts is the next one.
    """
    steps = [line for line in lines if "num_tokens" in line]
    if job.kind == "sft":
        before = next((line["num_tokens"] for line in steps if line["step"] == after), 0)
        return float(steps[-1]["num_tokens"] - before)
    means = [line["completions/mean_length"] for line in steps if line["step"] > after]
    return float(sum(means) * job.sequences)


def write_sums(path: Path, n: int, n_steps: int = 4) -> None:
    """Write sums as rows; about 20 tokens for each step of a sum and as many for its question."""
    with path.open("w", encoding="utf-8") as file:
        for k in range(n):
            a, b = k % 50, k // 50 % 40
            steps = [f"Step {i}: {a} + {i * b} = {a + i * b}" for i in range(1, n_steps + 1)]
            said = "\n\n".join([*steps, f"Answer: \\boxed{{{a + n_steps * b}}}"])
            prompt = [{"role": "user", "content": f"What is {a} and {n_steps} times {b}?"}]
            completion = [{"role": "assistant", "content": said}]
            file.write(json.dumps({"prompt": prompt, "completion": completion}) + "\n")


def write_questions(path: Path) -> None:
    """Write the pocket questions as rows with ``prompt`` and ``answer``."""
    ask = "Please reason step by step, and put your final answer within \\boxed{}."
    with path.open("w", encoding="utf-8") as file:
        for line in QUESTIONS.read_text("utf-8").splitlines():
            row = json.loads(line)
            turns = (("system", ask), ("user", row["problem"]))
            prompt = [{"role": role, "content": said} for role, said in turns]
            answer = row["solution"].rpartition("{")[2].rstrip("}")
            file.write(json.dumps({"prompt": prompt, "answer": answer}) + "\n")
