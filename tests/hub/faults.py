"""Faults on order: which request to a test Hub fails next, how, and how often."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Fault:
    """One order: answer ``status`` on the next ``times`` requests to ``route``.

    With ``after`` the request is carried out first and only its answer is lost. With ``reset``
    the connection is cut instead of an answer.
    """

    route: str
    status: int
    times: int
    after: bool = False
    stall_s: float = 0.0
    reset: bool = False
    headers: tuple[tuple[str, str], ...] = ()


class FaultPlan:
    """The open orders of one server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._actions: list[tuple[str, Callable[[], object]]] = []

    def order(self, fault: Fault) -> None:
        """Add an order."""
        with self._lock:
            self._faults.append(fault)

    def order_action(self, route: str, action: Callable[[], object]) -> None:
        """Call ``action`` once, just before the next request to ``route`` is handled."""
        with self._lock:
            self._actions.append((route, action))

    def clear(self) -> None:
        """Forget all orders."""
        with self._lock:
            self._faults.clear()
            self._actions.clear()

    def n_open(self) -> int:
        """Return how many orders were not used up."""
        with self._lock:
            return len(self._faults) + len(self._actions)

    def take(self, route: str) -> Fault | None:
        """Use up one count of the first order for this route."""
        with self._lock:
            for fault in self._faults:
                if fault.route == route:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                    return fault
        return None

    def act(self, route: str) -> None:
        """Carry out the actions that wait for this route."""
        with self._lock:
            due = [action for name, action in self._actions if name == route]
            self._actions = [item for item in self._actions if item[0] != route]
        for action in due:
            action()


def cut_connection(receive: Any) -> None:
    """Close a request's connection without a word, as a failing network does."""
    transport = receive.__self__.transport  # uvicorn's: ASGI itself cannot say it
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def stall(fault: Fault) -> None:
    """Wait as long as the fault says."""
    if fault.stall_s:
        await asyncio.sleep(fault.stall_s)
