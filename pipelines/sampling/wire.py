"""What goes over the wire to vLLM and what comes back: payloads and replies, no connection.

Every sampling parameter that a server could fill in from a model's ``generation_config.json`` is
sent, so that an attached server with other defaults gives the same distribution. Proven with vLLM
0.32: sample i of a request uses seed + i; ``usage`` counts all samples together, and
``return_token_ids``, asked for where there are several, gives the tokens of each.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

from butwait.schemas.errors import RequestRefused
from butwait.schemas.sampling import Completion, SampleRequest

MAX_MESSAGE = 500
"""Characters of a server's message that are kept."""
_NEUTRAL = {
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
PASSING_STATUS = (408, 425, 429)
"""Client errors that another attempt may cure; so may every 5xx."""
_STRANGE = (
    AttributeError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError,
)  # fmt: skip
"""What a reply of another shape than the expected makes of the expressions that read it."""
_OVERFLOW = ("maximum context length", "max_model_len", "maximum model length")


def write_sampling(request: SampleRequest, model: str) -> dict[str, Any]:
    """Write the part of a payload that chat and raw prompts share."""
    parameters = request.parameters
    return {
        "model": model,
        "n": request.n,
        "seed": request.seed,
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        "max_tokens": parameters.max_tokens,
        "stop": list(parameters.stop),
        # ``usage`` counts the one sample; a list of ids would be half of the reply.
        "return_token_ids": request.n > 1 or request.with_tokens,
        **_NEUTRAL,
    }


def write_messages(request: SampleRequest) -> list[dict[str, str]]:
    """Write the chat messages of a request."""
    return [{"role": m.role, "content": m.content} for m in request.messages or ()]


def read_completions(reply: object, request: SampleRequest) -> list[Completion]:
    """Read a reply of either endpoint.

    Args:
        reply: Parsed JSON body.
        request: What was asked.

    Returns:
        ``request.n`` completions in index order.

    Raises:
        RequestRefused: ``bad_reply``: the wrong number of choices, missing fields, an aborted
            sample (all worth another attempt), or ``refused``: a reasoning parser cut the text.
    """
    try:
        choices = sorted(reply["choices"], key=lambda choice: choice["index"])  # type: ignore[index]
        usage = reply["usage"]  # type: ignore[index]
        indices = [choice["index"] for choice in choices]
        if indices != list(range(request.n)):
            raise RequestRefused("bad_reply", f"asked for {request.n} samples, got {indices}")
        return [_read_choice(choice, usage, request) for choice in choices]
    except _STRANGE as error:
        shown = show(reply)
        what = f"{type(error).__name__} {shorten(str(error))}"
        raise RequestRefused("bad_reply", f"{what} in {shown}") from error


def is_hollow(completion: Completion) -> bool:
    """Tell whether a sample has several tokens and no text, and no stop string that explains it.

    It may be true (tokens that are not shown) or a text that got lost. An empty text of one token
    is a model that ended at once, which is a sample like any other.
    """
    is_empty = not completion.text and completion.stop_reason is None
    return is_empty and completion.n_completion_tokens > 1


def read_unseeded(
    reply: object, wanted: Sequence[tuple[SampleRequest, int, int]]
) -> list[Completion]:
    """Read a reply to a list of prompts, one sample each.

    Args:
        reply: Parsed JSON body.
        wanted: For each prompt the request that it belongs to, which of its samples this is, and
            the prompt's number of tokens.

    Returns:
        One completion a prompt, in order.

    Raises:
        RequestRefused: As `read_completions`.
    """
    try:
        choices = sorted(reply["choices"], key=lambda choice: choice["index"])  # type: ignore[index]
        indices = [choice["index"] for choice in choices]
        if indices != list(range(len(wanted))):
            raise RequestRefused("bad_reply", f"asked for {len(wanted)} samples, got {indices[:8]}")
        return [
            _read_choice(
                {**choice, "index": index},
                {"prompt_tokens": n_prompt, "completion_tokens": None},
                request,
            )
            for choice, (request, index, n_prompt) in zip(choices, wanted, strict=True)
        ]
    except _STRANGE as error:
        shown = show(reply)
        what = f"{type(error).__name__} {shorten(str(error))}"
        raise RequestRefused("bad_reply", f"{what} in {shown}") from error


def read_token_ids(reply: object) -> tuple[int, ...]:
    """Read a reply of ``/tokenize``.

    Raises:
        RequestRefused: ``bad_reply``.
    """
    tokens = reply.get("tokens") if isinstance(reply, dict) else None
    if not isinstance(tokens, list) or not all(_is_token(token) for token in tokens):
        raise RequestRefused("bad_reply", f"no tokens in {show(reply)}")
    return tuple(tokens)


def _is_token(token: object) -> bool:
    return isinstance(token, int) and 0 <= token < 2**32


def _read_choice(
    choice: dict[str, Any], usage: dict[str, Any], request: SampleRequest
) -> Completion:
    if choice["finish_reason"] not in ("stop", "length"):
        raise RequestRefused("bad_reply", f"a sample ended with {choice['finish_reason']!r}")
    stop_reason = choice.get("stop_reason")
    text, n_tokens = _read_text(choice), _count_tokens(choice, usage, request.n)
    if not text and not n_tokens:
        # Nothing was sampled: even a model that ends at once samples the token that says so.
        raise RequestRefused("bad_reply", "a sample without text and without tokens")
    return Completion(
        index=choice["index"],
        text=text,
        finish_reason=choice["finish_reason"],
        stop_reason=replace_surrogates(stop_reason) if isinstance(stop_reason, str) else None,
        n_prompt_tokens=_check_count(usage["prompt_tokens"]),
        n_completion_tokens=n_tokens,
        seed=request.seed + choice["index"],
        token_ids=_read_ids(choice) if request.with_tokens else None,
        log_prob=_sum_log_probs(choice) if request.with_log_probs else None,
    )


def _read_ids(choice: dict[str, Any]) -> tuple[int, ...] | None:
    ids = choice.get("token_ids")
    return None if ids is None else tuple(int(token) for token in ids)


def _sum_log_probs(choice: dict[str, Any]) -> float | None:
    """Sum the tokens' log-probabilities; None where the server does not tell them all."""
    logprobs = choice.get("logprobs") or {}
    values = logprobs.get("token_logprobs")
    if not values or any(value is None for value in values):
        return None
    return float(sum(values))


def _read_text(choice: dict[str, Any]) -> str:
    if "text" in choice:
        return replace_surrogates(str(choice["text"]))
    message = choice["message"]
    if message.get("reasoning") or message.get("reasoning_content"):
        raise RequestRefused(
            "refused",
            "the server splits the thinking from the answer; start it without --reasoning-parser",
        )
    return replace_surrogates(str(message["content"] or ""))


def _count_tokens(choice: dict[str, Any], usage: dict[str, Any], n: int) -> int:
    """Count the tokens of one sample; ``usage`` alone would do for n = 1 only."""
    tokens = choice.get("token_ids")
    if tokens is not None:
        return len(tokens)
    if n == 1 and usage["completion_tokens"] is not None:
        return _check_count(usage["completion_tokens"])
    raise RequestRefused(
        "refused", "the server does not count tokens by sample; use vLLM 0.11 or newer"
    )


def _check_count(value: object) -> int:
    """Return a number of tokens that a column can hold.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, int) and 0 <= value < 2**31:
        return value
    raise ValueError(f"{show(value, 40)} is no number of tokens")


def read_refusal(status: int, body: str, parsed: object) -> RequestRefused:
    """Turn a 4xx or 5xx reply into the error that names its reason."""
    message = body
    if isinstance(parsed, dict):
        error = parsed.get("error", parsed)
        found = error.get("message") or error.get("detail") if isinstance(error, dict) else error
        message = str(found or body)
    message = shorten(message)
    if status == 400 and any(sign in message for sign in _OVERFLOW):
        return RequestRefused("context_overflow", message)
    reason = "server_error" if status >= 500 or status in PASSING_STATUS else "refused"
    return RequestRefused(reason, f"the server answered {status}: {message}")


def show(value: object, limit: int = 120) -> str:
    """Show the beginning of a foreign value, however large or deep it is."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = limit
    return shorten(brief.repr(value), limit)


def shorten(text: str, limit: int = MAX_MESSAGE) -> str:
    """Bring a foreign text into one line of at most ``limit`` characters."""
    line = " ".join(replace_surrogates(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def replace_surrogates(text: str) -> str:
    r"""Replace lone surrogates, which JSON can carry and UTF-8 cannot.

    >>> replace_surrogates("4\ud800")
    '4?'
    """
    return text.encode("utf-8", "replace").decode()
