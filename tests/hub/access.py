"""Who may do what on the test Hub, with the status codes and error codes of the real one.

A repository that the caller may not see is reported as missing: 401 to nobody in particular, 404
to a named account.
"""

from __future__ import annotations

from hub.state import Account, HubRefusal, HubState, Repo
from starlette.requests import Request


def identify(state: HubState, request: Request) -> Account | None:
    """Return the account of the request's token, or None without a token."""
    header = request.headers.get("authorization", "")
    if not header:
        return None
    account = state.accounts.get(header.removeprefix("Bearer ").strip())
    if account is None:
        raise HubRefusal(401, "Invalid credentials in Authorization header")
    return account


def require_account(state: HubState, request: Request) -> Account:
    """Return the account of the request's token."""
    account = identify(state, request)
    if account is None:
        raise HubRefusal(401, "Invalid username or password.")
    return account


def find_readable(state: HubState, request: Request, repo_type: str, repo_id: str) -> Repo:
    """Return the repository if the caller may read it."""
    account = identify(state, request)
    repo = state.repos.get((repo_type, repo_id))
    owns = repo is not None and account is not None and account.name == repo.owner
    if repo is None or (repo.private and not owns):
        status = 401 if account is None else 404
        raise HubRefusal(status, "Repository not found", "RepoNotFound")
    if repo.gated and not owns:
        raise HubRefusal(403, f"Access to dataset {repo_id} is restricted", "GatedRepo")
    return repo


def find_writable(state: HubState, request: Request, repo_type: str, repo_id: str) -> Repo:
    """Return the repository if the caller may write to it."""
    repo = find_readable(state, request, repo_type, repo_id)
    account = require_account(state, request)
    if account.name != repo.owner or account.role != "write":
        raise HubRefusal(403, "you don't have the rights to write to this repository")
    return repo


def require_namespace(account: Account, namespace: str) -> None:
    """Refuse to create or delete repositories outside the caller's own namespace."""
    if account.role != "write":
        raise HubRefusal(403, "this token is read-only")
    if account.name != namespace:
        message = f'You don\'t have the rights to create a repo under the namespace "{namespace}"'
        raise HubRefusal(403, message)
