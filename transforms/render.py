r"""Markers around thought and solution, with exact character spans.

- ``bespoke``: the four markers of Bespoke-Stratos, each with blank lines around it.
- ``thinking_answer``: one ``<thinking>`` and one ``<answer>`` block. The answer block holds the
  boxed final answer and nothing else, with a span of its own; the solution stands at the end of the
  thinking block, and is left out where it says no more than the answer block does.
- ``think_boxed``: a ``<think>`` block, then the solution.
- ``plain``: thought, blank line, solution; a thought that ends with a transition (which carries
  its own white space) is followed at once.

Spans cover the segments in order and exactly; between them stand only markers and white space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from butwait.schemas.recipe_rows import RendererName
from butwait.schemas.trace import Role, Segment, Span, Trace
from butwait.transforms.thoughts import BESPOKE, THINK, THINKING, box_spans, last_box_span

MARKERS: dict[RendererName, tuple[str, ...]] = {
    "bespoke": (BESPOKE.begin, BESPOKE.end, BESPOKE.begin_solution, BESPOKE.end_solution),
    "thinking_answer": (
        THINKING.begin,
        THINKING.end,
        THINKING.begin_solution,
        THINKING.end_solution,
    ),
    "think_boxed": (THINK.begin, THINK.end),
    "plain": (),
}
"""Markers of each renderer in the order in which a completion holds them, once each."""
_MOST_WORDS = 8  # of a sentence that only restates the answer, the box apart
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A completion and its labelled spans."""

    text: str
    spans: tuple[Span, ...]


@dataclass(slots=True)
class _Page:
    """Text so far and the spans in it."""

    parts: list[str] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    length: int = 0

    def write(self, text: str, role: Role | None = None) -> None:
        """Append text, labelled where it has a role."""
        if role is not None:
            self.spans.append(Span(start=self.length, end=self.length + len(text), role=role))
        self.parts.append(text)
        self.length += len(text)

    def write_all(self, segments: tuple[Segment, ...]) -> None:
        """Append segments one after the other."""
        for segment in segments:
            self.write(segment.text, segment.role)

    def finish(self) -> Rendered:
        """The page as it is."""
        return Rendered("".join(self.parts), tuple(self.spans))


def render(trace: Trace, renderer: RendererName) -> Rendered:
    """Write a trace as the completion of a row.

    Args:
        trace: Thought and solution as segments.
        renderer: Name of the layout.

    Returns:
        The text and the spans of its segments.
    """
    page = _Page()
    if renderer == "thinking_answer":
        _write_thinking_answer(page, trace)
    elif renderer == "bespoke":
        page.write(f"{BESPOKE.begin}\n\n")
        page.write_all(trace.thought)
        page.write(f"\n\n{BESPOKE.end}\n\n{BESPOKE.begin_solution}\n\n")
        page.write_all(trace.solution)
        page.write(f"\n\n{BESPOKE.end_solution}")
    elif renderer == "think_boxed":
        page.write(f"{THINK.begin}\n")
        page.write_all(trace.thought)
        page.write(f"\n{THINK.end}\n\n")
        page.write_all(trace.solution)
    else:
        page.write_all(trace.thought)
        page.write("\n\n" if trace.thought and trace.thought[-1].role != "transition" else "")
        page.write_all(trace.solution)
    return page.finish()


def only_restates(solution: str) -> bool:
    """Whether a solution is one short sentence around its box, so that it may be left out."""
    box = last_box_span(solution)
    if box is None or "\n\n" in solution:
        return False
    around = solution[: box[0]] + solution[box[1] :]
    return len(_WORD.findall(around)) <= _MOST_WORDS and not any(c.isdigit() for c in around)


def boxed_answer(trace: Trace) -> str:
    """The solution's box as it was written; the label in a box where there are several or none."""
    solution = trace.solution_text
    boxes = [solution[start:end] for start, end in box_spans(solution)]
    if len(set(boxes)) == 1:
        return boxes[0]
    return f"\\boxed{{{trace.answer.strip().strip('$')}}}"


def _write_thinking_answer(page: _Page, trace: Trace) -> None:
    page.write(f"{THINKING.begin}\n")
    page.write_all(trace.thought)
    if not only_restates(trace.solution_text):
        page.write("\n\n" if trace.thought else "")
        page.write_all(trace.solution)
    page.write(f"\n{THINKING.end}\n{THINKING.begin_solution}\n")
    page.write(boxed_answer(trace), "answer")
    page.write(f"\n{THINKING.end_solution}")
