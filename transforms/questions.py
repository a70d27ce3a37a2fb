"""A row of a source becomes a question, or a dead letter that says why it cannot.

Every reason is in ``REASONS``. A row is refused where no checkable answer can be had from it; it
is never changed to fit, except for encoding damage that can be shown. It leaves out reading files
(pipelines) and duplicates (``duplicates``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.errors import SchemaError
from butwait.schemas.question import Question
from butwait.transforms.answers import last_boxed
from butwait.transforms.encoding import repair_text
from butwait.transforms.problem_text import normalise_problem, question_id
from butwait.transforms.verify import canonical, compare

MAX_PROBLEM_CHARACTERS = 20_000
MAX_SOLUTION_CHARACTERS = 1_000_000
MAX_GOLD_WORDS = 8
"""An answer of more words is prose: no other text can be shown to say the same."""
EXCERPT_CHARACTERS = 500

REASONS = {
    "missing_field": "the row has no problem, or not the text the recipe says it is between",
    "empty": "the problem holds no text",
    "bad_encoding": "a character is lost and nothing shows which it was",
    "malformed_json": "the line or file is not JSON, or not an object",
    "source_not_kept": "its source label is not among those the recipe keeps",
    "too_long": "the problem or its solution is longer than any real one",
    "problem_invalid": "the dataset itself flags the problem as not valid",
    "solution_invalid": "the dataset itself flags the solution as not valid",
    "image_needed": "the problem shows an image that a text model cannot see",
    "several_problems": "several numbered problems stand in one row with one answer",
    "proof": "the problem asks for a proof and for nothing that can be checked",
    "notfound": "the dataset itself says that it found no answer",
    "no_answer": "no answer column and no box in the solution",
    "unclosed_box": "the solution's last box is never closed",
    "empty_box": "the solution's last box holds nothing",
    "multiple_choice_without_options": "the answer is an option's letter, the options are missing",
    "gold_unusable": "the verifier cannot read the answer",
    "answer_conflicts_with_solution": "the answer and the solution's own box are shown to differ",
    "duplicate": "the same problem with an equal answer came earlier",
    "conflicting_duplicate": "the same problem came with an answer that is not equal",
}
"""Why a row does not become a question: ledger bin and its meaning."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """What was read of one row; None where the dataset has no such column or value."""

    dataset: str
    revision: str | None
    licence: str
    r1_derived: bool
    row: int
    """0-based position in the dataset."""
    source: str
    problem: str | None
    answer: str | None = None
    solution: str | None = None
    question_type: str | None = None
    problem_is_valid: str | None = None
    solution_is_valid: str | None = None


def make_question(row: RawRow, keep: tuple[str, ...] | None = None) -> Question | DeadLetter:
    """Return the row's question, or the dead letter that names what it lacks.

    Args:
        row: As read; its texts may hold anything.
        keep: Source labels to keep; None keeps all.
    """
    try:
        if keep is not None and row.source not in keep:
            raise SchemaError("source_not_kept", f"{row.source!r} is not one of {sorted(keep)}")
        return _question(row)
    except SchemaError as refusal:
        return refuse_row(row, refusal.reason, refusal.detail)


def refuse_row(row: RawRow, reason: str, detail: str) -> DeadLetter:
    """Return the dead letter of a row."""
    named = bool(row.problem and normalise_problem(row.problem)) and reason != "bad_encoding"
    name = question_id(row.problem, row.source) if row.problem and named else None
    return DeadLetter(
        stage="questions",
        reason=reason,
        detail=_storable(detail),
        item=name or f"{row.dataset}:{row.row}",
        question_id=name,
        dataset=row.dataset,
        row=row.row,
        excerpt=_storable(row.problem or "")[:EXCERPT_CHARACTERS],
    )


def _question(row: RawRow) -> Question:
    if row.problem is None:
        raise SchemaError("missing_field", "the row has no problem")
    problem = repair_text(row.problem).text.strip()
    source = repair_text(row.source).text
    answer = None if row.answer is None else repair_text(row.answer).text.strip()
    solution = None if row.solution is None else repair_text(row.solution).text
    _check_problem(problem, row)
    _check_flags(row)
    if (solution is not None) and len(solution) > MAX_SOLUTION_CHARACTERS:
        raise SchemaError("too_long", f"the solution has {len(solution)} characters")
    gold = _find_gold(problem, answer, solution)
    gold_canonical = _check_gold(gold, problem)
    if answer and solution:
        _check_agreement(gold, solution, problem)
    return Question(
        id=question_id(problem, source),
        problem=problem,
        gold=gold,
        gold_canonical=gold_canonical,
        gold_from="column" if answer else "boxed",
        solution=solution,
        source=source,
        dataset=row.dataset,
        revision=row.revision,
        licence=row.licence,
        row=row.row,
        r1_derived=row.r1_derived,
    )


# The problem

_IMAGE = re.compile(r"!\[[^\]\n]*\]\s?\(|<img\b|\\includegraphics\b", re.IGNORECASE)
_NUMBERED_PROBLEM = re.compile(r"\*\*\s*p(?:roblem)?\s?(\d+)\s*[.:]?\s*\*\*", re.IGNORECASE)
_ASKS_FOR_PROOF = re.compile(
    r"\b(?:prove[sdn]?|proof|proving|demonstrate|(?:justify|verify)\s+that"
    r"|show,?(?:\s+\w+){0,4},?\s+that)\b|证明|求证",
    re.IGNORECASE,
)
_ASKS_FOR_ANSWER = re.compile(
    r"\b(?:(?<!can )(?<!always )(?<!possible to )find|determine|compute|calculate|evaluate|solve"
    r"|how\s+(?:many|much|long|far|old|large)|what|express|simplify|investigate|construct)\b"
    r"|\?|？|求(?!证)|计算|多少",
    re.IGNORECASE,
)
"""Words that ask for more than a proof; ``which`` and ``where`` are relative too often."""


def _check_problem(problem: str, row: RawRow) -> None:
    if not normalise_problem(problem):
        raise SchemaError("empty", "the problem holds no text")
    if len(problem) > MAX_PROBLEM_CHARACTERS:
        raise SchemaError(
            "too_long",
            f"the problem has {len(problem)} characters, at most {MAX_PROBLEM_CHARACTERS} are read",
        )
    if image := _IMAGE.search(problem):
        raise SchemaError("image_needed", f"the problem shows an image: {image.group()!r}")
    numbers = set(_NUMBERED_PROBLEM.findall(problem))
    if len(numbers) > 1:
        raise SchemaError("several_problems", f"{len(numbers)} numbered problems, one answer")
    if (row.question_type or "").strip().casefold() == "proof":
        raise SchemaError("proof", "the dataset's question_type is proof")
    if _ASKS_FOR_PROOF.search(problem) and not _ASKS_FOR_ANSWER.search(problem):
        raise SchemaError("proof", "the problem asks to prove something and for no answer")


def _check_flags(row: RawRow) -> None:
    flags = (("problem_invalid", row.problem_is_valid), ("solution_invalid", row.solution_is_valid))
    for reason, value in flags:
        if value is not None and value.strip().casefold() not in {"yes", "true", "1"}:
            raise SchemaError(reason, f"the dataset's flag is {value!r}, not 'Yes'")


# The gold answer

_NO_VALUE = {"none", "null", "nan", "n/a", "na", "-"}
_PROOF_WORDS = re.compile(
    r"\b(?:proof|proven|proved|q\.?\s?e\.?\s?d|(?:solution|proof) complete)\b|\\blacksquare|\\qed",
    re.IGNORECASE,
)


def _find_gold(problem: str, answer: str | None, solution: str | None) -> str:
    asks_for_proof = bool(_ASKS_FOR_PROOF.search(problem))
    if answer and answer.casefold() not in _NO_VALUE:
        if answer.casefold() == "notfound":
            raise SchemaError("notfound", "the answer column says 'notfound'")
        gold = read_last_box(answer) if "\\boxed" in answer else answer
    elif solution and solution.strip():
        gold = _read_solution(solution, asks_for_proof)
        if _is_what_to_prove(gold, problem):
            raise SchemaError("proof", f"the solution's box {gold[:60]!r} is what was to be proved")
    else:
        raise SchemaError("no_answer", "the answer column is empty and there is no solution")
    gold = gold.strip()
    if _PROOF_WORDS.search(gold):
        raise SchemaError("proof", f"the answer {gold[:60]!r} only says that something is proved")
    return gold


def _read_solution(solution: str, asks_for_proof: bool) -> str:
    try:
        return read_last_box(solution)
    except SchemaError as fault:
        if fault.reason == "no_answer" and asks_for_proof:
            raise SchemaError("proof", "a proof is asked for and the solution has no box") from None
        raise


def _is_what_to_prove(gold: str, problem: str) -> bool:
    """Whether the problem's last task is a proof and the box repeats a part of its statement."""
    tasks = list(_ASKS_FOR_PROOF.finditer(problem))
    if not tasks or _ASKS_FOR_ANSWER.search(problem, tasks[-1].end()):
        return False
    statement = normalise_problem(problem[tasks[-1].end() :])
    repeated = re.escape(normalise_problem(gold))
    return bool(re.search(rf"(?<![\w.]){repeated}(?!\w|\.\d)", statement))


