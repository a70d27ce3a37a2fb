"""How an engine fails: one request (the others go on), or all of them (the build stops).

Reasons of a refused request: ``context_overflow`` (prompt or ``max_tokens`` longer than the
context), ``refused`` (4xx), ``server_error`` (408, 425, 429 and 5xx through all retries),
``timeout``, ``unreachable`` (connections broke through all retries), ``bad_reply`` (not JSON).
"""

from __future__ import annotations

from butwait.schemas.errors import SamplerError


class ServerGone(SamplerError):
    """Nobody answers at the server's address any more: no request of this build can succeed."""
