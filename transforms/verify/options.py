"""The options of a multiple-choice question, read from its text."""

from __future__ import annotations

import re

_MARK = re.compile(
    r"(?:\\(?:text|textbf|mathrm|mathbf|bf|rm) ?\{ ?)?\(?\b([A-J])\b(?:\)|\.|:)[ ~}]*(?:\\ )?"
)
_END = re.compile(r"\\q?quad|\\hspace|\\\\|\n|\$\s*\Z|[ ,;.]+\Z")


def options_of(problem: str) -> dict[str, str]:
    """Letter to option text; empty unless the options start at A and go on in order.

    >>> options_of("How many? (A) 1 (B) 2 (C) 3")
    {'A': '1', 'B': '2', 'C': '3'}
    """
    tail = problem[-3_000:]
    marks = list(_MARK.finditer(tail))
    starts = [k for k, mark in enumerate(marks) if mark[1] == "A"]
    if not starts:
        return {}
    run: list[re.Match[str]] = []
    for mark in marks[starts[-1] :]:
        if mark[1] != chr(ord("A") + len(run)):
            break
        run.append(mark)
    if len(run) < 2:
        return {}
    ends = [mark.start() for mark in run[1:]] + [len(tail)]
    return {m[1]: _trim(tail[m.end() : end]) for m, end in zip(run, ends, strict=True)}


def _trim(text: str) -> str:
    cut = _END.search(text.strip(" $"))
    text = text.strip(" $")
    text = (text[: cut.start()] if cut and cut.start() else text).strip(" $,;.")
    # "\\mathrm{(A) 5}" leaves the brace of its command behind.
    while text.endswith("}") and text.count("}") > text.count("{"):
        text = text[:-1].rstrip()
    return text
