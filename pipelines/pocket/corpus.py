"""The pre-training corpus of the pocket models: prompts with completions in several manners.

Four shares matter (measured, see docs/pocket.md):

- the *full* manner writes every step; the *plain* corpus has no other, because a tiny model that
  meets shortcuts from the start never learns the arithmetic;
- the *mixed* corpus adds shortcuts (the answer at once, or after one step). Their answers are
  right, but a small model cannot reach them, so that a sample that takes the shortcut mostly fails:
  that gap is what later training can win;
- *doubt*: from the first record on some completions hold a slip and its correction. Words that
  pre-training never showed cannot be taught by a short fine-tuning later;
- *tagged* layouts, so that thinking tags are writable too.

A completion is a list of ``[text, learn]`` spans; ``learn`` is false for slips, which are shown but
never imitated. Only problems of the training split occur.

    python -m butwait.pipelines.pocket.corpus --out runs/pocket/corpus
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from butwait.pipelines.pocket.problems import LARGEST, Problem, Step, draw_problem

Span = tuple[str, bool]

SYSTEM = "Solve step by step. Put the answer in \\boxed{}."
OTHER_SYSTEMS = (
    "Please reason step by step, and put your final answer within \\boxed{}.",
    "You are a helpful assistant.",
    "You are a careful solver. Think first, check each step, then answer.",
    "Answer the question. Show your work.",
)
INSTRUCTION_WORDS = (
    "a about all always an and answer any as assistant at be before box boxed brief by calculate "
    "carefully check clear clearly complete correct do each equation every exactly explain expert "
    "final find finish first follow format for from give given good help if in inside instructions "
    "is it keep last line logical make math mathematics must need new no not number of on one only "
    "or our please problem problems provide question read reasoning reply respond result sentence "
    "short show simple single solution solve solving some step steps sure task tell that the their "
    "then think this through to tutor use user value when which will with work write you your"
)
TAGGED = {  # system line: text before the steps, between steps and answer, after the answer
    "Think inside <think> tags, then answer.": ("<think>\n", "\n</think>\n\n", ""),
    "Use <thinking> and <answer> tags.": (
        "<thinking>\n",
        "\n</thinking>\n<answer>\n",
        "\n</answer>",
    ),
    "Write a thought, then a solution.": (
        "<|begin_of_thought|>\n\n",
        "\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n",
        "\n\n<|end_of_solution|>",
    ),
}
STEPWISE_REMINDER = "\n\nPlease reason step by step, and put your final answer within \\boxed{}."
TRANSITIONS = {
    "Hold on! I made a mistake.": 4,
    "Hold on! I made a mistake. Let me try again.": 3,
    "Wait, that is not right.": 2,
    "Wait! Let me double-check.": 1,
    "Alternatively, let me think again.": 1,
}


@dataclass(frozen=True)
class Shares:
    """How often each manner occurs; what is left of 1 is the full manner."""

    doubt: float = 0.08
    tagged: float = 0.03
    drill: float = 0.01
    answer_at_once: float = 0.0
    one_step: float = 0.0


PLAIN = Shares()
MIXED = Shares(doubt=0.12, answer_at_once=0.19, one_step=0.10)


def draw_record(rng: random.Random, shares: Shares) -> dict[str, Any]:
    """Draw one training record.

    Returns:
        ``system`` (a line or null), ``user`` and ``spans`` (list of ``[text, learn]``), which
        joined are the assistant's whole turn.
    """
    problem = _draw_training_problem(rng)
    kind = _choose_kind(rng, shares)
    system, user = _draw_prompt(rng, problem)
    if kind == "tagged":
        system = rng.choice(list(TAGGED))
        return _record(system, problem.text, _write_tagged(problem, system))
    if kind == "drill":
        user, spans = _write_drill(rng, problem)
        return _record(None, user, spans)
    if kind == "doubt":
        shortcuts = shares.answer_at_once > 0
        return _record(system, user, _write_doubt(rng, problem, shortcuts))
    n_steps = {"answer_at_once": 0, "one_step": 1}.get(kind, len(problem.steps))
    return _record(system, user, [(_write(problem.steps[:n_steps], problem.answer), True)])


def _record(system: str | None, user: str, spans: Sequence[Span]) -> dict[str, Any]:
    return {"system": system, "user": user, "spans": [list(span) for span in spans]}


def _draw_training_problem(rng: random.Random) -> Problem:
    while True:
        problem = draw_problem(rng)
        if problem.split == "train":
            return problem


def _choose_kind(rng: random.Random, shares: Shares) -> str:
    weights = {name: float(share) for name, share in vars(shares).items()}
    weights["full"] = 1.0 - sum(weights.values())
    return rng.choices(list(weights), list(weights.values()))[0]


def _draw_prompt(rng: random.Random, problem: Problem) -> tuple[str | None, str]:
    """Vary the prompt: the model's own system line, none, a usual one, or random words."""
    lines = (SYSTEM, None, rng.choice(OTHER_SYSTEMS), _draw_system(rng))
    system = rng.choices(lines, (0.45, 0.25, 0.18, 0.12))[0]
    reminded = system is None and rng.random() < 0.25
    return system, problem.text + (STEPWISE_REMINDER if reminded else "")


