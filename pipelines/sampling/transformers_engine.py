"""A small sampler in this process, for machines where vLLM cannot be installed.

Requests that wait are decoded together, and each sample draws from a generator of its own that is
seeded with seed + index, so that a sample does not depend on what it is decoded with (up to
floating point). Left out: everything that makes large models bearable; that is vLLM.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from butwait.schemas.errors import RequestRefused, SamplerError
from butwait.schemas.sampling import Completion, ModelIdentity, SampleRequest

MAX_ROWS = 128
"""Samples decoded together."""
_THINNED = 0.8
"""Share of a batch that is still going at which the others are taken out of it."""
COLD = 1e-5
"""Temperature below which vLLM too decodes greedily."""
_TAIL_TOKENS = 16
"""Tokens beyond a stop string's length that are decoded to look for it."""


@dataclass
class _Row:
    """One sample under way."""

    request: SampleRequest
    index: int
    prompt: list[int]
    rng: np.random.Generator
    tokens: list[int] = field(default_factory=list)
    finish_reason: str = ""
    stop_reason: str | None = None


class TransformersSampler:
    """Implements ``Sampler`` with a model in this process.

    Args:
        folder: Model folder or Hub id.
        identity: Which weights it holds.
        revision: Commit, tag or branch of a Hub id; None for a folder.
    """

    def __init__(
        self, folder: str, identity: ModelIdentity, *, revision: str | None = None
    ) -> None:
        self._identity = identity
        self._is_closing = False
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="transformers")
        self._waiting: list[tuple[_Row, asyncio.Future[_Row]]] = []
        self._model, self._tokenizer = _load(folder, revision)
        self._context = int(self._model.config.max_position_embeddings)
        ends = self._model.generation_config.eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends])
        self._ends.add(self._tokenizer.eos_token_id)

    @property
    def identity(self) -> ModelIdentity:
        """Which weights answer."""
        return self._identity

    async def sample(self, request: SampleRequest) -> list[Completion]:
        """Answer with exactly ``request.n`` completions in index order.

        Raises:
            RequestRefused: The prompt fills the model's context.
        """
        prompt = self._tokenize(request)
        if len(prompt) >= self._context:
            detail = f"the prompt has {len(prompt)} tokens, the context {self._context}"
            raise RequestRefused("context_overflow", detail)
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[_Row]] = []
        for index in range(request.n):
            rng = np.random.Generator(np.random.PCG64(request.seed + index))
            futures.append(loop.create_future())
            self._waiting.append((_Row(request, index, prompt, rng), futures[-1]))
        loop.call_soon(self._start_batch)
        return [self._finish(row) for row in await asyncio.gather(*futures)]

    async def close(self) -> None:
        """End the worker thread; a batch that nobody waits for any more stops at its next token."""
        self._is_closing = True
        await asyncio.to_thread(self._worker.shutdown)

    def _tokenize(self, request: SampleRequest) -> list[int]:
        """Tokenize prompt and prefix as the HTTP client does."""
        tokenizer = self._tokenizer
        if request.prompt is not None:
            bos = tokenizer.bos_token or ""
            special = not (bos and request.prompt.startswith(bos))
            text = request.prompt + request.prefix
            return list(tokenizer(text, add_special_tokens=special)["input_ids"])
        chat = tokenizer.apply_chat_template(
            [message.model_dump() for message in request.messages or ()],
            add_generation_prompt=True,
            tokenize=False,
        )
        parts = (chat, request.prefix)
        return [i for part in parts for i in tokenizer(part, add_special_tokens=False)["input_ids"]]

    def _start_batch(self) -> None:
        """Hand what waits to the worker thread, unless a batch runs already."""
        batch, self._waiting = self._waiting[:MAX_ROWS], self._waiting[MAX_ROWS:]
        if not batch:
            return
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._worker, self._decode, [row for row, _ in batch])
        running.add_done_callback(lambda done: _deliver(done, batch))
        if self._waiting:
            loop.call_soon(self._start_batch)

    def _decode(self, rows: Sequence[_Row]) -> None:
        """Decode rows to their ends, in the worker thread."""
        import torch

        with torch.inference_mode():
            going = list(rows)
            width = max(len(row.prompt) for row in going)
            pads = [width - len(row.prompt) for row in going]
            ids = torch.tensor(
                [[0] * pad + row.prompt for pad, row in zip(pads, going, strict=True)]
            )
            mask = (torch.arange(width) >= torch.tensor(pads)[:, None]).long()
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            cache = None
            while True:
                if self._is_closing:
                    raise SamplerError("the engine was closed while it sampled")
                out = self._model(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
                cache = out.past_key_values
                logits = out.logits[:, -1].double().numpy()
                tokens = [self._step(row, logits[i]) for i, row in enumerate(going)]
                left = [i for i, row in enumerate(going) if not row.finish_reason]
                if not left:
                    return
                if len(left) <= _THINNED * len(going):
                    # What ended would be computed on to the end of the longest.
                    cache.batch_select_indices(torch.tensor(left))
                    mask, positions = mask[left], positions[left]
                    going, tokens = [going[i] for i in left], [tokens[i] for i in left]
                ids = torch.tensor(tokens)[:, None]
                mask = torch.cat([mask, torch.ones(len(going), 1, dtype=mask.dtype)], 1)
                positions = positions[:, -1:] + 1

    def _step(self, row: _Row, logits: np.ndarray[Any, np.dtype[np.float64]]) -> int:
        """Draw a row's next token and see whether it ends; an ended row gets filler."""
        if row.finish_reason:
            return 0
        parameters = row.request.parameters
        token = draw_token(logits, parameters.temperature, parameters.top_p, row.rng)
        row.tokens.append(token)
        if token in self._ends:
            row.finish_reason = "stop"
            return token
        for stop in parameters.stop:
            tail = row.tokens[-(len(stop) + _TAIL_TOKENS) :]
            if stop in self._tokenizer.decode(tail, skip_special_tokens=True):
                row.finish_reason, row.stop_reason = "stop", stop
        n_used = len(row.prompt) + len(row.tokens)
        if not row.finish_reason and (
            len(row.tokens) >= parameters.max_tokens or n_used >= self._context
        ):
            row.finish_reason = "length"
        return token

    def _finish(self, row: _Row) -> Completion:
        text = self._tokenizer.decode(row.tokens, skip_special_tokens=True)
        if row.stop_reason is not None and row.stop_reason in text:
            text = text[: text.index(row.stop_reason)]
        return Completion(
            index=row.index,
            text=text,
            finish_reason=row.finish_reason,
            stop_reason=row.stop_reason,
            n_prompt_tokens=len(row.prompt),
            n_completion_tokens=len(row.tokens),
            seed=row.request.seed + row.index,
        )


def draw_token(
    logits: np.ndarray[Any, np.dtype[np.float64]],
    temperature: float,
    top_p: float,
    rng: np.random.Generator,
) -> int:
    """Draw a token from the smallest set of tokens whose probability reaches ``top_p``.

    Args:
        logits: One per token of the vocabulary.
        temperature: Below 1e-5 the most likely token is taken.
        top_p: In (0, 1].
        rng: Advanced by one draw, also where nothing is random.
    """
    draw = rng.random()
    if temperature < COLD:
        return int(np.argmax(logits))
    weights = np.exp((logits - logits.max()) / temperature)
    if top_p >= 1.0:
        total = np.cumsum(weights)
        return min(int(np.searchsorted(total, draw * total[-1], "right")), len(total) - 1)
    order = np.argsort(-weights, kind="stable")
    total = np.cumsum(weights[order])
    n_kept = int(np.searchsorted(total, top_p * total[-1])) + 1
    chosen = np.searchsorted(total[:n_kept], draw * total[min(n_kept, len(order)) - 1], "right")
    return int(order[min(int(chosen), len(order) - 1)])


def _deliver(done: asyncio.Future[None], batch: list[tuple[_Row, asyncio.Future[_Row]]]) -> None:
    """Wake whoever waits for the rows of a batch."""
    error = None if done.cancelled() else done.exception()
    for row, future in batch:
        if future.done():
            continue
        if done.cancelled():
            future.cancel()
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(row)


def _load(folder: str, revision: str | None) -> tuple[Any, Any]:
    """Load model (float32, evaluation mode) and tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, revision=revision, dtype=torch.float32
        ).eval()
        return model, AutoTokenizer.from_pretrained(folder, revision=revision)
    except (OSError, ValueError) as error:
        shown = folder if revision is None else f"{folder} at {revision}"
        raise SamplerError(f"cannot load {shown}: {error}") from error
