"""Look at a running server before the first request: is it there, what does it serve?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from butwait.pipelines.sampling.attempt import authorize, is_loopback
from butwait.pipelines.sampling.bounded import NO_COMPRESSION, bound
from butwait.pipelines.sampling.http import Asker, report_no_death, say_on_stderr
from butwait.pipelines.sampling.look import prove_with_a_token
from butwait.pipelines.sampling.patience import Patience
from butwait.pipelines.sampling.refusals import ServerGone
from butwait.pipelines.sampling.vllm_client import VllmClient
from butwait.pipelines.sampling.wire import shorten
from butwait.schemas.errors import ConfigError, SamplerError
from butwait.schemas.sampling import ModelIdentity

LOOK_TIMEOUT_S = 30.0


def normalize_url(url: str) -> str:
    """Strip a base URL of ``/v1`` and slashes.

    >>> normalize_url("http://gpu7:8000/v1/")
    'http://gpu7:8000'

    Raises:
        ConfigError: It is no http(s) URL.
    """
    bare = url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parsed = httpx.URL(bare)
    except httpx.InvalidURL as error:
        raise ConfigError(f"server url {url!r}: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"server url {url!r} must look like http://host:8000")
    return bare


@dataclass(frozen=True)
class Found:
    """What a running server says of itself."""

    served_name: str
    root: str
    """Model that the served name stands for."""
    identity: ModelIdentity
    bos: str
    """Text of the beginning-of-text token that it puts before a raw prompt."""
    context: int
    """Tokens of prompt and answer together; 0: not told."""


def look(
    url: str,
    served_name: str | None = None,
    *,
    hub_id: str | None = None,
    api_key: str | None = None,
) -> Found:
    """Look at one running server.

    Args:
        url: Base URL without ``/v1``.
        served_name: Model name; default: the only one that the server lists.
        hub_id: The model that is expected; another one is an error, where the server tells.
        api_key: Sent as a bearer token, never shown.

    Raises:
        ConfigError: The model name is wrong.
        ServerGone: Nobody answers.
        SamplerError: It is no vLLM.
    """
    with httpx.Client(
        base_url=url,
        headers=authorize(api_key) | NO_COMPRESSION,
        event_hooks={"response": [bound]},
        timeout=LOOK_TIMEOUT_S,
        trust_env=not is_loopback(url),
    ) as http:
        listed = _list_models(http, url)
        name = _choose_name(served_name, listed, url)
        _check_root(hub_id, listed[name], url)
        return Found(
            served_name=name,
            root=str(listed[name].get("root") or name),
            identity=_identify(http, name, listed[name]),
            bos=_find_bos(http, name),
            context=_read_context(listed[name]),
        )


def look_at_all(
    urls: Sequence[str],
    served_name: str | None = None,
    *,
    hub_id: str | None = None,
    api_key: str | None = None,
    say: Callable[[str], None] = say_on_stderr,
) -> Found:
    """Look at servers that are to share the work: all that answer must serve one model.

    Args:
        urls: Base URLs without ``/v1``.
        served_name: As for `look`.
        hub_id: As for `look`.
        api_key: As for `look`.
        say: Told of a server that does not answer while others do.

    Raises:
        ConfigError: The model name is wrong, or two servers serve two models.
        SamplerError: None answers, or one is no vLLM.
    """
    found: dict[str, Found] = {}
    away: list[ServerGone] = []
    for url in urls:
        try:
            found[url] = look(url, served_name, hub_id=hub_id, api_key=api_key)
        except ServerGone as error:
            away.append(error)
    if not found:
        raise away[0]
    for gone in away:
        say(f"{gone}; the others are asked meanwhile")
    first_url, first = next(iter(found.items()))
    for url, other in found.items():
        for what in ("served_name", "root", "context"):
            one, two = getattr(first, what), getattr(other, what)
            if one != two:
                raise ConfigError(
                    f"all of server.url must serve the same model, but {what} is {one!r} at "
                    f"{first_url} and {two!r} at {url}"
                )
    return first


def connect(
    url: str | Sequence[str],
    served_name: str | None = None,
    *,
    identity: ModelIdentity | None = None,
    hub_id: str | None = None,
    patience: Patience = Patience(),  # noqa: B008 (frozen)
    api_key: str | None = None,
    find_death: Callable[[], str | None] = report_no_death,
) -> VllmClient:
    """Look at a running server, or several of one model, and make a client.

    Args:
        url: Base URL or URLs, with or without ``/v1``.
        served_name: As for `look`.
        identity: Which weights it has; default: what the server says of itself.
        hub_id: As for `look`.
        patience: Limits and retries.
        api_key: Sent as a bearer token, never shown.
        find_death: Says how a server that we run ended for good, or None.

    Raises:
        ConfigError: The URL or the model name is wrong.
        SamplerError: Nobody answers, or it is no vLLM.
    """
    urls = [normalize_url(one) for one in ([url] if isinstance(url, str) else url)]
    found = look_at_all(urls, served_name, hub_id=hub_id, api_key=api_key)
    name = found.served_name
    asker = Asker(
        urls,
        patience=patience,
        api_key=api_key,
        find_death=find_death,
        model=name,
        proof=prove_with_a_token(name),
    )
    return VllmClient(
        asker,
        name,
        identity or found.identity,
        bos=found.bos,
        context=found.context,
        max_in_flight=patience.max_in_flight,
    )


def _read_context(model: dict[str, Any]) -> int:
    """Read how many tokens a model takes; 0 where the server does not tell, or tells nonsense."""
    told = model.get("max_model_len")
    return told if isinstance(told, int) and 0 < told < 2**31 else 0


def _list_models(http: httpx.Client, url: str) -> dict[str, dict[str, Any]]:
    try:
        response = http.get("/v1/models")
    except httpx.HTTPError as error:
        raise ServerGone(
            f"nobody answers at {url} ({error}); start it or correct the url"
        ) from error
    if response.status_code in (401, 403):
        raise SamplerError(f"{url} refuses the API key (status {response.status_code})")
    try:
        models = {str(model["id"]): dict(model) for model in response.json()["data"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        seen = f"status {response.status_code}: {shorten(response.text, 100)!r}"
        raise SamplerError(f"{url}/v1/models lists no models ({seen}); is it vLLM?") from error
    if not models:
        raise SamplerError(f"{url} serves no model")
    return models


def _choose_name(wanted: str | None, listed: dict[str, dict[str, Any]], url: str) -> str:
    names = shorten(", ".join(sorted(listed)))
    if wanted is None and len(listed) > 1:
        raise ConfigError(f"{url} serves several models, give served_name: one of {names}")
    if wanted is not None and wanted not in listed:
        raise ConfigError(f"{url} does not serve {wanted!r}; it serves: {names}")
    return wanted or next(iter(listed))


def _check_root(hub_id: str | None, model: dict[str, Any], url: str) -> None:
    """Refuse to publish one model's samples under the name of another."""
    root = model.get("root")
    if hub_id is None or not isinstance(root, str) or root.startswith(("/", ".")):
        return
    if root.count("/") == 1 and root != hub_id:
        raise ConfigError(f"{url} serves the model {root!r}, the recipe's model.id is {hub_id!r}")


