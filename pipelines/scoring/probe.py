"""Look at a reward model's server before the first request: can it do what the layout asks?

A server that was started for something else would refuse every single request with a 404 or, worse,
answer with numbers that mean something else. Left out: whether the weights are any good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from butwait.pipelines.sampling.attempt import authorize, is_loopback
from butwait.pipelines.sampling.bounded import NO_COMPRESSION, bound
from butwait.pipelines.sampling.engine import Endpoint
from butwait.pipelines.sampling.refusals import ServerGone
from butwait.pipelines.sampling.wire import read_refusal, read_token_ids, shorten
from butwait.pipelines.scoring.layouts import find_step_tag
from butwait.pipelines.scoring.likelihood import write_log_probs_request
from butwait.pipelines.scoring.marks import Marks, write_marks_request
from butwait.pipelines.scoring.wire import (
    read_log_probs,
    read_mark,
    read_outcome,
    read_rewards,
    read_rows,
)
from butwait.schemas.errors import ConfigError, RequestRefused, SamplerError
from butwait.schemas.recipe_search import PrmSpec

LOOK_TIMEOUT_S = 120.0
"""A server's very first request may compile."""
N_WORDS = 40
"""Length of what is asked about. vLLM's CPU build dies of an illegal instruction when the first
prompt of all has four tokens or fewer (its attention uses AMX tiles, which a larger matrix product
must have switched on before)."""


class Probe:
    """A few requests to one server, in a ``with`` block.

    Args:
        server: Where it answers.
        prm: Whose layout it is to serve.
    """

    def __init__(self, server: Endpoint, prm: PrmSpec) -> None:
        self._server = server
        self._prm = prm
        key = server.api_key.get_secret_value() if server.api_key else None
        self._http = httpx.Client(
            base_url=server.url,
            headers=authorize(key) | NO_COMPRESSION,
            event_hooks={"response": [bound]},
            timeout=LOOK_TIMEOUT_S,
            trust_env=not is_loopback(server.url),
        )

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def check(self) -> Marks | None:
        """Check that the server does what the layout asks.

        Returns:
            Token ids of the marks, for the layouts that have some.

        Raises:
            ConfigError: It serves another task, has other flags, or a mark is not one token.
            SamplerError: It does not answer.
        """
        match self._prm.layout:
            case "qwen":
                self._check_step_token()
            case "rlhflow" | "math_shepherd":
                return self._check_marks()
            case "likelihood" | "density_ratio":
                self._check_log_probs()
            case "outcome":
                body = {"input": ["1 " * N_WORDS]}
                self._try("/classify", body, "data", "probs", lambda _, row: read_outcome(row))
        return None

    def _check_step_token(self) -> None:
        tag = find_step_tag(self._prm)
        body = {
            "input": [f"{'1 ' * N_WORDS}{tag}2{tag}"],
            "task": "token_classify",
            "add_special_tokens": False,
        }
        self._try("/pooling", body, "data", "data", lambda _, row: read_rewards(row, 2))

    def _check_marks(self) -> Marks:
        good, bad = (
            self._find_mark(name, getattr(self._prm, name)) for name in ("good_mark", "bad_mark")
        )
        if good == bad:
            raise ConfigError(f"prm.good_mark and prm.bad_mark are the same token ({good})")
        marks = Marks(good, bad)
        body = write_marks_request(self._server.served_name, ["1 " * N_WORDS], marks)
        self._try("/v1/completions", body, "choices", "", lambda _, row: read_mark(row, *marks))
        return marks

    def _find_mark(self, name: str, mark: str) -> int:
        body = {"prompt": mark, "add_special_tokens": False}
        tokens = read_token_ids(self._ask("/tokenize", body))
        if len(tokens) != 1:
            raise ConfigError(
                f"prm.{name} {mark!r} is {len(tokens)} tokens of {self._server.served_name}; "
                "a mark must be a single token of the reward model"
            )
        return tokens[0]

    def _check_log_probs(self) -> None:
        piece = read_token_ids(self._ask("/tokenize", {"prompt": "x", "add_special_tokens": False}))
        spelled = self._ask("/detokenize", {"tokens": [*piece, *piece]})
        if spelled != {"prompt": "xx"}:
            raise ConfigError(
                f"prm.model {self._server.identity.id!r} has a tokenizer that puts a blank before "
                f"every text ({shorten(repr(spelled), 60)}): steps tokenized one by one would not "
                f"be what the policy wrote; layout {self._prm.layout!r} needs a byte-level "
                "tokenizer"
            )
        tokens = list(piece) * N_WORDS
        body = write_log_probs_request(self._server.served_name, [tokens])
        read = lambda _, row: read_log_probs(row, tokens)  # noqa: E731
        self._try("/v1/completions", body, "choices", "", read)

    def _try(
        self,
        path: str,
        body: dict[str, Any],
        rows: str,
        field: str,
        read: Callable[[int, Any], object],
    ) -> None:
        """Ask about one text; what is not read as the layout needs it is explained."""
        try:
            (found,) = read_rows(self._ask(path, body), 1, rows, field, read)
        except RequestRefused as refusal:
            found = refusal
        if isinstance(found, RequestRefused):
            raise ConfigError(
                f"{self._server.url} does not answer as prm layout {self._prm.layout!r} needs: "
                f"{path} gives {shorten(found.detail, 200)}; {explain_server(self._prm)}"
            ) from found

    def _ask(self, path: str, body: dict[str, Any]) -> object:
        try:
            reply = self._http.post(path, json={"model": self._server.served_name, **body})
        except httpx.HTTPError as error:
            raise ServerGone(f"nobody answers at {self._server.url} ({error})") from error
        if reply.status_code == 404:
            raise ConfigError(
                f"{self._server.url} has no {path}, which prm layout {self._prm.layout!r} needs; "
                f"{explain_server(self._prm)}"
            )
        if reply.status_code != 200:
            refusal = read_refusal(reply.status_code, reply.text, _parse(reply))
            if refusal.reason == "refused":
                raise refusal
            raise SamplerError(f"{self._server.url}{path}: {refusal.detail}")
        return _parse(reply)


def explain_server(prm: PrmSpec) -> str:
    """Say which server a layout needs."""
    match prm.layout:
        case "qwen":
            tag = find_step_tag(prm)
            return (
                "it needs a vLLM started with --runner pooling --pooler-config "
                f'\'{{"pooling_type": "STEP", "step_tag_id": <token id of {tag}>}}\''
            )
        case "outcome":
            return "it needs a vLLM with --runner pooling and a sequence classification model"
    return (
        "it needs an ordinary vLLM (0.32 or newer) that generates with a causal model, "
        "not --runner pooling"
    )


def _parse(reply: httpx.Response) -> object:
    try:
        parsed: object = reply.json()
    except (ValueError, RecursionError):
        return None
    return parsed
