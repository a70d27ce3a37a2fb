"""How searches are let in, and how their trees wait on disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

from handmade_trees import sum_tree

from butwait.pipelines.search.admission import Admission
from butwait.pipelines.search.spool import TreeSpool
from butwait.pipelines.tables import read_records
from butwait.schemas.tree import SearchTree


def run_all(most: int, sizes: list[int]) -> tuple[list[int], int]:
    """Order of entry, and most particles inside at once."""
    admission = Admission(most)
    order: list[int] = []
    inside = highest = 0

    async def enter(place: int, n: int) -> None:
        nonlocal inside, highest
        async with admission.admitted(n):
            order.append(place)
            inside += n
            highest = max(highest, inside)
            await asyncio.sleep(0.001 * (place % 3))
            inside -= n

    async def all_of_them() -> None:
        await asyncio.wait_for(asyncio.gather(*(enter(i, n) for i, n in enumerate(sizes))), 10)

    asyncio.run(all_of_them())
    return order, highest


def test_searches_enter_first_come_first_served_within_the_bound() -> None:
    order, highest = run_all(10, [4, 4, 4, 1, 1, 9, 2, 2])
    assert order == sorted(order)
    assert highest <= 10


def test_a_search_that_is_larger_than_the_bound_runs_alone() -> None:
    order, highest = run_all(10, [3, 512, 3])
    assert order == [0, 1, 2]
    assert highest == 512


def test_a_search_that_is_cancelled_while_it_waits_holds_up_nobody() -> None:
    async def play() -> list[str]:
        admission, seen = Admission(4), []
        gate = asyncio.Event()

        async def hold(name: str) -> None:
            async with admission.admitted(4):
                seen.append(name)
                await gate.wait()

        first = asyncio.create_task(hold("first"))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(hold(name)) for name in ("second", "third", "fourth")]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        waiting[1].cancel()
        gate.set()
        await asyncio.wait_for(asyncio.gather(first, waiting[2]), 5)
        return seen

    assert asyncio.run(play()) == ["first", "fourth"]


def test_trees_are_stored_in_the_order_of_their_questions_whatever_order_they_end_in(
    tmp_path: Path,
) -> None:
    names = ["qa", "qb", "qc", "qd"]
    spool = TreeSpool(tmp_path / ".parts" / "b", tmp_path / "part-00000-00000.parquet")
    for name in ("qc", "qa", "qd"):
        spool.keep(sum_tree(question_id=name))
    spool.write(names)
    stored = read_records(tmp_path / "part-00000-00000.parquet", SearchTree)
    assert [tree.question_id for tree in stored] == ["qa", "qc", "qd"]
    assert not (tmp_path / ".parts" / "b").exists()
