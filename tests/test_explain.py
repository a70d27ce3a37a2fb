"""``explain``: every rule has a sentence, and the parts that differ are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from butwait.transforms.verify import explain, verify
from butwait.transforms.verify.rules import RULES, meaning

# Rules that say where an answer was found, not what was decided.
PLACES = {"box", "joined_boxes", "tag", "label", "line", "conclusion", "value"}
PATTERNS = (
    r'Found\(\s*"\w+",\s*"(\w[\w ]*)"',
    r'Found\(\s*"[^"]+" if [^,]+,\s*"(\w[\w ]*)"',
    r'Extraction\(\s*"\w+",\s*"(\w+)"',
    r'_say\(\s*"(\w[\w ]*)"',
    r'self\.rule = "(\w[\w ]*)"',
    r'return (?:True|False|None|[a-z_]+\.rule|\([^)]*\)), "(\w+)"',
)


def test_every_rule_in_the_code_has_a_sentence_and_every_sentence_a_rule(root: Path) -> None:
    files = [*(root / "transforms" / "verify").glob("*.py")]
    files += [root / "transforms" / name for name in ("answers.py", "statements.py")]
    code = "\n".join(path.read_text() for path in files if path.name != "rules.py")
    used = {name for pattern in PATTERNS for name in re.findall(pattern, code)} - PLACES
    assert used - set(RULES) == set()
    assert {name for name in RULES if f'"{name}"' not in code} == set()


def test_a_symbolic_rule_is_explained_by_its_parts() -> None:
    assert meaning("symbolic set").startswith("sets are compared")


@pytest.mark.parametrize(
    ("gold", "answer", "sentence"),
    [
        ("(1, 2)", "(1, 3)", "place 2 differs: 2 against 3"),
        ("(1, 2)", "(1, 2, 3)", "the gold has 2 places, the answer 3"),
        (r"\{1, 2, 3\}", "1, 2, 4", "missing: 3"),
        (r"\{1, 2, 3\}", "1, 2, 4", "not in the gold: 4"),
        ("1, 2", "1, 2, 2", "not in the gold: 2"),
        ("[1, 2)", "[1, 2]", "the right end is open in the gold, closed here"),
        ("[1, 2)", "[0, 2)", "the left end differs: 1 against 0"),
        (r"(1,2)\cup(3,4)", "[1,2)", "the gold has 2 pieces, the answer 1"),
        (
            r"\begin{pmatrix}1&2\\3&4\end{pmatrix}",
            r"\begin{pmatrix}1&2\\3&5\end{pmatrix}",
            "row 2, column 2 differs: 4 against 5",
        ),
        (
            r"\begin{pmatrix}1\\2\end{pmatrix}",
            r"\begin{pmatrix}1&2\end{pmatrix}",
            "the gold is 2 by 1, the answer 1 by 2",
        ),
    ],
)
def test_what_differs_is_named(gold: str, answer: str, sentence: str) -> None:
    found = explain(gold, answer, kind="answer")
    assert found.verdict.verdict == "incorrect"
    assert sentence in found.steps


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"so \boxed{8}", 'found in the last box: "8"'),
        ("<think>7", "the thought is never closed"),
        ("The answer is 8.", "found after the last label"),
        ("Hello there, friend.", "there is no box, tag, label"),
        ("so 7. " + "x" * 10_000 + r" \boxed{" + "9" * 5_000 + "}", " ... "),
    ],
)
def test_where_the_answer_was_found_is_said(text: str, words: str) -> None:
    assert words in str(explain("7", text))


@pytest.mark.parametrize(
    "text", ["", "\x00", "\x1b[2J\\boxed{1}", "\ud800", "{" * 5_000, "\u202e5"]
)
def test_hostile_text_is_explained_escaped_and_nothing_is_raised(text: str) -> None:
    for pair in (("5", text), (text, "5")):
        shown = str(explain(*pair))
        assert all(c.isprintable() or c == "\n" for c in shown)
        assert len(shown) < 3_000


def test_an_explanation_carries_the_verdict_of_the_same_check() -> None:
    for gold, answer in (("1/2", "0.5"), ("5 cm", "5 m"), ("proof", "x"), ("x^2", "x^3")):
        same = verify(gold, answer, kind="answer")
        found = explain(gold, answer, kind="answer").verdict
        assert (found.verdict, found.rule) == (same.verdict, same.rule)


@pytest.mark.alone
def test_a_check_without_a_decision_says_what_to_do() -> None:
    prose = "It is a very long sentence about nothing at all in here"
    assert "give the bare answer" in str(explain(prose, "5"))
    assert "look at the pair by hand" in str(explain("h(x)", "h(2x)", kind="answer"))
