"""Calls to the Hub that are tried again, and refusals told in one line.

The client library retries transfers but neither commits nor repository calls, and it waits for
ever unless told otherwise. Leaves out what is called.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from butwait.schemas.errors import HubError

T = TypeVar("T")

TRANSIENT = frozenset({408, 409, 412, 425, 429})
"""Worth another attempt, as is every 5xx: all calls made here may be repeated."""
LONGEST_ASKED_WAIT_S = 330.0
"""The Hub's rate limits are counted over five minutes."""
CLIENT_TIMEOUT_S = 120.0
"""Longest silence of the Hub; it may take 60 s to answer a commit."""
XET_ATTEMPTS = "2"
"""Of the Xet client for one request; the whole commit is tried again after them."""
WAYS_OUT = {
    401: "make a token at {endpoint}/settings/tokens and set HF_TOKEN",
    403: "use a token with write permission for this repository",
    404: "check the repository's name and whose the token is",
    400: "nothing was committed; the Hub refuses the content",
    429: "the Hub's quota is used up; push again later",
}


@dataclass(frozen=True)
class HubLine:
    """How this process talks to one Hub: where, as whom, how patiently."""

    endpoint: str
    token: str = field(repr=False)
    progress: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    n_attempts: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0

    def tell(self, message: str) -> None:
        """Show a line, without the token should it be in there."""
        self.progress(self.hide(message))

    def hide(self, text: str) -> str:
        """Return a text without the token."""
        return text.replace(self.token, "***") if self.token else text


def call_hub(line: HubLine, what: str, action: Callable[[], T]) -> T:
    """Call the Hub until it answers, a refusal is final, or the attempts are used up.

    Args:
        line: The Hub.
        what: What is done, for messages (``read alice/numbers``).
        action: The call; it must be safe to repeat.

    Raises:
        HubError: With the Hub's answer and the way out, in one line.
    """
    from huggingface_hub.utils import HfHubHTTPError, httpx

    wait_s = line.first_wait_s
    for attempt in range(1, line.n_attempts + 1):
        try:
            return action()
        # The client wraps a failed upload in RuntimeError and a refused card in ValueError.
        except (HfHubHTTPError, httpx.HTTPError, RuntimeError, ValueError, OSError) as error:
            status = find_status(error)
            is_final = attempt == line.n_attempts or not _is_transient(error, status)
            if is_final:
                raise HubError(explain(line, what, error, attempt)) from error
            pause_s = _asked_wait_s(error) or wait_s
            reason = status or type(error).__name__
            line.tell(f"cannot {what} ({reason}); trying again in {pause_s:.0f} s")
            line.sleep(pause_s)
            wait_s = min(2 * wait_s, line.longest_wait_s)
    raise AssertionError("n_attempts is at least 1")


def try_again(
    action: Callable[[], T],
    n_attempts: int = 4,
    wait_s: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call the Hub until it answers or the fault is not one that passes; raise what it raised."""
    from huggingface_hub.utils import HfHubHTTPError, httpx

    for attempt in range(1, n_attempts + 1):
        try:
            return action()
        except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
            if attempt == n_attempts or not _is_transient(error, find_status(error)):
                raise
            sleep(_asked_wait_s(error) or wait_s * 2 ** (attempt - 1))
    raise AssertionError("n_attempts is at least 1")


def limit_client_time(timeout_s: float = CLIENT_TIMEOUT_S) -> None:
    """Give this process's Hub client a time limit; by default it waits for ever.

    Xet has a client of its own, which takes its limits from the environment; what the user set
    there stays.
    """
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def make() -> Any:
        client = default_client_factory()
        client.timeout = timeout_s
        return client

    set_client_factory(make)
    os.environ.setdefault("HF_XET_CLIENT_READ_TIMEOUT", f"{timeout_s * 1000:.0f}ms")
    os.environ.setdefault("HF_XET_CLIENT_RETRY_MAX_DURATION", f"{timeout_s * 1000:.0f}ms")
    os.environ.setdefault("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", XET_ATTEMPTS)


def find_status(error: BaseException) -> int | None:
    """Return the HTTP status behind an error or its causes, if there was an answer."""
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        status = getattr(response, "status_code", None)
        if isinstance(status, int):
            return status
    return None


def explain(line: HubLine, what: str, error: BaseException, n_attempts: int = 1) -> str:
    """Return one line: what failed, the Hub's answer and the way out."""
    status = find_status(error)
    if status is None:
        deepest = list(_causes(error))[-1]
        reason = f"{type(deepest).__name__}: {' '.join(str(deepest).split())[:300]}"
    else:
        said = _server_message(error)
        reason = f"answered {status}" + (f" ({said})" if said else "")
    if _is_transient(error, status):
        way_out = "push again later; it continues where this one ended"
    else:
        way_out = "nothing was committed"
    if status is None and _is_transient(error, status):
        way_out = f"check HF_ENDPOINT and the network, then {way_out}"
    way_out = WAYS_OUT.get(status or 0, way_out).format(endpoint=line.endpoint)
    tries = f" after {n_attempts} attempts" if n_attempts > 1 else ""
    return line.hide(f"cannot {what}{tries}: {line.endpoint} {reason}; {way_out}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _server_message(error: BaseException) -> str:
    """Return the first line of what the server said."""
    for cause in _causes(error):
        said = getattr(cause, "server_message", None)
        if said:
            return str(said).splitlines()[0][:300]
    return ""


def _is_transient(error: BaseException, status: int | None) -> bool:
    from huggingface_hub.utils import httpx

    if status is not None:
        return status in TRANSIENT or status >= 500
    passing = (httpx.TransportError, ConnectionError, TimeoutError)
    return any(isinstance(cause, passing) for cause in _causes(error))


def _asked_wait_s(error: BaseException) -> float | None:
    """Return how long a 429 or 503 asks to wait, within reason."""
    from huggingface_hub.utils import parse_ratelimit_headers

    for cause in _causes(error):
        response = getattr(cause, "response", None)
        if response is None or response.status_code not in (429, 503):
            continue
        after = response.headers.get("retry-after", "")
        if after.isdigit():
            return min(float(after), LONGEST_ASKED_WAIT_S)
        limits = parse_ratelimit_headers(response.headers)
        if limits is not None and limits.remaining == 0:
            return min(float(limits.reset_in_seconds) + 1.0, LONGEST_ASKED_WAIT_S)
    return None
