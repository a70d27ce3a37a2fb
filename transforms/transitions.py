"""Where a text turns round: "But wait,", "Hold on!", "Let me try again.".

Counts of words, not of thoughts: a model may say "wait" and go on as before. Only turns at the
beginning of a line or sentence count; turns in neighbouring sentences of a line are one. English
only.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TURN = re.compile(
    r"(?:\A|(?<=\n)|(?<=[.!?:]\s)|(?<=\.\.\.))[ \t*_>]{0,8}"
    r"(?:but\s{1,3}wait|wait|hold on|hmm|oops|alternatively|on second thought|scratch that"
    r"|(?:no|actually),|i (?:have )?made an? (?:\w{1,12} )?(?:mistake|error)"
    r"|(?:this|that)(?:'s| is| was| seems| looks| cannot be| can't be) "
    r"(?:wrong|incorrect|not right|a mistake|right)"
    r"|let(?:'s| me| us) (?:double[- ]check|re-?check|re-?consider|re-?do|re-?think|re-?examine"
    r"|re-?compute|re-?calculate|re-?start|check (?:again|this|that|it|my)|try again|try another"
    r"|try a different|think again|start over|start again|go back|verify))\b",
    re.IGNORECASE,
)
_WRONG = re.compile(
    r"\b(?:mistake|error|wrong|incorrect|not right|can(?:no|')t be (?:right|correct)|oops"
    r"|scratch that|try again|start over|start again|go back|re-?do|re-?start|try another"
    r"|try a different)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?]")
_LOOK = 160  # characters after a turn in which it may say that something was wrong


class Turn(NamedTuple):
    """One place where a text turns round."""

    start: int
    """Character at which it begins."""
    is_backtrack: bool
    """Whether it says that something was wrong, or begins again."""


def find_turns(text: str) -> list[Turn]:
    r"""Return a text's turns in order.

    Args:
        text: A model's answer.

    >>> find_turns("It is 7.\n\nHold on! I made a mistake. Let me try again. It is 8.")
    [Turn(start=10, is_backtrack=True)]
    >>> [turn.is_backtrack for turn in find_turns("So 7.\nBut wait, let me check. Yes, 7.")]
    [False]
    """
    runs: list[tuple[int, int]] = []
    for match in _TURN.finditer(text):
        between = text[runs[-1][1] : match.start()] if runs else "\n"
        if runs and "\n" not in between and len(_SENTENCE_END.findall(between[:500])) <= 1:
            runs[-1] = (runs[-1][0], match.end())
        else:
            runs.append((match.start(), match.end()))
    return [Turn(start, _says_wrong(text, start, end)) for start, end in runs]


def _says_wrong(text: str, start: int, end: int) -> bool:
    said = text[start : end + _LOOK].partition("\n")[0]
    return _WRONG.search(said) is not None
