"""Sections of a recipe that several others hold: a model and the server that serves it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator


class Section(BaseModel):
    """A closed, frozen part of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSpec(Section):
    """The policy that is sampled."""

    id: str
    """Hub id, or a local folder (starts with '.', '/' or '~')."""
    revision: str | None = None
    """Commit, tag or branch of a Hub model; pin a commit."""
    r1_derived: bool = False
    """Whether the model was trained on DeepSeek-R1 outputs; goes on every row."""


class ServerSpec(Section):
    """How the model is served."""

    mode: Literal["auto", "managed", "attach", "transformers"] = "auto"
    """``managed``: start vLLM here and stop it after. ``attach``: use ``url``. ``transformers``:
    a small in-process engine. ``auto``: ``attach`` if ``url`` is set, ``managed`` where vLLM is
    installed, else ``transformers``."""
    url: str | tuple[str, ...] | None = None
    """Base URL of a running OpenAI-compatible server, with or without ``/v1``; a list of several
    that serve the same model shares the work, and goes on without those that are down."""
    served_name: str | None = None
    """Model name to send; default: what the server lists."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Port of a managed server; default: a free one."""
    args: tuple[str, ...] = ()
    """Further flags for a managed vLLM, e.g. ``[--tensor-parallel-size, '4']``."""
    env: dict[str, str] = Field(default_factory=dict)
    """Further environment of a managed vLLM."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Context of a managed server, in tokens; default: the model's own."""
    start_timeout_s: float = Field(default=600.0, gt=0)
    """Longest wait for a managed server to be ready."""
    request_timeout_s: float = Field(default=900.0, gt=0)
    """Longest wait for one reply."""
    max_in_flight: int = Field(default=64, ge=1, le=4096)
    """Requests (each of ``n`` samples) held open at once, at all servers together; the server is
    never left idle."""
    n_retries: int = Field(default=5, ge=0, le=100)
    """Further attempts after 408, 429, 5xx, a reset, a timeout or a reply that cannot be read, with
    growing pauses. Waiting for a server that is down costs none."""
    pause_s: float = Field(default=0.5, gt=0, le=30)
    """First pause between attempts, in seconds; doubles up to 30 s, less a random part."""
    pause_after: int = Field(default=8, ge=1)
    """Failures in a row after which requests wait while a probe looks at the server. A refused
    connection is enough by itself."""
    stall_s: float | None = Field(default=None, gt=0)
    """Longest time with requests open and no reply before a probe looks whether tokens move; where
    none does, the requests are asked again. Default: a third of ``request_timeout_s``."""
    outage_s: float = Field(default=600.0, gt=0)
    """Longest wait for a server that is down, in seconds, before the build stops."""

    @field_validator("args")
    @classmethod
    def _trust_no_code(cls, args: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse the flag that has an engine run what a model's repository brings."""
        flag = next((a for a in args if "trust-remote-code" in a.replace("_", "-").lower()), None)
        if flag is not None:
            raise ValueError(
                f"{flag} lets a model's repository run its code here; start such a server "
                "yourself, where that does no harm, and give server.url"
            )
        return args

    @property
    def urls(self) -> tuple[str, ...]:
        """All base URLs; empty where there is none."""
        if self.url is None:
            return ()
        return (self.url,) if isinstance(self.url, str) else self.url


def read_short_server(value: object) -> object:
    """Expand ``server: managed``, ``server: http://...`` and a list of URLs to the full section."""
    if isinstance(value, list):
        return {"mode": "attach", "url": value}
    if isinstance(value, str):
        if value.startswith(("http://", "https://")):
            return {"mode": "attach", "url": value}
        return {"mode": value}
    return value


ServerField = Annotated[ServerSpec, BeforeValidator(read_short_server)]
