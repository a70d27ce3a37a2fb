"""Small questions travel in large requests: fairness, sizes, failures, cancellation, no loss."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.pipelines.sampling.gather import Gather
from butwait.schemas.errors import RequestRefused, SamplerError

pytestmark = pytest.mark.alone


class Server:
    """Answers an integer with its double; remembers batches and how many were open."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.batches: list[list[int]] = []
        self.n_open = 0
        self.most_open = 0
        self.n_ended = 0
        self.fail: Callable[[list[int]], Exception | None] = lambda items: None
        self.refuse: Callable[[int], bool] = lambda item: False

    async def send(self, items: list[int]) -> list[int | RequestRefused]:
        self.batches.append(items)
        self.n_open += 1
        self.most_open = max(self.most_open, self.n_open)
        try:
            await asyncio.sleep(self.delay_s)
            self.n_ended += 1
        finally:
            self.n_open -= 1
        error = self.fail(items)
        if error:
            raise error
        return [RequestRefused("no", str(i)) if self.refuse(i) else 2 * i for i in items]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(work, 20)

    return asyncio.run(bounded())


async def ask_all(gather: Gather[int, int], group: str, items: range) -> list[Any]:
    tasks = [gather.ask(group, item) for item in items]
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_what_is_asked_in_one_turn_travels_together() -> None:
    server = Server()
    gather = Gather(server.send, max_batch=64, max_in_flight=2)
    assert run(ask_all(gather, "q", range(10))) == [2 * i for i in range(10)]
    assert server.batches == [list(range(10))]


def test_tasks_that_need_some_turns_before_they_ask_are_waited_for() -> None:
    async def ask_late(gather: Gather[int, int], item: int) -> int:
        for _ in range(item):
            await asyncio.sleep(0)
        return await gather.ask("q", item)

    async def work(gather: Gather[int, int]) -> None:
        await asyncio.gather(*[ask_late(gather, item) for item in range(5)])

    server = Server()
    run(work(Gather(server.send, max_batch=64, max_in_flight=2)))
    assert server.batches == [list(range(5))]


def test_no_batch_is_larger_and_no_more_are_open_than_allowed() -> None:
    server = Server(0.005)
    gather = Gather(server.send, max_batch=8, max_in_flight=3)
    assert run(ask_all(gather, "q", range(100))) == [2 * i for i in range(100)]
    assert server.most_open == 3
    assert [len(batch) for batch in server.batches] == [8] * 12 + [4]


def test_a_group_with_hundreds_of_items_does_not_hold_up_the_others() -> None:
    async def work(gather: Gather[int, int]) -> None:
        many = asyncio.create_task(ask_all(gather, "many", range(512)))
        await asyncio.sleep(0.015)
        few = [ask_all(gather, f"few{k}", range(k, k + 2)) for k in (1000, 2000, 3000)]
        await asyncio.gather(*few)
        assert not many.done()
        await many

    server = Server(0.01)
    run(work(Gather(server.send, max_batch=8, max_in_flight=1)))
    shared = [batch for batch in server.batches if any(item >= 1000 for item in batch)]
    assert len(shared) == 1
    assert sorted(i for i in shared[0] if i >= 1000) == [1000, 1001, 2000, 2001, 3000, 3001]
    assert server.batches.index(shared[0]) <= 3


def test_a_groups_items_travel_together() -> None:
    async def work(gather: Gather[int, int]) -> None:
        await asyncio.gather(*[ask_all(gather, f"g{k}", range(k, k + 4)) for k in (0, 100, 200)])

    server = Server()
    run(work(Gather(server.send, max_batch=6, max_in_flight=1)))
    assert server.batches == [[0, 1, 2, 3, 100, 101], [102, 103, 200, 201, 202, 203]]


def test_a_group_that_filled_a_batch_alone_goes_to_the_end_of_the_line() -> None:
    async def work(gather: Gather[int, int]) -> None:
        await asyncio.gather(*[ask_all(gather, f"g{k}", range(k, k + 5)) for k in (0, 100)])

    server = Server()
    run(work(Gather(server.send, max_batch=3, max_in_flight=1)))
    assert server.batches == [[0, 1, 2], [100, 101, 102], [3, 4, 103], [104]]


def test_a_batch_that_is_not_full_waits_for_company_while_the_server_is_busy() -> None:
    async def work(gather: Gather[int, int]) -> None:
        first = asyncio.create_task(gather.ask("q", 0))
        await asyncio.sleep(0.01)
        later = []
        for item in range(1, 5):
            later.append(asyncio.create_task(gather.ask("q", item)))
            await asyncio.sleep(0.001)
        await asyncio.gather(first, *later)

    server = Server(0.3)
    run(work(Gather(server.send, max_batch=64, max_in_flight=8, linger_s=0.1)))
    assert server.batches == [[0], [1, 2, 3, 4]]
    assert server.most_open == 2


def test_a_refusal_is_its_askers_alone() -> None:
    server = Server()
    server.refuse = lambda item: item == 3
    answers = run(ask_all(Gather(server.send, max_batch=9, max_in_flight=1), "q", range(5)))
    assert [a for a in answers if not isinstance(a, Exception)] == [0, 2, 4, 8]
    assert isinstance(answers[3], RequestRefused) and answers[3].detail == "3"