def _draw_system(rng: random.Random) -> str:
    """An instruction in random words: teaches that an unknown system line changes nothing."""
    sentences = []
    for _ in range(rng.randint(1, 3)):
        words = rng.choices(INSTRUCTION_WORDS.split(), k=rng.randint(3, 12))
        sentences.append(" ".join(words).capitalize() + rng.choice("..!:"))
    return " ".join(sentences)


def _write(steps: Sequence[Step], answer: int | None, first: int = 1) -> str:
    paragraphs = [f"Step {i}: {step.text}" for i, step in enumerate(steps, first)]
    if answer is not None:
        paragraphs.append(f"Answer: \\boxed{{{answer}}}")
    return "\n\n".join(paragraphs)


def _write_tagged(problem: Problem, system: str) -> list[Span]:
    before, between, after = TAGGED[system]
    answer = _write((), problem.answer)
    return [(f"{before}{_write(problem.steps, None)}{between}{answer}{after}", True)]


def _write_drill(rng: random.Random, problem: Problem) -> tuple[str, list[Span]]:
    """Ask whether one step is right; the short reply corrects it or says so."""
    step = rng.choice(problem.steps)
    claimed = _slip(rng, step) if rng.random() < 0.5 else step
    verdict = "That is right." if claimed == step else f"Wait, that is not right. {step.text}"
    return f"Check {claimed.text}", [(verdict, True)]


def _slip(rng: random.Random, step: Step) -> Step:
    """Change a step's result the way a hasty writer would; never to the right result."""
    shown = step.result
    candidates = [shown - 10, shown - 2, shown - 1, shown + 1, shown + 2, shown + 10]
    candidates.append(int(str(shown)[::-1]))
    wrong = [number for number in candidates if 0 <= number <= LARGEST and number != shown]
    return Step(step.left, step.op, step.right, rng.choice(wrong))


def _write_doubt(rng: random.Random, problem: Problem, shortcuts: bool) -> list[Span]:
    writers: tuple[Callable[[random.Random, Problem, bool], list[Span]], ...]
    writers = (_write_backtrack, _write_second_try, _write_check)
    return rng.choices(writers, (0.35, 0.3, 0.35))[0](rng, problem, shortcuts)


def _write_backtrack(rng: random.Random, problem: Problem, _: bool) -> list[Span]:
    """A right prefix, one wrong step, a transition, the same step again and the rest."""
    at = rng.randrange(len(problem.steps))
    before = _write(problem.steps[:at], None) + ("\n\n" if at else "")
    wrong = _write([_slip(rng, problem.steps[at])], None, at + 1)
    rest = _write(problem.steps[at:], problem.answer, at + 1)
    return [(before, True), (wrong, False), (f"\n\n{_draw_transition(rng)}\n\n{rest}", True)]


def _write_second_try(rng: random.Random, problem: Problem, shortcuts: bool) -> list[Span]:
    """A whole wrong attempt, a transition, and all steps from the first again."""
    again = _write(problem.steps, problem.answer)
    attempt = _write_wrong_attempt(rng, problem, shortcuts)
    return [(attempt, False), (f"\n\n{_draw_transition(rng)}\n\n{again}", True)]


def _write_check(rng: random.Random, problem: Problem, shortcuts: bool) -> list[Span]:
    """An attempt, right or wrong, then "But wait," and a check of everything or from one step."""
    right = rng.random() < 0.5
    if right:
        attempt = _write(problem.steps, problem.answer if rng.random() < 0.8 else None)
    else:
        attempt = _write_wrong_attempt(rng, problem, shortcuts)
    first = rng.randint(1, len(problem.steps)) if right else 1
    what = "let me check." if first == 1 else f"let me check step {first}."
    check = _write(problem.steps[first - 1 :], problem.answer, first)
    return [(attempt, right), (f"\n\nBut wait, {what}\n\n{check}", True)]


def _write_wrong_attempt(rng: random.Random, problem: Problem, shortcuts: bool) -> str:
    n_steps = rng.randint(0, 1) if shortcuts and rng.random() < 0.6 else len(problem.steps)
    answer = _slip(rng, problem.steps[-1]).result
    if n_steps < len(problem.steps):
        return _write(problem.steps[:n_steps], answer)
    last = problem.steps[-1]
    steps = [*problem.steps[:-1], Step(last.left, last.op, last.right, answer)]
    return _write(steps, answer if rng.random() < 0.8 else None)


def _draw_transition(rng: random.Random) -> str:
    return rng.choices(list(TRANSITIONS), list(TRANSITIONS.values()))[0]


def write_corpus(path: Path, n_records: int, seed: str, shares: Shares) -> None:
    """Write ``n_records`` records as JSON Lines; same arguments, same bytes."""
    rng = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for _ in range(n_records):
            file.write(json.dumps(draw_record(rng, shares), ensure_ascii=False) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Write ``plain.jsonl`` and ``mixed.jsonl``."""
    parser = argparse.ArgumentParser(description="Write the pocket models' pre-training corpus.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the two files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-plain", type=int, default=76_800, help="records in one manner")
    parser.add_argument("--n-mixed", type=int, default=8_000, help="records in mixed manners")
    flags = parser.parse_args(argv)
    write_corpus(flags.out / "plain.jsonl", flags.n_plain, f"{flags.seed}/plain", PLAIN)
    write_corpus(flags.out / "mixed.jsonl", flags.n_mixed, f"{flags.seed}/mixed", MIXED)


if __name__ == "__main__":
    main()