_EMPTY_BOX = re.compile(r"\\boxed\s*(?:\{[\s~$.]*\}|\[\s*\])")


def read_last_box(text: str) -> str:
    """Return what the last box of a text holds.

    Raises:
        SchemaError: ``no_answer`` (no box), ``empty_box`` or ``unclosed_box``: an earlier box is
            never taken for the last one.
    """
    start = text.rfind("\\boxed")
    if start < 0:
        raise SchemaError("no_answer", "the solution has no box")
    tail = text[start:]
    if _EMPTY_BOX.match(tail):
        raise SchemaError("empty_box", f"the solution's last box holds nothing: {tail[:40]!r}")
    content = last_boxed(tail)
    if content is None:
        raise SchemaError("unclosed_box", f"the solution's last box never closes: {tail[:40]!r}")
    return content.text


_LETTERS = re.compile(r"[A-E](?:[\s,;]*(?:and)?[\s,;]*[A-E]){0,4}")
_WRAPPING = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\b|[\s{}()$.\\]")
_OPTION = re.compile(r"(?<![A-Za-z])([A-E])\s*(?:[).:．、，：]|\\\))")
_FONT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\b|[{}$~]|\\[ ,;]")


_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORD = re.compile(r"[A-Za-z]{3,}")


def _check_gold(gold: str, problem: str) -> str:
    letters = _WRAPPING.sub("", gold)
    if _LETTERS.fullmatch(letters) and not _knows_letters(problem, letters):
        raise SchemaError(
            "multiple_choice_without_options",
            f"the answer is {gold[:60]!r} and the problem lists no options",
        )
    n_words = len(_WORD.findall(_COMMAND.sub(" ", gold)))
    if n_words > MAX_GOLD_WORDS:
        raise SchemaError(
            "gold_unusable", f"the answer is prose of {n_words} words: {gold[:100]!r}"
        )
    gold_canonical = canonical(gold) if gold else None
    if not gold_canonical:
        raise SchemaError("gold_unusable", f"the verifier cannot read the answer {gold[:200]!r}")
    return gold_canonical