def test_a_failed_request_fails_its_items_and_no_others() -> None:
    server = Server()
    server.fail = lambda items: SamplerError("gone") if 0 in items else None
    answers = run(ask_all(Gather(server.send, max_batch=4, max_in_flight=1), "q", range(8)))
    assert [type(answer) for answer in answers] == [SamplerError] * 4 + [int] * 4


def test_a_reply_with_too_few_answers_is_given_to_nobody() -> None:
    async def send(items: list[int]) -> list[int | RequestRefused]:
        return list(items[1:])

    answers = run(ask_all(Gather(send, max_batch=9, max_in_flight=1), "q", range(3)))
    assert all("2 answers to 3 items" in str(answer) for answer in answers)


def test_an_asker_that_is_cancelled_while_it_waits_is_not_sent() -> None:
    async def work(gather: Gather[int, int]) -> list[Any]:
        tasks = [asyncio.create_task(gather.ask("q", item)) for item in range(6)]
        await asyncio.sleep(0.01)
        tasks[4].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    server = Server(0.05)
    answers = run(work(Gather(server.send, max_batch=2, max_in_flight=1)))
    assert server.batches == [[0, 1], [2, 3], [5]]
    assert isinstance(answers[4], asyncio.CancelledError)
    assert [answers[i] for i in (0, 1, 2, 3, 5)] == [0, 2, 4, 6, 10]


def test_a_cancelled_asker_leaves_the_rest_of_its_request_alone() -> None:
    async def work(gather: Gather[int, int]) -> list[Any]:
        tasks = [asyncio.create_task(gather.ask("q", item)) for item in range(3)]
        await asyncio.sleep(0.02)
        tasks[1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    server = Server(0.05)
    answers = run(work(Gather(server.send, max_batch=3, max_in_flight=1)))
    assert answers[0] == 0 and answers[2] == 4 and server.n_ended == 1


def test_a_request_that_nobody_awaits_any_more_is_given_up_and_its_slot_freed() -> None:
    async def work(gather: Gather[int, int]) -> int:
        tasks = [asyncio.create_task(gather.ask("q", item)) for item in range(2)]
        await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
        server.delay_s = 0.0
        return await gather.ask("q", 7)

    server = Server(60.0)
    assert run(work(Gather(server.send, max_batch=2, max_in_flight=1))) == 14
    assert server.n_ended == 1 and server.n_open == 0


def test_closing_ends_what_is_open_and_what_waits() -> None:
    async def work(gather: Gather[int, int]) -> list[Any]:
        tasks = [asyncio.create_task(gather.ask("q", item)) for item in range(4)]
        await asyncio.sleep(0.02)
        await gather.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    server = Server(60.0)
    answers = run(work(Gather(server.send, max_batch=2, max_in_flight=1)))
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers)


def test_it_outlives_an_event_loop_that_was_left_in_the_middle() -> None:
    async def leave(gather: Gather[int, int]) -> None:
        asyncio.create_task(gather.ask("q", 1))  # noqa: RUF006 (left alone on purpose)
        await asyncio.sleep(0.02)

    server = Server(60.0)
    gather = Gather(server.send, max_batch=1, max_in_flight=1)
    run(leave(gather))
    server.delay_s = 0.0
    assert run(gather.ask("q", 2)) == 4


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="max_batch 0"):
        Gather(Server().send, max_batch=0, max_in_flight=1)


ASKER = st.tuples(
    st.sampled_from("abc"),  # group
    st.integers(0, 4),  # milliseconds before it asks
    st.none() | st.integers(0, 4),  # milliseconds until it is cancelled
)


@given(
    st.lists(ASKER, max_size=30),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sets(st.integers(0, 29), max_size=3),
    st.integers(0, 29),
)
def test_every_asker_gets_its_own_answer_once_whatever_happens_to_others(
    askers: list[tuple[str, int, int | None]],
    max_batch: int,
    max_in_flight: int,
    refused: set[int],
    poison: int,
) -> None:
    server = Server(0.002)
    server.refuse = lambda item: item in refused
    server.fail = lambda items: SamplerError("poison") if poison in items else None
    gather = Gather(server.send, max_batch=max_batch, max_in_flight=max_in_flight, linger_s=0.001)

    async def act(item: int, group: str, after_ms: int) -> int:
        await asyncio.sleep(after_ms / 1000)
        return await gather.ask(group, item)

    async def work() -> list[Any]:
        tasks = []
        for item, (group, after_ms, cancel_ms) in enumerate(askers):
            tasks.append(asyncio.create_task(act(item, group, after_ms)))
            if cancel_ms is not None:
                asyncio.get_running_loop().call_later(cancel_ms / 1000, tasks[-1].cancel)
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = run(work())
    sent = Counter(item for batch in server.batches for item in batch)
    poisoned = {item for batch in server.batches if poison in batch for item in batch}
    assert all(count == 1 for count in sent.values())
    assert all(0 < len(batch) <= max_batch for batch in server.batches)
    assert server.most_open <= max_in_flight and server.n_open == 0
    for item, (answer, (_, _, cancel_ms)) in enumerate(zip(answers, askers, strict=True)):
        if isinstance(answer, asyncio.CancelledError):
            assert cancel_ms is not None
        elif isinstance(answer, RequestRefused):
            assert item in refused and answer.detail == str(item)
        elif isinstance(answer, SamplerError):
            assert item in poisoned
        else:
            assert answer == 2 * item
