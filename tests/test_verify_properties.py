"""Laws of the verdicts over answers made at random, against values worked out independently."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest
import verify_trees as trees
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from verify_damage import MARK, SNIPPETS, damaged, hostile, in_every_position, pair_of
from verify_grammar import DRESSINGS, MAKERS, Sample, sample, samples

from butwait.schemas.verdict import VERDICT_NAMES
from butwait.transforms.verify import compare, verify, warm_workers

RANDOMS = st.randoms(use_true_random=False)
TREE_KINDS = ("scalar", "constant", "rational")
NUMBERS = ("integer", "decimal", "mixed", "repeating", "scientific", "rational")
SCALARS = (*NUMBERS, "scalar", "constant", "complex", "huge", "identity")
UNDECIDED = ("timeout", "ambiguous")


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    warm_workers(1)


def usable(text: str) -> bool:
    return compare(text, "0").verdict != "gold_unusable"


# -- an answer and itself -------------------------------------------------------------------------


@settings(max_examples=600)
@given(samples())
def test_a_usable_answer_is_correct_against_itself(one: Sample) -> None:
    assert compare(one.text, one.text).verdict in ("correct", "gold_unusable")
    assert compare(one.same, one.same).verdict in ("correct", "gold_unusable")


@settings(max_examples=200)
@given(RANDOMS)
def test_a_damaged_or_hostile_text_is_correct_against_itself_or_no_gold(rng: Random) -> None:
    text = damaged(sample(rng).text, rng) if rng.random() < 0.6 else hostile(rng)
    assert compare(text, text).verdict in ("correct", "gold_unusable")


@settings(max_examples=500)
@given(samples(*(kind for kind in MAKERS if kind not in TREE_KINDS)))
def test_another_spelling_is_the_same_answer_and_another_answer_is_not(one: Sample) -> None:
    if usable(one.text):
        assert compare(one.text, one.same).verdict in ("correct", "timeout")
        assert compare(one.text, one.other).verdict in ("incorrect", "timeout")


@settings(max_examples=500)
@given(st.integers(0, 10**9))
def test_the_sides_may_be_swapped_but_for_an_unusable_gold(seed: int) -> None:
    pair = pair_of(seed, 0)
    verdicts = compare(pair.gold, pair.answer).verdict, compare(pair.answer, pair.gold).verdict
    if "gold_unusable" in verdicts or "timeout" in verdicts:
        return
    assert verdicts[0] == verdicts[1], pair


def test_a_percent_sign_may_be_missing_only_where_the_gold_has_it() -> None:
    for n in range(2, 60, 3):
        assert verify(f"{n}\\%", f"\\boxed{{{n}}}").verdict == "correct"
        assert verify(str(n), f"\\boxed{{{n}\\%}}").verdict == "incorrect"
        assert compare(f"{n}\\%", str(n)).verdict == "incorrect"


# -- what changes nothing -------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize("name", DRESSINGS)
@settings(max_examples=120)
@given(one=samples(), rng=RANDOMS)
def test_spacing_sizes_delimiters_and_stops_change_nothing(
    name: str, one: Sample, rng: Random
) -> None:
    if not usable(one.text):
        return
    dressed = DRESSINGS[name](one.text, rng)
    assert compare(one.text, dressed).verdict == "correct"
    bare, other = compare(one.text, one.other), compare(dressed, one.other)
    assert bare.verdict == other.verdict or "timeout" in (bare.verdict, other.verdict)


@settings(max_examples=250)
@given(samples(*SCALARS))
def test_brackets_around_a_scalar_change_nothing(one: Sample) -> None:
    if usable(one.text):
        for left, right in (("(", ")"), ("\\left(", "\\right)"), ("{", "}"), ("((", "))")):
            assert compare(one.text, f"{left}{one.text}{right}").verdict == "correct"


@settings(max_examples=150)
@given(samples("integer", "decimal", "text", "choice", "clock", "unit"))
def test_a_text_command_around_numbers_and_words_changes_nothing(one: Sample) -> None:
    assume("\\" not in one.text)
    for command in ("text", "mathrm", "textbf", "mbox"):
        assert compare(one.text, f"\\{command}{{{one.text}}}").verdict == "correct"


@settings(max_examples=200)
@given(samples())
def test_an_answer_in_the_box_of_a_trace_gets_the_verdict_of_the_bare_answer(one: Sample) -> None:
    for answer in (one.same, one.other):
        bare = compare(one.text, answer).verdict
        for trace in (f"Adding up: \\boxed{{{answer}}}.", f"<think>7</think>$\\boxed{{{answer}}}$"):
            assert verify(one.text, trace).verdict in (bare, "timeout") or bare == "timeout"


# -- what changes the answer ----------------------------------------------------------------------


@settings(max_examples=200)
@given(samples(*NUMBERS))
def test_the_sign_of_a_nonzero_number_matters(one: Sample) -> None:
    assume(usable(one.text) and compare(one.text, "0").verdict == "incorrect")
    assert compare(one.text, f"-({one.text})").verdict == "incorrect"
    assert compare(f"-({one.text})", f"-\\left({one.text}\\right)").verdict == "correct"


@settings(max_examples=150)
@given(st.lists(st.integers(-30, 30), min_size=2, max_size=5), RANDOMS)
def test_the_order_of_a_tuple_matters_and_that_of_a_set_does_not(
    items: list[int], rng: Random
) -> None:
    turned = rng.sample(items, len(items))
    texts = [", ".join(map(str, x)) for x in (items, turned)]
    pair = compare(f"({texts[0]})", f"({texts[1]})").verdict
    assert pair == ("correct" if items == turned else "incorrect")
    assert compare(f"\\{{{texts[0]}\\}}", f"\\{{{texts[1]}\\}}").verdict == "correct"


@settings(max_examples=60)
@given(st.integers(-50, 50), st.integers(1, 40), st.sampled_from(["", "\\pi", "\\sqrt{2}"]))
def test_every_change_of_an_intervals_ends_is_another_interval(
    low: int, gap: int, factor: str
) -> None:
    ends = [f"{left}{low}{factor}, {low + gap}{factor}{right}" for left in "([" for right in ")]"]
    for one, two in itertools.product(ends, repeat=2):
        assert compare(one, two).correct == (one == two)


# -- values worked out by other means -------------------------------------------------------------


@settings(max_examples=500)
@given(RANDOMS)
def test_rational_arithmetic_agrees_with_fractions(rng: Random) -> None:
    tree = trees.rational_tree(rng, rng.randint(1, 4))
    text = trees.latex_of(tree, rng)
    try:
        value = trees.fraction_of(tree)
    except ZeroDivisionError:
        assert compare(text, "0").verdict != "correct"
        assert compare("1", text).verdict != "correct"
        return
    assume(max(len(str(value.numerator)), len(str(value.denominator))) < 400)
    written = rng.choice([str(value), trees.latex_of(trees.num(value), rng)])
    assert compare(text, written).verdict == "correct"
    assert compare(written, text).verdict == "correct"
    near = value + rng.choice([1, -1]) * Fraction(1, 10 ** rng.randint(0, 30))
    assert compare(text, str(near)).verdict == "incorrect"
    assert compare(str(near), text).verdict == "incorrect"


@settings(max_examples=400)
@given(samples(*TREE_KINDS), RANDOMS)
def test_whatever_is_called_correct_agrees_at_fifty_random_points(one: Sample, rng: Random) -> None:
    assert one.tree is not None and one.same_tree is not None and one.other_tree is not None
    for tree, text in ((one.same_tree, one.same), (one.other_tree, one.other)):
        if compare(one.text, text).correct:
            differ, where = trees.values_differ(one.tree, tree, rng, 50)
            assert not differ, f"{one.text} | {text}: {where}"


@settings(max_examples=300)
@given(samples(*TREE_KINDS), RANDOMS)
def test_an_expression_of_the_same_value_is_never_called_incorrect(
    one: Sample, rng: Random
) -> None:
    assert one.tree is not None and one.same_tree is not None
    differ, _ = trees.values_differ(one.tree, one.same_tree, rng, 3)
    if differ is False and usable(one.text):
        assert compare(one.text, one.same).verdict in ("correct", *UNDECIDED)


ALGEBRA = Path(__file__).with_name("verify_algebra.py")


@pytest.mark.alone
def test_nothing_called_incorrect_is_equal_by_sympy_in_ten_seconds(shared_data: Path) -> None:
    rows = [json.loads(x) for x in (shared_data / "verifier_dev.jsonl").read_text().splitlines()]
    asked = [
        [row["id"], row["gold"], row["prediction"]]
        for row in rows
        if row["kind"] == "equivalence"
        and compare(row["gold"], row["prediction"]).verdict == "incorrect"
    ]
    done = subprocess.run(
        [sys.executable, str(ALGEBRA)], input=json.dumps(asked), capture_output=True, text=True,
        timeout=250, check=True,
    )  # fmt: skip
    said = json.loads(done.stdout)
    # Read there as the factorial of a factorial; here it is the double factorial.
    assert [row for row, word in said.items() if word == "equal"] == ["combinatorial-024"]
    words = Counter(said.values())
    assert words["unread"] <= 4, words
    assert words["late"] <= 1, words


# -- whatever the text ----------------------------------------------------------------------------


@settings(max_examples=400)
@given(RANDOMS)
def test_every_verdict_is_one_of_the_eight_and_nothing_raises(rng: Random) -> None:
    texts = [hostile(rng), damaged(sample(rng).same, rng), sample(rng).text]
    for gold, answer in itertools.permutations(texts, 2):
        for kind in ("answer", "trace"):
            found = verify(gold, answer, kind=kind, problem=texts[0])  # type: ignore[arg-type]
            assert found.verdict in VERDICT_NAMES
            assert found.verdict != "error", (gold, answer, found.detail)


AUDIT = """
import json, sys
from pathlib import Path
from butwait.transforms.verify import compare, stop_workers, verify, warm_workers
texts = json.loads(sys.stdin.read())
warm_workers(1)
seen, watched = [], False
NAMES = ("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen",
         "os.remove", "os.rename", "socket.connect", "exec", "compile", "code.__new__", "pty.spawn")
