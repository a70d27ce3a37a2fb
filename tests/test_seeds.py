"""Seeds: the same everywhere, and no two requests share one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from butwait.transforms.seeds import MAX_SAMPLES, derive_rng, derive_seed

NAMES = st.tuples(st.integers(0, 2**31 - 1), st.text(max_size=30), st.text(max_size=12))


def overlapping(starts: list[int], n: int) -> int:
    """Count neighbours among sorted starts whose runs of n seeds meet."""
    return sum(second - first < n for first, second in pairwise(sorted(starts)))


@given(NAMES)
def test_a_seed_leaves_room_for_every_sample_of_its_request(names: tuple[int, str, str]) -> None:
    seed = derive_seed(*names)
    assert seed >= 0
    assert seed + MAX_SAMPLES - 1 < 2**63
    assert seed == derive_seed(*names)


@given(NAMES, NAMES)
def test_different_requests_never_share_a_seed(
    one: tuple[int, str, str], other: tuple[int, str, str]
) -> None:
    distance = abs(derive_seed(*one) - derive_seed(*other))
    assert distance == 0 if one == other else distance >= MAX_SAMPLES


def test_the_border_between_question_and_step_matters() -> None:
    assert derive_seed(0, "a", "bc") != derive_seed(0, "ab", "c")
    assert derive_seed(1, "2", "s") != derive_seed(12, "", "s")


def test_a_seed_is_the_same_on_every_machine_and_in_every_version() -> None:
    assert derive_seed(0, "q1", "sample") == 6853491953792511234
    assert derive_rng(0, "split", 7).integers(0, 2**32, 3).tolist() == [
        2865940151,
        3834476560,
        2626673255,
    ]


def test_a_hundred_thousand_requests_of_the_largest_size_do_not_overlap() -> None:
    starts = [derive_seed(3, f"q{i}", "sample") for i in range(100_000)]
    assert overlapping(starts, MAX_SAMPLES) == 0


def test_seeds_stay_apart_where_only_their_lower_32_bits_count() -> None:
    starts = [derive_seed(0, f"q{i}", "sample") % 2**32 for i in range(2_000)]
    assert overlapping(starts, 8) == 0


@given(NAMES)
def test_our_own_choices_repeat_and_do_not_follow_the_engines_seed(
    names: tuple[int, str, str],
) -> None:
    run_seed, question, step = names
    draws = derive_rng(run_seed, question, step).random(4)
    assert np.array_equal(draws, derive_rng(run_seed, question, step).random(4))
    assert not np.array_equal(draws, derive_rng(run_seed, step, question, 0).random(4))
    engine = np.random.Generator(np.random.PCG64(derive_seed(run_seed, question, step)))
    assert not np.array_equal(draws, engine.random(4))


def test_where_32_bits_count_requests_overlap_as_often_as_the_docstring_says() -> None:
    starts = [derive_seed(0, f"q{i}", "sample") % 2**32 for i in range(100_000)]
    expected = 2_000 * (100_000 / 1_000_000) ** 2
    assert expected / 2 < overlapping(starts, 8) < expected * 2


def test_no_two_requests_of_a_search_share_a_seed() -> None:
    # 512 particles for 40 steps, each a request of its own or all forks of one node.
    starts = [
        derive_seed(0, "q1", f"search-{round_}-{parent}")
        for round_ in range(40)
        for parent in ["root", *range(512 * round_, 512 * (round_ + 1))]
    ]
    assert overlapping(starts, 512) == 0
    # A seed that only counts rounds and parents would be its neighbours' second sample.
    assert overlapping([round_ * 512 + parent for round_ in range(40) for parent in range(512)], 2)
