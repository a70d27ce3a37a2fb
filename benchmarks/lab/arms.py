"""The arms of the pocket lab: what each is trained on, from what, with how many seeds.

The order is that of the table. Arms with one seed are those that three seeds would not fit into the
time for; a difference of theirs says nothing of another training seed.
"""

from __future__ import annotations

from dataclasses import dataclass

MAIN_SEEDS, ONE_SEED = (0, 1, 2), (0,)


@dataclass(frozen=True)
class Arm:
    """One row of the table."""

    name: str
    dataset: str
    """What stands in the table's second column."""
    kind: str
    """``base``, ``sft``, ``grpo`` or ``evolution``: the recipe in ``recipes/lab``."""
    seeds: tuple[int, ...]
    data: tuple[str, str] | None = None
    """Run of the data folder and configuration; None: the recipe's own."""
    start: str = "base"
    """Arm that training starts from; ``best``: the supervised arm that won on validation."""
    settings: tuple[str, ...] = ()
    """Further keys of the training recipe."""
    prompt: str = "qwen"
    """System prompt of the examination: the one it was trained with."""
    note: str = ""


SUPERVISED = (
    Arm("verified", "verified", "sft", MAIN_SEEDS, ("samples", "default"),
        note="rejection sampling, at most 4 a question"),
    Arm("stitch", "stitch", "sft", ONE_SEED, ("samples", "stitch"), note="wrong thoughts masked"),
    Arm("backtrack", "backtrack", "sft", MAIN_SEEDS, ("search", "backtrack"),
        note="from search trees, wrong branches masked"),
    Arm("but-wait", "but-wait", "sft", MAIN_SEEDS, ("samples", "but_wait"),
        note="half of the rows right before and after"),
    Arm("correct-only", "correct-only", "sft", MAIN_SEEDS, ("search", "default"),
        note="particle filter; its reward model is a stronger checkpoint"),
    Arm("limo", "LIMO-style", "sft", ONE_SEED, ("samples", "limo"), prompt="none",
        note="no system prompt, thinking and answer tags"),
    Arm("mixed", "mixed", "sft", ONE_SEED, ("mixed", "default"),
        note="verified + stitch + backtrack + but-wait + correct-only"),
)  # fmt: skip
REINFORCED = (
    Arm("grpo-base", "GRPO", "grpo", MAIN_SEEDS, note="from base"),
    Arm("grpo-best", "GRPO", "grpo", MAIN_SEEDS, start="best", note="from the best SFT"),
    Arm("evolution", "direct evolution GRPO", "evolution", ONE_SEED, note="from base"),
    Arm("evolution-mini", "direct evolution GRPO MINI", "evolution", ONE_SEED,
        settings=("evolution.mini=40", "max_steps=15"), note="from base, 40 questions"),
)  # fmt: skip
BASE = Arm("base", "-", "base", MAIN_SEEDS, note="three samplings")
BARE = Arm("base-bare", "-", "base", ONE_SEED, prompt="none", note="without system prompt")
ARMS = (BASE, BARE, *SUPERVISED, *REINFORCED)
MIXTURE = (
    ("samples", "default"), ("samples", "stitch"), ("samples", "but_wait"),
    ("search", "default"), ("search", "backtrack"),
)  # fmt: skip
"""What the mixed arm is trained on."""