def hook(event, args):
    if watched and (event in NAMES or (event == "open" and args[1] not in (None, "r", "rb"))
                    or (event == "open" and "passwd" in str(args[0]))):
        seen.append(event + " " + repr(args)[:200])
compare("cos 3x", "4\\\\cos^3 x-3\\\\cos x")
sys.addaudithook(hook)
watched = True
wrong = []
for text in texts:
    checks = [compare("5", text), compare(text, "5"), verify("5", text),
              verify("5", "\\\\boxed{" + text + "}"), compare("5", "6", problem=text)]
    wrong += [ascii(text) for found in checks if found.verdict == "error"]
watched = False
stop_workers()
print(json.dumps({"seen": seen, "wrong": wrong, "files": [p.name for p in Path(".").iterdir()]}))
"""


def test_hostile_text_in_any_position_starts_no_process_and_touches_no_file(tmp_path: Path) -> None:
    texts = [text for snippet in SNIPPETS for text in in_every_position(snippet)]
    done = subprocess.run(
        [sys.executable, "-c", AUDIT], input=json.dumps(texts), capture_output=True, text=True,
        timeout=120, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"seen": [], "wrong": [], "files": []}
    assert not Path(MARK).exists()


JUDGE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from verify_damage import pair_of
from butwait.transforms.verify import compare, verify
rows = [(p.gold, p.answer, "answer") for p in (pair_of(77, k) for k in range(2000))]
rows += [tuple(row) for row in json.loads(sys.stdin.read())]
print(json.dumps([[v.verdict, v.rule, v.extracted, v.gold_canonical, v.prediction_canonical]
                  for v in (verify(g, p, kind=k) for g, p, k in rows)]))
"""


