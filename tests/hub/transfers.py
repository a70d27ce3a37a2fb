"""Routes that move bytes: preupload, LFS, commit and resolve."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from hub.access import find_readable, find_writable, require_account
from hub.state import Entry, HubRefusal, HubState, Repo, git_blob_oid, is_large_file, pointer_text
from hub.xet import adopt_xet_file
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

LFS_TYPE = "application/vnd.git-lfs+json"


async def preupload(state: HubState, request: Request, at: dict[str, str]) -> Response:
    """Say for each file whether it is large, and what is there already."""
    repo = find_writable(state, request, at["type"], at["id"])
    tree = repo.find(at["rev"]).tree
    answers = []
    for item in (await request.json())["files"]:
        path, sample = item["path"], base64.b64decode(item["sample"])
        large = is_large_file(path, item["size"], sample)
        answer = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        known = tree.get(path)
        if known is not None and known.is_large == large:
            answer["oid"] = known.sha256 if large else known.git_oid
        answers.append(answer)
    return JSONResponse({"files": answers})


async def lfs_batch(state: HubState, request: Request, at: dict[str, str]) -> Response:
    """Say where each large object is to be put; a stored one gets no upload action."""
    find_writable(state, request, at["type"], at["id"])
    objects = []
    for item in (await request.json())["objects"]:
        answer: dict[str, Any] = {"oid": item["oid"], "size": item["size"]}
        if not state.blob_path(item["oid"]).exists():
            href = f"{request.base_url}_store/{item['oid']}"
            verify = {"href": f"{href}/verify"}
            answer["actions"] = {"upload": {"href": href}, "verify": verify}
        objects.append(answer)
    return JSONResponse({"transfer": "basic", "objects": objects}, media_type=LFS_TYPE)


async def lfs_put(state: HubState, request: Request, at: dict[str, str]) -> Response:
    """Take the bytes of a large object; like a signed address, this needs no token."""
    content = await request.body()
    if state.keep(content) != at["oid"]:
        raise HubRefusal(400, "the bytes do not have the announced sha256")
    return Response(status_code=200)


async def lfs_verify(state: HubState, request: Request, at: dict[str, str]) -> Response:
    require_account(state, request)
    body = await request.json()
    path = state.blob_path(at["oid"])
    if not path.exists() or path.stat().st_size != body["size"]:
        raise HubRefusal(404, "object was not uploaded")
    return JSONResponse({})


def delete_paths(tree: dict[str, Entry], key: str, path: str) -> None:
    """Remove one file, or all below a folder, from a tree."""
    folder = path.rstrip("/") + "/"
    doomed = [p for p in tree if (p == path if key == "deletedFile" else p.startswith(folder))]
    if not doomed:
        message = "A file with this name doesn't exist"
        raise HubRefusal(404, message, "EntryNotFound")
    for name in doomed:
        del tree[name]


def enter_large_file(state: HubState, value: dict[str, Any]) -> Entry:
    """Return the tree entry of a large object that was uploaded before."""
    sha256 = str(value["oid"])
    xet_hash = adopt_xet_file(state.store, sha256)
    blob = state.blob_path(sha256)
    if not blob.exists():
        raise HubRefusal(400, f"LFS pointer pointed to a file that does not exist: {sha256}")
    size = blob.stat().st_size
    return Entry(sha256, size, git_blob_oid(pointer_text(sha256, size)), True, xet_hash)


def apply_operation(state: HubState, tree: dict[str, Entry], line: dict[str, Any]) -> None:
    """Apply one line of a commit's body to a tree."""
    key, value = line["key"], line["value"]
    if key in ("deletedFile", "deletedFolder"):
        delete_paths(tree, key, value["path"])
    elif key == "file":
        content = base64.b64decode(value["content"])
        tree[value["path"]] = state.enter(content, is_large=False)
    elif key == "lfsFile":
        tree[value["path"]] = enter_large_file(state, value)
    else:
        raise HubRefusal(400, f"unknown operation {key}")