def _knows_letters(problem: str, letters: str) -> bool:
    """Whether the problem lists options, or itself speaks of what the letters name."""
    plain = _FONT.sub(" ", problem)
    wanted = set(re.findall("[A-E]", letters))
    options = set(_OPTION.findall(plain))
    if len(options) > 1 and wanted <= options:
        return True
    return all(re.search(rf"(?<![A-Za-z\\]){letter}(?![A-Za-z])", plain) for letter in wanted)


def _check_agreement(gold: str, solution: str, problem: str) -> None:
    """Refuse a gold answer that the solution, or the thinking in it, is shown to contradict."""
    for part in solution.rpartition("</think>")[::2]:
        box = _boxed_in(part)
        if box is None or not canonical(box):
            continue
        if compare(gold, box, problem=problem).verdict == "incorrect":
            raise SchemaError(
                "answer_conflicts_with_solution",
                f"the answer is {gold[:100]!r}, the solution's own box holds {box[:100]!r}",
            )


def _boxed_in(text: str) -> str | None:
    """Return the last box's content; an unclosed one is taken to end with its line."""
    try:
        return read_last_box(text)
    except SchemaError as fault:
        if fault.reason != "unclosed_box":
            return None
    line = text[text.rfind("\\boxed") :].splitlines()[0]
    return line.removeprefix("\\boxed").strip().removeprefix("{").rstrip(" $.")


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
