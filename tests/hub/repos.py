"""Routes about repositories: identity, creation, settings, info, trees, refs and history."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import yaml
from hub.access import find_readable, find_writable, identify, require_account, require_namespace
from hub.state import Commit, Entry, HubRefusal, HubState, Repo
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

PAGE_ENTRIES = 100


async def whoami(state: HubState, request: Request, _: dict[str, str]) -> Response:
    account = require_account(state, request)
    token = {"displayName": "test", "role": account.role}
    body = {"type": "user", "name": account.name, "fullname": account.name, "orgs": []}
    return JSONResponse({**body, "auth": {"type": "access_token", "accessToken": token}})


async def create_repo(state: HubState, request: Request, _: dict[str, str]) -> Response:
    account = require_account(state, request)
    body = await request.json()
    repo_type = f"{body.get('type') or 'model'}s"
    repo_id = f"{body.get('organization') or account.name}/{body['name']}"
    prefix = "" if repo_type == "models" else f"{repo_type}/"
    answer = {"url": f"{request.base_url}{prefix}{repo_id}", "name": repo_id, "id": repo_id}
    require_namespace(account, repo_id.split("/")[0])
    if (repo_type, repo_id) in state.repos:
        error = "You already created this dataset repo"
        return JSONResponse({**answer, "error": error}, 409)
    state.create_repo(repo_type, repo_id, private=body.get("visibility") == "private")
    return JSONResponse(answer)


async def delete_repo(state: HubState, request: Request, _: dict[str, str]) -> Response:
    account = require_account(state, request)
    body = await request.json()
    repo_type = f"{body.get('type') or 'model'}s"
    repo_id = f"{body.get('organization') or account.name}/{body['name']}"
    find_readable(state, request, repo_type, repo_id)
    require_namespace(account, repo_id.split("/")[0])
    del state.repos[repo_type, repo_id]
    return JSONResponse({})


async def change_settings(state: HubState, request: Request, at: dict[str, str]) -> Response:
    repo = find_writable(state, request, at["type"], at["id"])
    body = await request.json()
    if "visibility" in body:
        repo.private = body["visibility"] == "private"
    if "gated" in body:
        repo.gated = body["gated"]
    return JSONResponse({"private": repo.private, "gated": repo.gated})


def read_card(state: HubState, commit: Commit) -> dict[str, Any]:
    """Return the YAML front matter of a commit's README, or nothing."""
    entry = commit.tree.get("README.md")
    text = state.blob_path(entry.sha256).read_text("utf-8") if entry else ""
    parts = text.split("---\n", 2)
    card = yaml.safe_load(parts[1]) if len(parts) == 3 and parts[0] == "" else None
    return card if isinstance(card, dict) else {}


def describe_repo(state: HubState, repo: Repo, commit: Commit, blobs: bool) -> dict[str, Any]:
    siblings = []
    for path in sorted(commit.tree):
        entry = commit.tree[path]
        item: dict[str, Any] = {"rfilename": path}
        if blobs:
            item |= {"size": entry.size, "blobId": entry.git_oid}
            if entry.is_large:
                item["lfs"] = describe_pointer(entry, "sha256")
        siblings.append(item)
    card = read_card(state, commit)
    return {
        "_id": repo.repo_id,
        "id": repo.repo_id,
        "author": repo.owner,
        "sha": commit.oid,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "lastModified": commit.date,
        "createdAt": commit.date,
        "tags": list(card.get("tags") or []),
        "cardData": card,
        "siblings": siblings,
    }


def describe_pointer(entry: Entry, name: str) -> dict[str, Any]:
    return {name: entry.sha256, "size": entry.size, "pointerSize": entry.pointer_size}


async def show_repo(state: HubState, request: Request, at: dict[str, str]) -> Response:
    repo = find_readable(state, request, at["type"], at["id"])
    commit = repo.find(at.get("rev") or "main")
    blobs = request.query_params.get("blobs", "").lower() in ("1", "true")
    return JSONResponse(describe_repo(state, repo, commit, blobs))


async def list_repos(state: HubState, request: Request, at: dict[str, str]) -> Response:
    account = identify(state, request)
    author, search = request.query_params.get("author"), request.query_params.get("search", "")
    found = [
        describe_repo(state, repo, repo.find("main"), blobs=False)
        for (repo_type, repo_id), repo in sorted(state.repos.items())
        if repo_type == at["type"]
        and (not repo.private or (account is not None and account.name == repo.owner))
        and (author is None or author == repo.owner)
        and search in repo_id
    ]
    return JSONResponse(found)


def describe_entry(path: str, entry: Entry, commit: Commit, expand: bool) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "file", "path": path, "size": entry.size}
    item["oid"] = entry.git_oid
    if entry.is_large:
        item["lfs"] = describe_pointer(entry, "oid")
    if entry.xet_hash:
        item["xetHash"] = entry.xet_hash
    if expand:
        item["lastCommit"] = {"id": commit.oid, "title": commit.title, "date": commit.date}
    return item


def describe_folder(path: str, commit: Commit, expand: bool) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "directory", "path": path, "size": 0, "oid": commit.oid}
    if expand:
        item["lastCommit"] = {"id": commit.oid, "title": commit.title, "date": commit.date}
    return item


