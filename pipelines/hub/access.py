"""Who may write where: names, tokens, owners; and what stands in the repository already.

Everything that can be refused is refused here, before a byte is sent. Leaves out the sending.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from butwait.pipelines.hub.calls import HubLine, call_hub, find_status
from butwait.schemas.errors import ConfigError, HubError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def check_names(repo_id: str, token: str | None) -> str:
    """Return the token; raise unless there is one and the repository's name is one.

    Raises:
        ConfigError: Naming the value and the way out.
    """
    if not is_repo_name(repo_id):
        raise ConfigError(
            f"{repo_id!r} is not a repository's name: give OWNER/NAME of letters, digits, '-', "
            "'_', '.', e.g. alice/numbers"
        )
    if token is None or not token.strip():
        raise ConfigError(
            "no Hub token: set HF_TOKEN to a token with write permission, or run `hf auth login`"
        )
    return token.strip()


def is_repo_name(repo_id: str) -> bool:
    """Whether a text is ``owner/name`` as the Hub allows it."""
    return bool(REPO_ID.fullmatch(repo_id)) and "--" not in repo_id and ".." not in repo_id


def find_endpoint(endpoint: str | None) -> str:
    """Return the address of the Hub, the client library's where none is given."""
    from huggingface_hub import constants

    return (endpoint or str(constants.ENDPOINT)).rstrip("/")


def connect_hub(line: HubLine) -> HfApi:
    """Return a client of the Hub."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=line.endpoint, token=line.token, library_name="butwait")


def check_identity(line: HubLine, api: HfApi, repo_id: str) -> None:
    """Raise unless the token's owner may write to the repository's namespace.

    Raises:
        HubError: Naming the owner, the namespace and the way out.
    """
    who = call_hub(line, "log in with the given token", api.whoami)
    name, owner = str(who.get("name")), repo_id.split("/")[0]
    spaces = [name, *(str(org.get("name")) for org in who.get("orgs") or ())]
    if owner not in spaces:
        raise HubError(
            f"{repo_id} belongs to {owner!r}, but the token writes to "
            f"{', '.join(map(repr, spaces))}; name a repository there"
        )
    role = ((who.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise HubError(
            f"the token of {name!r} may only read; make one with write permission at "
            f"{line.endpoint}/settings/tokens"
        )


def prepare_repo(
    line: HubLine, api: HfApi, repo_id: str, public: bool, repo_type: str = "dataset"
) -> bool:
    """Make the repository if there is none; return whether it is private.

    Raises:
        HubError: The repository has another name by now.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    def look() -> Any:
        try:
            return api.repo_info(repo_id, repo_type=repo_type)
        except RepositoryNotFoundError as error:
            if find_status(error) == 404:
                return None
            raise

    info = call_hub(line, f"read {repo_id}", look)
    if info is None:
        line.tell(f"making {'public' if public else 'private'} {repo_type} {repo_id}")

        def make() -> None:
            api.create_repo(repo_id, repo_type=repo_type, private=not public, exist_ok=True)

        call_hub(line, f"make {repo_id}", make)
        return not public
    if info.id != repo_id:
        raise HubError(f"{repo_id} was renamed to {info.id}; push to {info.id}")
    if not info.private and not public:
        line.tell(f"{repo_id} is public already and stays so")
    return bool(info.private)


def publicise(api: HfApi, repo_id: str, repo_type: str = "dataset") -> Callable[[], None]:
    """Return the call that makes a repository public."""

    def change() -> None:
        api.update_repo_settings(repo_id, repo_type=repo_type, private=False)

    return change
