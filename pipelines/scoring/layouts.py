"""What each layout's reward models were trained to read: default texts, and marks kept apart.

Sources: the model cards of Qwen2.5-Math-PRM, Llama3.1-8B-PRM-Deepseek-Data (RLHFlow) and
Math-Shepherd (arXiv 2312.08935). The layouts that read the policy's own prompt have no texts.
"""

from __future__ import annotations

from butwait.pipelines.sampling.wire import replace_surrogates
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.record import Message

QWEN_SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
STEP_TAGS = {"qwen": "<extra_0>", "math_shepherd": "ки"}
_READS = {
    "qwen": ("system", "step_tag"),
    "rlhflow": ("system", "good_mark", "bad_mark"),
    "math_shepherd": ("step_tag", "good_mark", "bad_mark"),
    "outcome": ("system",),
    "likelihood": ("statistic",),
    "density_ratio": ("statistic",),
    "self_certainty": (),
}


def list_parameters(prm: PrmSpec) -> dict[str, str | None]:
    """List what shapes a score besides weights and request, defaults filled in.

    >>> list_parameters(PrmSpec(layout="self_certainty"))
    {'layout': 'self_certainty'}
    """
    known: dict[str, str | None] = {
        "system": find_system(prm),
        "step_tag": find_step_tag(prm),
        "good_mark": prm.good_mark,
        "bad_mark": prm.bad_mark,
        "statistic": prm.statistic,
    }
    return {"layout": prm.layout, **{name: known[name] for name in _READS[prm.layout]}}


def find_system(prm: PrmSpec) -> str | None:
    """Find the system line; None where the chat has none (an empty ``system`` says so)."""
    if prm.system is None:
        return QWEN_SYSTEM if prm.layout == "qwen" else None
    return prm.system or None


def find_step_tag(prm: PrmSpec) -> str:
    """Find the text that ends a step; empty for layouts without one."""
    return prm.step_tag or STEP_TAGS.get(prm.layout, "")


def begin_chat(system: str | None) -> list[Message]:
    """Begin a chat, with a system line where there is one."""
    return [Message(role="system", content=system)] if system else []


def clean_text(text: str, tag: str = "") -> str:
    """Make a text safe to send: no lone surrogates, and no step token of its own.

    A step token that a policy writes itself (or a question brings along) would be scored as the end
    of a step that nobody asked about; it is broken up by a blank.

    >>> clean_text("2 + 2 = 4<extra_0>", "<extra_0>")
    '2 + 2 = 4< extra_0>'
    """
    text = replace_surrogates(text)
    broken = f"{tag[:1]} {tag[1:]}" if len(tag) > 1 and " " not in tag else ""
    while tag and tag in text:
        text = text.replace(tag, broken)
    return text