def list_folder(commit: Commit, folder: str, recursive: bool, expand: bool) -> list[dict[str, Any]]:
    """Return the files and folders below ``folder``, sorted by path."""
    prefix = f"{folder}/" if folder else ""
    inside = [path for path in commit.tree if path.startswith(prefix)]
    if folder and not inside:
        headers = {"X-Repo-Commit": commit.oid}
        raise HubRefusal(404, f"{folder} does not exist on this rev", "EntryNotFound", headers)
    folders, files = set(), []
    for path in inside:
        parts = path.removeprefix(prefix).split("/")
        deepest = len(parts) if recursive else 2
        folders |= {prefix + "/".join(parts[:n]) for n in range(1, min(len(parts), deepest))}
        if recursive or len(parts) == 1:
            files.append(path)
    items = [describe_folder(path, commit, expand) for path in folders]
    items += [describe_entry(path, commit.tree[path], commit, expand) for path in files]
    return sorted(items, key=lambda item: str(item["path"]))


async def list_tree(state: HubState, request: Request, at: dict[str, str]) -> Response:
    repo = find_readable(state, request, at["type"], at["id"])
    commit = repo.find(at["rev"])
    query = request.query_params
    recursive, expand = (query.get(k, "").lower() in ("1", "true") for k in ("recursive", "expand"))
    items = list_folder(commit, (at.get("path") or "").strip("/"), recursive, expand)
    start = int(query.get("cursor", "0"))
    limit = min(int(query.get("limit", "1000")), PAGE_ENTRIES)
    headers = {}
    if start + limit < len(items):
        following = request.url.include_query_params(cursor=start + limit)
        headers["Link"] = f'<{following}>; rel="next"'
    return JSONResponse(items[start : start + limit], headers=headers)


async def show_paths(state: HubState, request: Request, at: dict[str, str]) -> Response:
    repo = find_readable(state, request, at["type"], at["id"])
    commit = repo.find(at["rev"])
    raw = (await request.body()).decode()
    if "json" in request.headers.get("content-type", ""):
        body = json.loads(raw)
        paths, expand = body["paths"], bool(body.get("expand"))
    else:
        form = parse_qs(raw)
        paths, expand = form.get("paths", []), form.get("expand", ["false"])[0].lower() == "true"
    items = []
    for path in (path.strip("/") for path in paths):
        if path in commit.tree:
            items.append(describe_entry(path, commit.tree[path], commit, expand))
        elif any(known.startswith(f"{path}/") for known in commit.tree):
            items.append(describe_folder(path, commit, expand))
    return JSONResponse(items)


async def list_refs(state: HubState, request: Request, at: dict[str, str]) -> Response:
    repo = find_readable(state, request, at["type"], at["id"])

    def describe(kind: str, refs: dict[str, str]) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid}
            for name, oid in refs.items()
        ]

    branches, tags = describe("heads", repo.branches), describe("tags", repo.tags)
    body = {"branches": branches, "tags": tags, "converts": [], "pullRequests": []}
    return JSONResponse(body)


async def list_commits(state: HubState, request: Request, at: dict[str, str]) -> Response:
    repo = find_readable(state, request, at["type"], at["id"])
    items = [
        {
            "id": commit.oid,
            "title": commit.title,
            "message": commit.message,
            "date": commit.date,
            "authors": [{"user": commit.author}],
        }
        for commit in repo.history(at["rev"])
    ]
    return JSONResponse(items)


async def change_ref(state: HubState, request: Request, at: dict[str, str]) -> Response:
    """Create or delete a branch or a tag."""
    repo = find_writable(state, request, at["type"], at["id"])
    refs = repo.branches if at["kind"] == "branch" else repo.tags
    body = await request.json() if request.method == "POST" else {}
    name = body["tag"] if "tag" in body else at["name"]
    if request.method == "DELETE":
        if name == "main" and at["kind"] == "branch":
            raise HubRefusal(403, "Cannot delete the main branch")
        if refs.pop(name, None) is None:
            raise HubRefusal(404, f"Invalid rev id: {name}", "RevisionNotFound")
        return JSONResponse({})
    if name in refs:
        raise HubRefusal(409, f"Reference already exists: {name}")
    start = at["name"] if at["kind"] == "tag" else body.get("startingPoint") or "main"
    refs[name] = repo.find(start).oid
    return JSONResponse({})


async def validate_yaml(state: HubState, request: Request, _: dict[str, str]) -> Response:
    """Check a README's front matter as the Hub does before a commit."""
    body = await request.json()
    parts = str(body["content"]).split("---\n", 2)
    if len(parts) < 3 or parts[0]:
        warning = {"message": "empty or missing yaml metadata in repo card"}
        return JSONResponse({"errors": [], "warnings": [warning]})
    try:
        card = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        return JSONResponse({"errors": [{"message": str(error)}], "warnings": []}, 400)
    if not isinstance(card, dict):
        return JSONResponse({"errors": [{"message": "must be a map"}], "warnings": []}, 400)
    for config in card.get("configs") or []:
        if "config_name" not in config:
            error_item = {"message": '"configs[0].config_name" is required'}
            return JSONResponse({"errors": [error_item], "warnings": []}, 400)
    return JSONResponse({"errors": [], "warnings": []})
