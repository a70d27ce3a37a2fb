"""Two servers that start at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from butwait.pipelines.sampling.together import open_together


class Log:
    """What happened to contexts, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.gate = threading.Event()

    @contextmanager
    def context(self, name: str, *, wait: bool = False, fail: bool = False) -> Iterator[str]:
        if wait:
            assert self.gate.wait(10)
        if fail:
            raise ValueError(f"{name} does not start")
        self.lines.append(f"enter {name}")
        try:
            yield name
        finally:
            self.lines.append(f"leave {name}")

    def wait_for(self, line: str) -> None:
        for _ in range(500):
            if line in self.lines:
                return
            time.sleep(0.01)
        raise AssertionError(f"{line!r} never came: {self.lines}")


def test_both_are_entered_at_the_same_time_and_left() -> None:
    log = Log()

    @contextmanager
    def opens_the_gate() -> Iterator[str]:
        log.gate.set()  # the second waits for this: one after the other would never end
        with log.context("policy") as name:
            yield name

    with open_together(opens_the_gate(), log.context("judge", wait=True)) as both:
        assert both == ("policy", "judge")
    assert sorted(log.lines[:2]) == ["enter judge", "enter policy"]
    assert sorted(log.lines[2:]) == ["leave judge", "leave policy"]


def test_a_second_that_does_not_start_ends_the_first_and_is_told() -> None:
    log = Log()
    with pytest.raises(ValueError, match="judge does not start"):
        with open_together(log.context("policy"), log.context("judge", fail=True)):
            raise AssertionError("not reached")
    assert log.lines == ["enter policy", "leave policy"]


def test_a_second_that_is_still_starting_when_the_first_fails_is_left_once_it_is_up() -> None:
    log = Log()
    with pytest.raises(ValueError, match="policy does not start"):
        with open_together(log.context("policy", fail=True), log.context("judge", wait=True)):
            raise AssertionError("not reached")
    log.gate.set()
    log.wait_for("leave judge")


def test_an_error_inside_leaves_both() -> None:
    log = Log()
    with pytest.raises(KeyError):
        with open_together(log.context("policy"), log.context("judge")):
            raise KeyError("inside")
    assert {"leave policy", "leave judge"} <= set(log.lines)