def dev_rows(root: Path) -> list[tuple[str, str, str]]:
    path = root.parent / "shared" / "data" / "verifier_dev.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    rows = [json.loads(line) for line in lines]
    return [
        (r["gold"], r["prediction"], "trace" if r["kind"] == "extraction" else "answer")
        for r in rows
        if len(r["prediction"]) < 2_000
    ]


@pytest.mark.alone
def test_a_second_process_with_other_hash_seeds_gives_the_same_verdicts(root: Path) -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", JUDGE, str(root / "tests")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        for seed in ("1", "4242")
    ]  # fmt: skip
    one, two = (json.loads(run.communicate(json.dumps(dev_rows(root)), timeout=240)[0])
                for run in runs)  # fmt: skip
    assert len(one) == len(two) >= 2_000
    late = [k for k, pair in enumerate(zip(one, two, strict=True)) if "timeout" in str(pair)]
    assert len(late) < 10
    assert [k for k in range(len(one)) if one[k] != two[k] and k not in late] == []
    here = [compare(p.gold, p.answer) for p in (pair_of(77, k) for k in range(2_000))]
    assert [
        k
        for k, found in enumerate(here)
        if [found.verdict, found.rule] != one[k][:2] and k not in late
    ] == []


def test_the_grammar_makes_every_kind_and_the_same_pairs_again() -> None:
    made = [pair_of(3, k) for k in range(3_000)]
    assert made == [pair_of(3, k) for k in range(3_000)]
    assert {pair.kind for pair in made} == set(MAKERS)
    assert {re.sub(":.*", "", pair.how) for pair in made} == {
        "same", "other", "dressed", "cross", "damaged", "both damaged", "hostile"
    }  # fmt: skip
