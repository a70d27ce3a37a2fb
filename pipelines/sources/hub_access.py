"""Asking the Hub for a dataset: patience with what passes, one line for what does not.

``huggingface_hub`` is imported on first use and honours ``HF_ENDPOINT`` and ``HF_TOKEN``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from butwait.pipelines.hub.calls import find_status, limit_client_time, try_again
from butwait.schemas.errors import SourceError

T = TypeVar("T")

DATASET_ID = re.compile(r"[\w.-]{1,96}(?:/[\w.-]{1,96})?")


def ask_hub(action: Callable[[], T]) -> T:
    """Call the Hub, with a limit to its silence, and again where the fault may pass."""
    limit_client_time()
    return try_again(action)


def describe_dataset(hub: str, revision: str | None) -> Any:
    """Return the Hub's description of a dataset at a revision, ``sha`` being its commit.

    Raises:
        SourceError: No name of a dataset, or another one by now.
    """
    if not DATASET_ID.fullmatch(hub) or "--" in hub or ".." in hub:
        raise SourceError(
            f"{hub!r} is not a dataset's name: give OWNER/NAME, e.g. AI-MO/NuminaMath-CoT"
        )
    from huggingface_hub import HfApi

    info = ask_hub(lambda: HfApi().dataset_info(hub, revision=revision))
    if info.id != hub:
        raise SourceError(f"{hub} was renamed to {info.id}; name {info.id} in the recipe")
    return info


def read_licence(info: Any) -> str | None:
    """Return the licence that a dataset's card states."""
    licence = (info.card_data.to_dict() if info.card_data else {}).get("license")
    return licence if isinstance(licence, str) else None


def read_r1_derived(info: Any) -> bool | None:
    """Return whether a card made by butwait says that its rows derive from DeepSeek-R1."""
    tags = (info.card_data.to_dict() if info.card_data else {}).get("tags")
    if not isinstance(tags, list) or "butwait" not in tags:
        return None
    return "r1-derived" in tags


@contextmanager
def one_line(hub: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's libraries raise into one line that says what to do."""
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import httpx  # the HTTP library that this client was built on

    wanted = hub if revision is None else f"{hub} at {revision}"
    try:
        yield
    except GatedRepoError as error:
        raise SourceError(
            f"{hub} is gated: accept its terms on its page on the Hub, then log in with `hf auth "
            "login` or set HF_TOKEN"
        ) from error
    except RevisionNotFoundError as error:
        raise SourceError(f"{hub} has no revision {revision!r}") from error
    except RepositoryNotFoundError as error:
        raise SourceError(
            f"{hub} is not a dataset on the Hub, or it is private and HF_TOKEN does not open it"
        ) from error
    except (HfHubHTTPError, httpx.HTTPError, DatasetsError, OSError, EOFError, ValueError) as error:
        if find_status(error) == 401:
            raise SourceError(
                f"{wanted} cannot be read: the Hub does not know the token in HF_TOKEN; make one "
                "at its page settings/tokens, or unset HF_TOKEN for what is public"
            ) from error
        line = " ".join(str(error).split())[:300] or type(error).__name__
        raise SourceError(f"{wanted} cannot be read from the Hub: {_hide_token(line)}") from error


def _hide_token(text: str) -> str:
    from huggingface_hub import get_token

    token = get_token()
    return text.replace(token, "***") if token else text