async def create_commit(state: HubState, request: Request, at: dict[str, str]) -> Response:
    """Apply all operations of one request as one commit, or none of them."""
    repo = find_writable(state, request, at["type"], at["id"])
    account = require_account(state, request)
    if request.query_params.get("create_pr"):
        raise HubRefusal(400, "this test Hub has no pull requests")
    lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    branch = at["rev"]
    if branch not in repo.branches:
        raise HubRefusal(404, f"Invalid rev id: {branch}", "RevisionNotFound")
    head = repo.branches[branch]
    if header.get("parentCommit") not in (None, head):
        raise HubRefusal(412, "A commit has happened since. Please refresh and try again.")
    tree = dict(repo.commits[head].tree)
    for line in lines:
        if line["key"] != "header":
            apply_operation(state, tree, line)
    title, message = header["summary"], header.get("description", "")
    commit = state.commit(repo, branch, tree, title, message, account.name)
    prefix = "" if repo.repo_type == "models" else f"{repo.repo_type}/"
    url = f"{request.base_url}{prefix}{repo.repo_id}/commit/{commit.oid}"
    return JSONResponse({"success": True, "commitOid": commit.oid, "commitUrl": url})


def cut_range(content: bytes, header: str | None) -> tuple[bytes, str | None]:
    """Return the asked part of some bytes and its Content-Range."""
    if not header:
        return content, None
    size = len(content)
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    if match is None or match.groups() == ("", ""):
        raise HubRefusal(416, f"cannot read range {header}")
    first, last = match.groups()
    if first == "":
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1 if last else size, size)
    if start >= size:
        headers = {"Content-Range": f"bytes */{size}"}
        raise HubRefusal(416, f"range {header} starts after {size} bytes", headers=headers)
    return content[start:stop], f"bytes {start}-{stop - 1}/{size}"


def file_headers(request: Request, repo: Repo, rev: str, entry: Entry) -> dict[str, str]:
    """Return the headers from which the clients build their caches."""
    oid = entry.sha256 if entry.is_large else entry.git_oid
    headers = {"ETag": f'"{oid}"', "Accept-Ranges": "bytes", "X-Repo-Commit": rev}
    if entry.is_large:
        headers |= {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(entry.size)}
    if entry.xet_hash:
        where = f"{request.base_url}api/{repo.repo_type}/{repo.repo_id}/xet-read-token/{rev}"
        headers["X-Xet-Hash"] = entry.xet_hash
        headers["Link"] = f'<{where}>; rel="xet-auth"'
    return headers


async def resolve(state: HubState, request: Request, at: dict[str, str]) -> Response:
    """Serve a file, or its headers alone."""
    repo = find_readable(state, request, at["type"], at["id"])
    commit = repo.find(at["rev"])
    entry = commit.tree.get(at["path"])
    if entry is None:
        message, known = f"Entry not found: {quote(at['path'])}", {"X-Repo-Commit": commit.oid}
        raise HubRefusal(404, message, "EntryNotFound", known)
    headers = file_headers(request, repo, commit.oid, entry)
    if request.method == "HEAD":
        headers["Content-Length"] = str(entry.size)
        return Response(status_code=200, headers=headers, media_type="application/octet-stream")
    content = state.blob_path(entry.sha256).read_bytes()
    part, content_range = cut_range(content, request.headers.get("range"))
    if content_range:
        headers["Content-Range"] = content_range
    status = 206 if content_range else 200
    return Response(part, status, headers, media_type="application/octet-stream")


def replace_files(
    state: HubState, repo: Repo, files: dict[str, bytes], deletes: list[str], title: str
) -> str:
    """Commit to ``main`` without a client, as a second writer would, and return the hash."""
    tree = dict(repo.find("main").tree)
    for path in deletes:
        del tree[path]
    for path, content in files.items():
        tree[path] = state.enter(content, is_large=is_large_file(path, len(content), content[:512]))
    return state.commit(repo, "main", tree, title, "", "somebody").oid


def corrupt_file(state: HubState, repo: Repo, path: str, content: bytes) -> None:
    """Serve other bytes for a file of ``main`` than were committed; the history stays as it is."""
    head = repo.find("main")
    large = head.tree[path].is_large
    tree = {**head.tree, path: state.enter(content, is_large=large)}
    repo.commits[head.oid] = replace(head, tree=tree)
