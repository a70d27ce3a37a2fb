"""What two answers mean to each other, rule by rule, and the laws every verdict obeys."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from butwait.transforms.verify import VERIFIER_VERSION, canonical, compare, verify, verify_many

# Each line: two answers that mean the same, in both directions.
SAME = r"""
1/4 # 0.25
0.333... # 1/3
0.1\overline{6} # \frac16
0.\dot{3} # 1/3
0.(142857) # \frac17
50\% # 0.5
10\% # 10 percent
\frac{\pi}{2} # 90^\circ
60^\circ # 60
\sin 30^\circ # 1/2
51^\circ 30' # 51.5^\circ
1,000 # 1000
1\,000\,000 # 10^6
10,\!080 # 10080
100, 200 # 100,200
2\frac{1}{4} # 9/4
2 1/4 # 2.25
½ # 0.5
2½ # 5/2
√2 # \sqrt{2}
√12 # 2\sqrt 3
x² + 1 # x^2+1
２ # 2
twenty-five # 25
\{1,2,3\} # \{3,2,1\}
\{1,1,2\} # \{2,1\}
1, 2 # 2, 1
3, 5, 7 # 3, 5 \text{ and } 7
x = \pm 3 # x=3 \text{ or } x=-3
3 \pm \sqrt{2} # 3+\sqrt2, 3-\sqrt2
\frac{1 \pm \sqrt{5}}{2} # \frac{1-\sqrt5}{2}, \frac{1+\sqrt5}{2}
\{1\pm\sqrt{5},-2\} # -2, 1+\sqrt5, 1-\sqrt5
(x,y) = (1,2) # x=1, y=2
x=1, y=2 # y=2, x=1
(1,2) # x=1, y=2
[2,5] # 2 \le x \le 5
(-\infty, 2) # x < 2
\{x|x > 3\} # (3,\infty)
\{x \in \mathbb{R} : x \neq 2\} # (-\infty,2)\cup(2,\infty)
x \ne 2 # \mathbb{R}\setminus\{2\}
(1,3)\cup\{3\} # (1,3]
2x > 6 # x > 3
i^2 # -1
\frac{1}{i} # -i
(1+i)^4 # -4
e^{i\pi} # -1
2(\cos 60^\circ + i\sin 60^\circ) # 1+\sqrt3 i
\ln e^2 # 2
\log_2 8 # 3
2\ln 3 # \ln 9
\log_{10} 2 # \frac{\ln 2}{\ln 10}
\cos 2x # 2\cos^2 x - 1
\sin 2x # 2 \sin x\cos x
\frac{x^2-1}{x-1} # x+1
(a+b)^3 # a^3+3a^2b+3ab^2+b^3
n! # n \cdot (n-1)!
\binom{n}{2} # \frac{n(n-1)}{2}
5!! # 15
\sqrt{3+2\sqrt2} # 1+\sqrt2
\sqrt[3]{-8} # -2
\frac{\sqrt6+\sqrt2}{4} # \cos 15^\circ
\frac{1}{1+\sqrt2} # \sqrt2-1
\arctan\frac12+\arctan\frac13 # \frac{\pi}{4}
7 \bmod 5 # 2
x \equiv 3 \pmod 5 # x \equiv 8 \pmod{5}
101_2 # 5
B # (B)
B # \text{B. } 12
x \in (-\infty,2) # x<2
{x^2} # x^2
1:2 # 2:4
1:2 # \frac12
5 cm # 50 mm
5\text{ m} # 5m
60 minutes # 1 hour
\$0.50 # 50 cents
72 \text{ km/h} # 20 m/s
18 apples # 18
no solution # No solution.
y = 2x+1 # 2x-y+1=0
x^2+y^2=25 # 2x^2+2y^2-50=0
y = \frac{1}{x} # xy = 1
\begin{pmatrix}1\\2\end{pmatrix} # \begin{bmatrix}1\\2\end{bmatrix}
\begin{vmatrix}1&2\\3&4\end{vmatrix} # -2
1.2e-3 # 0.0012
\emptyset # \{\}
4:30 # 4:30 p.m.
|x-3| # |3-x|
\sqrt{x^2} # |x|
4^n # 2^{2n}
2^{100} # 1267650600228229401496703205376
"""

DIFFERENT = r"""
1/3 # 0.3333333
\pi # 3.14159
1.25 # 1.2500001
10^{-20} # 10^{-21}
\frac{1}{20!} # \frac{1}{19!}
\frac{1}{2^{70}} # \frac{1}{2^{71}}
100000 # 99999
(1,2) # \{1,2\}
(1,2) # (2,1)
(2,3) # 2,3
[1,2) # (1,2)
(1,5) # (1,5]
5 cm # 5 m
5 cm^2 # 5 cm
30 degrees # 30 radians
x=3 # y=3
x>3 # x<3
x+y=3 # 3
101_2 # 101_3
3 \pmod 5 # 3
\mathbb{R} # \mathbb{Z}
\{\{1\}\} # \{1\}
|x| # x
2^{x} # x^2
\ln x # \log_{10} x
1:2 # 2:1
4:30 p.m. # 4:30 a.m.
1 # 1 or 2
\{1\pm\sqrt{5},-2\} # \{1+\sqrt{5},-2\}
\text{cat} # \text{dog}
A # B
A, B # A
0 # \emptyset
\infty # -\infty
\sin x # \sin y
9^{9^{9^{9}}} # 9^{9^{9^{8}}}
10^{10^{10}} # 1
1 # \frac{7^{7^{8}}-1}{6}
1000000007 # 1000000009
\sqrt{2} # \frac{665857}{470832}
50\% # 50^\circ
\$5 # 5\%
odd # add
4 # 4\sqrt(2)
1<x<3 # 1<y<3
x \in (0,1) # y \in (0,1)
x = 4 \text{ and } x = 5 # y = 4 \text{ and } x = 5
(12,12) # [12,12)
(-\infty,1] # [-\infty,1]
-1 > -2 # -1 > -6
\{1,2,3\} # \{1,2,-3\}
③(0,-2) # ③(9,-2)
"""


def pairs(table: str) -> list[tuple[str, str]]:
    return [tuple(line.split(" # ")) for line in table.strip().splitlines()]  # type: ignore[misc]


@pytest.mark.parametrize(("one", "two"), pairs(SAME))
def test_these_two_answers_mean_the_same_in_both_directions(one: str, two: str) -> None:
    assert compare(one, two).verdict == "correct"
    assert compare(two, one).verdict == "correct"


@pytest.mark.parametrize(("one", "two"), pairs(DIFFERENT))
def test_these_two_answers_are_told_apart_in_both_directions(one: str, two: str) -> None:
    assert compare(one, two).verdict == "incorrect"
    assert compare(two, one).verdict == "incorrect"


def test_a_trace_may_leave_out_the_percent_sign_of_its_gold_and_not_the_reverse() -> None:
    assert verify(r"10\%", r"So \boxed{10}.").verdict == "correct"
    assert verify("10", r"So \boxed{10\%}.").verdict == "incorrect"


def test_bare_answers_with_and_without_a_percent_sign_are_two_values_in_both_directions() -> None:
    assert compare(r"10\%", "10").verdict == "incorrect"
    assert compare("10", r"10\%").verdict == "incorrect"
    assert compare(r"10\%", "0.1").verdict == compare("0.1", r"10\%").verdict == "correct"


UNUSABLE = ["", "   ", "$", "proof", "notfound", r"\frac{0}{0}", "9" * 100_000, "?"]


@pytest.mark.parametrize("gold", UNUSABLE, ids=range(len(UNUSABLE)))
def test_a_gold_that_cannot_be_checked_against_is_unusable_and_never_correct(gold: str) -> None:
    assert compare(gold, gold).verdict == "gold_unusable"
    assert canonical(gold) is None


def test_a_long_sentence_is_no_gold() -> None:
    gold = "every triangle whose sides are equal has three equal angles and that was to be shown"
    assert compare(gold, "60").rule == "prose_gold"


def test_canonical_texts_of_common_golds() -> None:
    golds = {"0.50": "1/2", r"\text{Even}": "even", "3, 5": "3, 5", "[0,1)": "[0, 1)", "25": "25"}
    assert {gold: canonical(gold) for gold in golds} == golds


def test_the_finish_reason_tells_truncated_from_unanswered() -> None:
    text = "Let us see. First"
    assert verify("4", text, finish_reason="length").verdict == "truncated"
    assert verify("4", text, finish_reason="stop").verdict == "no_answer"
    assert verify("4", r"so \boxed{4} because", finish_reason="length").verdict == "correct"
    assert verify("4", "The answer is 4", finish_reason="length").verdict == "truncated"
    assert verify("4", r"so \boxed{\frac{8}{", finish_reason="length").verdict == "truncated"


def test_a_percent_sign_is_free_where_the_problem_asks_for_percent_and_only_there() -> None:
    problem = "What percent of 50 is 22?"
    assert compare("44", r"44\%", problem=problem).rule == "percent_asked"
    assert compare("44", "44 percent", problem=problem).verdict == "correct"
    assert compare("44", r"45\%", problem=problem).verdict == "incorrect"
    assert compare("44", "0.44", problem=problem).verdict == "incorrect"
    assert compare("44", r"44\%", problem="What is 88/2?").verdict == "incorrect"


OPERATORS = [r"\sum_k a_k", r"\int x\,dx", r"\prod_k a_k", r"\lim a_n", r"\forall x", r"\exists x"]


@pytest.mark.parametrize("text", OPERATORS)
def test_an_operator_that_is_not_read_is_no_gold_and_no_run_of_words(text: str) -> None:
    assert compare(text, text).rule == "unreadable_gold"
    assert compare("5", text).rule == "unreadable"


def test_a_hedged_answer_is_ambiguous() -> None:
    assert verify("4", "The answer is either 4 or 5.").verdict == "ambiguous"


def test_a_denied_or_doubted_box_is_ambiguous_and_a_denial_of_something_else_is_not() -> None:
    assert verify("4", r"I doubt it is \boxed{4}.").verdict == "ambiguous"
    assert verify("4", r"It is not an integer; it is \boxed{4}.").verdict == "correct"


def test_joined_boxes_are_one_list_and_separate_boxes_leave_the_last() -> None:
    assert verify("81, 256", r"\boxed{81} and \boxed{256}").verdict == "correct"
    assert verify("256", r"\boxed{81} and \boxed{256}").verdict == "incorrect"
    assert verify("256", r"first \boxed{81}. No: \boxed{256}").verdict == "correct"


def test_the_options_of_the_problem_connect_a_letter_with_a_value() -> None:
    problem = r"How many? $\textbf{(A)}\ 3 \qquad \textbf{(B)}\ 4 \qquad \textbf{(C)}\ 5$"
    assert compare("4", "B", problem=problem).rule == "option"
    assert compare("B", "4", problem=problem).verdict == "correct"
    assert compare("4", "C", problem=problem).verdict == "incorrect"
    assert compare("4", "B").verdict == "incorrect"


def test_many_pairs_come_back_in_order() -> None:
    verdicts = verify_many([("1", r"\boxed{1}"), ("1", r"\boxed{2}"), ("1", "")])
    assert [v.verdict for v in verdicts] == ["correct", "incorrect", "no_answer"]
    assert {v.verifier_version for v in verdicts} == {VERIFIER_VERSION}


def test_importing_the_verifier_does_not_import_sympy() -> None:
    code = (
        "import sys, butwait.transforms.verify as v\n"
        "assert v.compare('1/2', '0.5').correct\n"
        "assert 'sympy' not in sys.modules and 'multiprocessing' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.alone
def test_every_example_of_the_rule_table_gets_the_verdict_it_shows(root: Path) -> None:
    lines = (root / "docs" / "verifier.md").read_text().splitlines()
    examples = [re.findall(r"`([^`]+)`", line) for line in lines if line.startswith("| ")]
    shown = [parts[-3:] for parts in examples if len(parts) >= 3]
    assert len(shown) > 40
    for gold, answer, verdict in shown:
        kind = (
            "trace" if (len(answer) > 3 and "boxed" in answer) or "answer" in answer else "answer"
        )
        found = verify(gold, answer, kind=kind)  # type: ignore[arg-type]
        assert (gold, answer, found.verdict) == (gold, answer, verdict)


def test_every_example_with_a_question_gets_the_verdict_it_shows(root: Path) -> None:
    lines = (root / "docs" / "verifier.md").read_text().splitlines()
    shown = [re.findall(r"`([^`]+)`", line) for line in lines if line.startswith("|`")]
    assert len(shown) > 4
    for problem, gold, answer, verdict in shown:
        found = compare(gold, answer, problem=problem)
        assert (problem, gold, answer, found.verdict) == (problem, gold, answer, verdict)


# -- laws -----------------------------------------------------------------------------------------

VOCABULARY = r"""
1 2 3 0.5 x y \pi e i + - / ^ _ ! \% ^\circ ( ) [ ] \{ \} { } , = < \le \pm \frac \sqrt \sin
\ln \infty \cup \text{ cm or and \begin{pmatrix} \end{pmatrix} & \\ | : \binom
"""
PIECES = st.sampled_from(VOCABULARY.split())
SNIPPETS = st.lists(PIECES, max_size=14).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(SNIPPETS, SNIPPETS)
def test_any_two_texts_get_a_verdict_and_the_same_one_twice(one: str, two: str) -> None:
    first, second = compare(one, two), compare(one, two)
    assert first.verdict != "error"
    assert (first.verdict, first.rule) == (second.verdict, second.rule) or (
        "timeout" in (first.verdict, second.verdict)
    )


@settings(max_examples=300, deadline=None)
@given(SNIPPETS)
def test_a_usable_answer_equals_itself(text: str) -> None:
    assert compare(text, text).verdict in ("correct", "gold_unusable")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_arbitrary_text_never_raises(text: str) -> None:
    assert compare("5", text).verdict != "error"
    assert compare(text, "5").verdict != "error"
    assert verify("5", text).verdict != "error"


@settings(max_examples=100, deadline=None)
@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_rationals_are_equal_exactly_when_their_values_are(a: object, b: object) -> None:
    assert compare(str(a), str(a)).correct
    assert compare(str(a), str(b)).correct == (a == b)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_a_list_equals_any_order_of_itself_and_no_shorter_list(
    items: list[int], random: object
) -> None:
    turned = list(items)
    random.shuffle(turned)  # type: ignore[attr-defined]
    assert compare(", ".join(map(str, items)), ", ".join(map(str, turned))).correct
    assert not compare(", ".join(map(str, items)), ", ".join(map(str, [*turned, 7]))).correct


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 400), st.integers(2, 400))
def test_radicals_are_equal_exactly_when_their_squares_are(a: int, b: int) -> None:
    assert compare(rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b}}}").correct
    assert not compare(rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b + 1}}}").correct
