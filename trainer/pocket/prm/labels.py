"""Exact labels for solutions of pocket problems: is everything written so far right?

A solution is a row of paragraphs. ``Step k: a op b = c`` is right when it equals the reference's
step k (the operands of ``+`` and ``*`` may change places) and the steps before it stand right. A
step that is written again replaces the earlier one and drops what followed from it, so that a
correction makes a text right again. A paragraph with a box is right when the box holds the
reference's answer. Words between steps change nothing. A solution that reaches the right answer by
right arithmetic in another order is right throughout.

    >>> reference = "Step 1: 3 + 4 = 7\\n\\nStep 2: 7 * 2 = 14\\n\\nAnswer: \\\\boxed{14}"
    >>> label_paragraphs("Step 1: 4 + 3 = 7\\n\\nStep 2: 7 * 2 = 15", reference)
    [True, False]
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import takewhile

from butwait.trainer.pocket.measure import read_boxed

GAP = "\n\n"
_STEP = re.compile(r"Step (\d{1,2}): (\d{1,3}) ([-+*/]) (\d{1,3}) = (\d{1,3})")
_BOX = "\\boxed{"


@dataclass
class Reading:
    """What stands after the paragraphs read so far.

    ``stands`` says of each current step, in order, whether it equals the reference's;
    ``answer`` is whether the current box is right, None when there is none.
    """

    stands: list[bool] = field(default_factory=list)
    answer: bool | None = None

    @property
    def right(self) -> bool:
        """Whether all so far is right; a box outweighs the steps."""
        return all(self.stands) if self.answer is None else self.answer


def label_characters(text: str, reference: str) -> list[bool]:
    """Label each character: is the text right up to and including it?

    Inside a paragraph the label falls at the first character that no right paragraph would have
    there; whether a paragraph mends earlier ones shows at its last character.

    Args:
        text: A solution, whole or begun, paragraphs apart by a blank line.
        reference: The right solution in the same manner, with its box.
    """
    if _reaches_the_answer(text, reference):
        return [True] * len(text)
    labels: list[bool] = []
    reading = Reading()
    for i, paragraph in enumerate(text.split(GAP)):
        if i > 0:
            labels += [reading.right] * len(GAP)
        before = reading.right
        n_right = _count_right(paragraph, reading, reference)
        _read_paragraph(paragraph, reading, reference)
        inside = [before and i < n_right for i in range(len(paragraph))]
        labels += [*inside[:-1], reading.right] if inside else []
    return labels


def label_paragraphs(text: str, reference: str) -> list[bool]:
    """Label each paragraph: is the text right up to its end? Empty paragraphs are left out."""
    labels = label_characters(text, reference)
    ends, at = [], 0
    for paragraph in text.split(GAP):
        if paragraph:
            ends.append(at + len(paragraph) - 1)
        at += len(paragraph) + len(GAP)
    return [labels[end] for end in ends]


def is_full_manner(text: str, reference: str) -> bool:
    """Tell whether a solution writes at least as many distinct steps as the reference."""
    return len(set(_STEP.findall(text))) >= len(_STEP.findall(reference))


def _read_paragraph(paragraph: str, reading: Reading, reference: str) -> None:
    if _BOX in paragraph:
        reading.answer = read_boxed(paragraph) == read_boxed(reference)
    elif paragraph.startswith("Step"):
        _read_step(paragraph, reading, reference)


def _read_step(paragraph: str, reading: Reading, reference: str) -> None:
    """Put the step in its place; one that cannot be read or skips a place is wrong."""
    number = re.match(r"Step (\d{1,2})\b", paragraph)
    place = int(number.group(1)) - 1 if number else len(reading.stands)
    known = 0 <= place <= len(reading.stands)
    wanted = _find_variants(reference, place)
    del reading.stands[place if known else len(reading.stands) :]
    reading.stands.append(known and paragraph in wanted)
    reading.answer = None


def _find_variants(reference: str, place: int) -> list[str]:
    """The reference's step at a place (0-based), also with operands exchanged; may be empty."""
    steps = _STEP.findall(reference)
    if not 0 <= place < len(steps):
        return []
    k, a, op, b, c = steps[place]
    pairs = [(a, b), (b, a)] if op in "+*" else [(a, b)]
    return [f"Step {k}: {left} {op} {right} = {c}" for left, right in pairs]


def _count_right(paragraph: str, reading: Reading, reference: str) -> int:
    """Count the paragraph's first characters that a right paragraph could have."""
    if _BOX in paragraph:
        start, _, boxed = paragraph.partition(_BOX)
        gold = read_boxed(reference) + "}"
        return len(start) + len(_BOX) + _count_common(boxed, gold)
    if not paragraph.startswith("Step"):
        return len(paragraph)
    number = re.match(r"Step (\d{1,2})\b", paragraph)
    place = int(number.group(1)) - 1 if number else len(reading.stands)
    variants = _find_variants(reference, place) if place <= len(reading.stands) else []
    return max((_count_common(paragraph, variant) for variant in variants), default=0)


def _count_common(text: str, other: str) -> int:
    """Count the first characters that two texts share."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text, other, strict=False))
    )


def _reaches_the_answer(text: str, reference: str) -> bool:
    """Tell whether the arithmetic is right everywhere and the last box holds the answer."""
    paragraphs = text.split(GAP)
    steps = [_STEP.fullmatch(p) for p in paragraphs if p.startswith("Step")]
    sound = all(step is not None and _is_sound(*step.groups()[1:]) for step in steps)
    return sound and read_boxed(text) == read_boxed(reference) and text.count(_BOX) == 1


def _is_sound(left: str, op: str, right: str, result: str) -> bool:
    a, b, c = int(left), int(right), int(result)
    if op == "/":
        return b != 0 and a == b * c
    return c == {"+": a + b, "-": a - b, "*": a * b}[op]
