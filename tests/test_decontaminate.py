"""Copies of benchmark problems: the same problem is found, what only sounds alike is not."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.transforms.decontaminate import Detector, Hit, Target, Thresholds
from butwait.transforms.decontaminate.normalise import cut_choices, tokenise

EGGS = (
    "A farm collects 26 eggs each day. The farmer's family eats four of them for breakfast and her "
    "sister bakes cakes with seven. The rest is sold at the village market for $3 an egg. How many "
    "dollars does the farm earn at the market every day?"
)
TANGENTS = (
    r"Let $ABC$ be a triangle inscribed in circle $\omega$. The tangents to $\omega$ at $B$ and "
    r"$C$ meet at point $D$, and line $\overline{AD}$ meets $\omega$ again at $P$. If $AB=7$, "
    r"$BC=11$ and $AC=12$, then $AP=\frac{m}{n}$, where $m$ and $n$ are relatively prime positive "
    r"integers. Find $m+n$."
)
DIVISORS = r"How many positive whole-number divisors does $14^{3}-7$ have?"
FUNCTION = r"If $f(x) = \frac{5x-2}{x-3}$, what is the value of $f(-2)+f(-1)+f(0)$?"
BINOMIAL = r"Compute $\dbinom{9}{4}$."
PROBLEMS = {
    "eggs": EGGS, "tangents": TANGENTS, "divisors": DIVISORS, "function": FUNCTION,
    "binomial": BINOMIAL,
}  # fmt: skip


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(Target("own", name, problem) for name, problem in PROBLEMS.items())


def found(detector: Detector, question: str) -> dict[str, str]:
    return {hit.benchmark_id: hit.kind for hit in detector.hits("q", question)}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_an_exact_copy_of_itself(detector: Detector, name: str) -> None:
    [hit] = detector.hits("7", PROBLEMS[name])
    assert (hit.question_id, hit.benchmark, hit.benchmark_id) == ("7", "own", name)
    assert (hit.kind, hit.score, hit.confidence) == ("exact", 1.0, "high")


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("binomial", r"Evaluate \(\binom 94\)"),
        ("binomial", r"Determine ${9 \choose 4}$"),
        ("function", r"If f(x) = (5x - 2)/(x - 3), what is the value of f(-2) + f(-1) + f(0)?"),
        ("function", r"If \(f(x)=\dfrac{5x-2}{x-3},\) what is the value of \[f(-2)+f(-1)+f(0)?\]"),
        ("divisors", r"How many positive whole-number divisors does 14³−7 have?"),
        ("tangents", TANGENTS.replace("$ABC$", "$A B C$").replace("$", " ")),
        ("tangents", TANGENTS + " [asy] draw((0,0)--(7,11)); label(\"$A$\",(0,0)); [/asy]"),
        ("eggs", EGGS.replace("four", "4").replace("seven", "7").replace("$3", "\\$3")),
        ("eggs", f"Solve the problem step by step.\n\n{EGGS}\n\nPut your answer in a box."),
    ],
)  # fmt: skip
def test_typesetting_does_not_hide_a_copy(detector: Detector, name: str, copy: str) -> None:
    assert found(detector, copy) == {name: "exact"}


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("eggs", "A farm gets 26 eggs a day. Each morning the farmer's family eats 4 of them for "
                 "breakfast, and her sister uses 7 to bake cakes. She sells the rest for $3 an "
                 "egg at the village market. How many dollars does it make there each day?"),
        ("eggs", EGGS.replace("farm ", "ranch ").replace("farmer", "rancher")),
        ("tangents", TANGENTS.replace("ABC", "PQR").replace("AB", "PQ").replace("BC", "QR")
                     .replace("AC", "PR").replace("$B$", "$Q$").replace("$C$", "$R$")),
        ("tangents", TANGENTS.split(", where")[0].replace("then $AP=", "find $AP") + "."),
        ("function", r"Let $f(x)=\frac{5x-2}{x-3}$. Find the sum $f(-2)+f(-1)+f(0)$."),
        ("divisors", "How many divisors that are positive whole numbers does $14^3-7$ have?\n"
                     "(A) 2 (B) 4 (C) 6 (D) 8"),
    ],
)  # fmt: skip
def test_a_reworded_or_renamed_problem_is_a_copy(detector: Detector, name: str, copy: str) -> None:
    assert set(found(detector, copy)) == {name}


@pytest.mark.parametrize(
    "other",
    [
        EGGS.replace("26", "28"),
        EGGS.replace("four", "five"),
        EGGS.replace("four", "x").replace("seven", "four").replace("x", "seven"),
        TANGENTS.replace("11", "9"),
        TANGENTS.replace("7", "x").replace("12", "7").replace("x", "12"),
        FUNCTION.replace("5x-2", "5x+2"),
        FUNCTION.replace("f(0)", "f(1)"),
        DIVISORS.replace("14", "18"),
        DIVISORS.replace("How many", "What is the sum of the"),
        BINOMIAL.replace("9", "8"),
        r"Compute $9^4$.",
        "A square and a regular heptagon share a side. Find the angle between the next two sides.",
        "Let $ABC$ be a triangle with $AB=5$, where $m$ and $n$ are relatively prime positive "
        "integers such that $AC=\\frac{m}{n}$. Find $m+n$.",
    ],
)
def test_another_number_sign_or_question_is_another_problem(detector: Detector, other: str) -> None:
    assert found(detector, other) == {}


def test_another_polygon_is_another_problem() -> None:
    problem = (
        "A square and a regular heptagon share a side. Find the angle between their next sides."
    )
    detector = Detector([Target("own", "1", problem)])
    assert found(detector, problem.replace("heptagon", "nonagon")) == {}


def test_a_copy_inside_a_long_text_is_found(detector: Detector) -> None:
    before = "We recall last week's sheet about 17 rivers, 31 bridges and 5 ferries. " * 40
    assert found(detector, f"{before}\n{TANGENTS}\n{before}") == {"tangents": "runs"}


def test_one_stock_phrase_of_thirteen_words_is_no_copy() -> None:
    phrase = "can be written as $m/n$ where $m$ and $n$ are relatively prime positive integers."
    ours = f"The probability that two of 9 cards drawn from a deck are red {phrase} Find $m+n$."
    theirs = (
        f"The area of the quadrilateral with sides 9, 2 and 5 around a pond {phrase} Find $m+n$."
    )
    assert Detector([Target("own", "1", ours)]).hits("q", theirs) == []


def test_a_hit_says_what_is_the_same(detector: Detector) -> None:
    [runs] = detector.hits("q", TANGENTS.replace("meet at point", "intersect in the point"))
    assert runs.kind == "runs"
    assert "of the words in shared runs, the longest 'point D and line AD" in runs.evidence
    assert 0.6 <= runs.score < 1


def test_choices_at_the_end_are_cut() -> None:
    assert cut_choices(r"How many? $\textbf{(A)}\ 1 \qquad \textbf{(B)}\ 2 \qquad \textbf{(C)}\ 3$")
    assert cut_choices("Point A. Then B is (C) right.") is None
    assert cut_choices("No choices") is None


def test_problems_and_questions_without_text_match_nothing() -> None:
    detector = Detector([Target("own", "1", ""), Target("own", "2", "$$ [asy] draw(); [/asy]")])
    assert detector.hits("q", "") == detector.hits("q", "What is 2?") == []
    assert Detector([]).hits("q", EGGS) == []


def test_the_same_problem_in_two_benchmarks_is_named_twice() -> None:
    detector = Detector([Target("b", "1", EGGS), Target("a", "9", EGGS)])
    assert [hit.benchmark for hit in detector.hits("q", EGGS)] == ["a", "b"]


def test_a_detector_travels_to_a_worker(detector: Detector) -> None:
    there = pickle.loads(pickle.dumps(detector))
    assert there.hits("q", EGGS) == detector.hits("q", EGGS)
    assert there.thresholds == Thresholds()


# Laws

WORDS = st.sampled_from(
    [
        *(
            "find",
            "the",
            "triangle",
            "ABC",
            "circle",
            "of",
            "radius",
            "meets",
            "colour",
            "(a)",
            "-",
        ),
        *("$x^2$", "\\frac{1}{2}", "7", "1{,}000", "+", "=", "$AB$", "\\dfrac37", "\\text{cm}"),
        *(
            "3.50",
            "\\(y\\)",
            "13th",
            "nonagon",
            "{5 \\choose 2}",
            "x²",
            "90°",
            "½",
            "é",
            "π",
            "NOT",
        ),
    ]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=40).map(" ".join)


@given(st.one_of(TEXTS, st.text(max_size=200)))
def test_canonical_tokens_name_themselves(text: str) -> None:
    tokens = tokenise(text)
    assert tokenise(" ".join(tokens)) == tokens


@given(TEXTS)
def test_a_problem_set_anew_is_still_an_exact_copy(text: str) -> None:
    anew = text.replace("\\frac", "\\dfrac").replace(" ", "  ").replace("colour", "color") + "."
    detector = Detector([Target("own", "1", text)])
    assert [hit.kind for hit in detector.hits("q", anew)] == (["exact"] if tokenise(text) else [])


@given(TEXTS, st.integers(100, 999), st.integers(100, 999))
def test_another_number_is_no_copy(text: str, ours: int, theirs: int) -> None:
    detector = Detector([Target("own", "1", f"{text} by {ours} in all")])
    hits = detector.hits("q", f"{text} by {theirs} in all")
    assert bool(hits) == (ours == theirs)


@given(st.lists(st.sampled_from(list(PROBLEMS.values())), max_size=4), TEXTS)
def test_hits_depend_on_nothing_that_was_asked_before(before: list[str], text: str) -> None:
    detector = Detector([Target("own", "1", text), Target("own", "2", EGGS)])
    fresh = detector.hits("q", text)
    for question in before:
        detector.hits("p", question)
    assert detector.hits("q", text) == fresh


@pytest.mark.parametrize(
    "text",
    [
        "find " * 12_000,
        TANGENTS * 200,
        "\\frac" * 12_000,
        "[asy]" * 12_000,
        "{" * 60_000,
        "<asy" * 15_000,
        "\\begin{" * 8_000,
        "(A) " * 15_000,
        "\x00\x1b\u202e\ud800" * 15_000,
        "²" * 60_000,
        "x-" * 30_000,
        "1," * 30_000,
        " " * 60_000,
        "A" * 60_000,
        "![](" * 15_000,
        "'" * 60_000,
    ],
)
def test_hostile_text_takes_linear_time(detector: Detector, text: str) -> None:
    begun = time.process_time()
    detector.hits("q", text)
    assert time.process_time() - begun < 3


# The real files


def read(path: Path, column: str) -> list[str]:
    return [json.loads(line)[column] for line in path.read_text(encoding="utf-8").splitlines()]


def hits(questions: list[str], problems: list[str]) -> list[Hit]:
    detector = Detector(Target("b", str(i), problem) for i, problem in enumerate(problems))
    return [hit for i, text in enumerate(questions) for hit in detector.hits(str(i), text)]


def test_all_thirty_other_wordings_of_aime_2024_are_found(shared_data: Path) -> None:
    folder = shared_data / "aime24"
    rows = (folder / "aime24_alt_wording.jsonl").read_text(encoding="utf-8").splitlines()
    targets = [
        Target("aime24", str(row["id"]), row["problem"])
        for row in map(json.loads, (folder / "aime24.jsonl").read_text("utf-8").splitlines())
    ]
    detector = Detector(targets)
    for row in map(json.loads, rows):
        assert [h.benchmark_id for h in detector.hits("q", row["problem"])] == [
            str(row["aime24_id"])
        ]


def test_no_old_aime_problem_is_a_copy_of_a_new_one(shared_data: Path) -> None:
    old = read(shared_data / "deepscaler" / "aime_1983_2023.jsonl", "problem")
    assert hits(old, read(shared_data / "aime24" / "aime24.jsonl", "problem")) == []


def test_the_six_old_aime_problems_of_math_500_are_found(shared_data: Path) -> None:
    path = shared_data / "deepscaler" / "aime_1983_2023.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    names = [f"{r['year']}-{r['aime_number']}-{r['problem_number']}" for r in rows]
    found = hits(
        [row["problem"] for row in rows],
        read(shared_data / "math500" / "math500_even.jsonl", "problem"),
    )
    assert {names[int(hit.question_id)] for hit in found} == {
        "2001-2-3", "2010-1-6", "2016-1-10", "2017-2-7", "1995-1-9", "2002-1-12",
    }  # fmt: skip
    assert len(found) == 6


def test_no_question_of_the_pocket_train_split_is_a_copy_of_a_held_out_one(root: Path) -> None:
    folder = root / "pipelines" / "pocket" / "data"
    train = read(folder / "train.jsonl", "problem")
    held_out = [p for s in ("test", "validation") for p in read(folder / f"{s}.jsonl", "problem")]
    assert hits(train, held_out) == []
