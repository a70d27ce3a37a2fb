r"""System-prompt presets, chat messages and raw prompts.

``bespoke`` asks for the four thought and solution markers, ``sal`` for "## Step n:" headings, and
both are worded anew here; ``qwen`` is the one line that Qwen's maths models are asked with;
``none`` is no system message. The presets are those of the "Lessons on Reproducing R1-like
Reasoning" posts. Left out: chat templates, which belong to the served model.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe import SamplingSpec
from butwait.schemas.record import Message

PresetName = Literal["bespoke", "qwen", "sal", "none"]
PRESETS: tuple[str, ...] = get_args(PresetName)
OWN = "own"
"""Name that stands for a system prompt given as text."""

_QWEN = r"Please reason step by step, and put your final answer within \boxed{}."
_BESPOKE = (
    "Answer every question in two sections, a thought and then a solution.\n\n"
    "The thought is where you work. Take the question apart, plan, try ideas, carry them out in "
    "small steps, check what you got, and when something looks wrong say so, go back and try "
    "another way. Write it in this layout, with blank lines between the steps:\n"
    "<|begin_of_thought|>\n\n{your steps}\n\n<|end_of_thought|>\n\n"
    "The solution is what the reader keeps. Using only what held up in the thought, give the "
    "necessary steps and the final answer, briefly and in order. Write it in this layout:\n"
    "<|begin_of_solution|>\n\n{the final, checked solution}\n\n<|end_of_solution|>\n\n"
    "Write nothing outside the two sections. Now solve the question you are given in this way."
)
_SAL = (
    "Solve the mathematics problem as clearly and as briefly as it allows.\n\n"
    "- If it takes two steps or fewer, give a short solution with little explanation.\n"
    "- If it takes three steps or more, lay them out like this:\n\n"
    "## Step 1: [what this step does]\n[the calculation in a few words]\n\n"
    "## Step 2: [what this step does]\n[the calculation in a few words]\n\n...\n\n"
    "In either case end with this line, with the answer alone in the box:\n\n"
    r"Therefore, the final answer is: $\boxed{answer}$. I hope it is correct."
)
_TEXTS: dict[str, str | None] = {"bespoke": _BESPOKE, "qwen": _QWEN, "sal": _SAL, "none": None}
_BESPOKE_REQUEST = r"Return your final response within \boxed{}."
_FIELDS = re.compile(r"\{(problem|system)\}")


def system_prompt(preset: str) -> str | None:
    """The text of a preset; None for ``none``, which has no system message.

    Raises:
        ConfigError: There is no such preset.
    """
    if preset not in _TEXTS:
        raise ConfigError(f"no prompt preset {preset!r}: choose one of {', '.join(PRESETS)}")
    return _TEXTS[preset]


def build_messages(
    problem: str, preset: str = "none", system: str | None = None
) -> tuple[Message, ...]:
    """The chat turns that ask for a solution.

    Args:
        problem: The question's text, taken as it is.
        preset: A preset, or ``own`` for ``system``.
        system: A system prompt of one's own; it stands in for the preset's.

    Returns:
        A system turn, where there is one, and a user turn.

    Raises:
        ConfigError: There is no such preset.
    """
    text = system if system is not None or preset == OWN else system_prompt(preset)
    asks_for_box = preset == "bespoke" and system is None
    content = f"{_BESPOKE_REQUEST} {problem}" if asks_for_box else problem
    user = Message(role="user", content=content)
    return (Message(role="system", content=text), user) if text else (user,)


def read_prompt(sampling: SamplingSpec) -> tuple[str, str | None]:
    """Which preset a recipe samples with, and its system text.

    Returns:
        ``("own", text)`` for a system prompt given as text, else the preset and its text. A raw
        template that has no place for a system prompt has none; ``qwen`` where nothing is said.
    """
    if sampling.system is not None:
        return OWN, sampling.system
    if sampling.template is not None and "{system}" not in sampling.template:
        return "none", None
    preset = sampling.prompt or "qwen"
    return preset, system_prompt(preset)


def fill_template(template: str, problem: str, system: str | None = None) -> str:
    r"""A raw completion prompt.

    Args:
        template: Text with ``{problem}`` and perhaps ``{system}``; other braces are text.
        problem: Put in as it is, braces and all; nothing inside it is replaced.
        system: Put in for ``{system}``; nothing where it is None.

    Returns:
        The prompt.

    >>> fill_template("{system}Q: {problem}\nA:", "Is {x} = {problem}?")
    'Q: Is {x} = {problem}?\nA:'
    """
    values = {"problem": problem, "system": system or ""}
    return _FIELDS.sub(lambda match: values[match.group(1)], template)
