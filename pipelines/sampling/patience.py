"""How long a client bears with its servers: every limit in one record."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How much a client asks at once and how long it bears with a server."""

    max_in_flight: int = 64
    """Requests held open at once, at all servers together."""
    request_timeout_s: float = 900.0
    """Longest wait for one reply."""
    n_retries: int = 5
    """Further attempts after a failure that may pass."""
    pause_s: float = 0.5
    """First pause between attempts; it doubles up to 30 s, less a random part."""
    pause_after: int = 8
    """Failures in a row after which requests wait and probes look at the server."""
    stall_s: float = 300.0
    """Longest time with requests open and no reply before somebody looks whether tokens move."""
    outage_s: float = 600.0
    """Longest time without any server that answers."""