def _identify(http: httpx.Client, name: str, model: dict[str, Any]) -> ModelIdentity:
    """Say what a foreign server tells of itself; it does not tell a revision."""
    root = shorten(str(model.get("root") or name), 200)
    shown = "/".join(root.rstrip("/").split("/")[-2:]) if root.startswith(("/", ".")) else root
    return ModelIdentity(id=shown, revision=None, engine=_name_engine(http))


def _name_engine(http: httpx.Client) -> str:
    version = _look(http.get, "/version").get("version")
    return f"vllm-{shorten(version, 60)}" if isinstance(version, str) else "vllm"


def _find_bos(http: httpx.Client, name: str) -> str:
    """Find the text that the server's tokenizer puts before every raw prompt."""
    body = {"model": name, "prompt": "", "return_token_strs": True}
    strings = _look(http.post, "/tokenize", json=body).get("token_strs")
    return "".join(map(str, strings)) if isinstance(strings, list) else ""


def _look(call: Callable[..., httpx.Response], path: str, **more: Any) -> dict[str, Any]:
    """Ask for something that a server need not have; {} where it has not."""
    try:
        response = call(path, **more)
        reply = response.json() if response.status_code == 200 else {}
    except (httpx.HTTPError, ValueError, RecursionError):
        return {}
    return reply if isinstance(reply, dict) else {}
