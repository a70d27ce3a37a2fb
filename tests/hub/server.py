"""A Hub on 127.0.0.1 that the real ``huggingface_hub`` and ``datasets`` clients can talk to.

It runs in a thread of the test's own process, so a test can look at its state, count what was
asked of it and order faults. Requests are routed on the raw path because clients send branch
names and file paths with encoded slashes.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import uvicorn
from hub import repos, transfers, xet
from hub.faults import Fault, FaultPlan, cut_connection, stall
from hub.state import HubRefusal, HubState, Repo
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

Handler = Callable[[HubState, Request, dict[str, str]], Awaitable[Response]]

API = r"/api/(?P<type>models|datasets|spaces)/(?P<id>[^/]+/[^/]+)"
PLAIN = r"/(?:(?P<type>datasets|spaces)/)?(?P<id>[^/]+/[^/]+)"
REV = r"(?P<rev>[^/]+)"

ROUTES: list[tuple[str, str, str, Handler]] = [
    ("whoami", "GET", r"/api/whoami-v2", repos.whoami),
    ("create_repo", "POST", r"/api/repos/create", repos.create_repo),
    ("delete_repo", "DELETE", r"/api/repos/delete", repos.delete_repo),
    ("validate_yaml", "POST", r"/api/validate-yaml", repos.validate_yaml),
    ("list", "GET", r"/api/(?P<type>models|datasets|spaces)", repos.list_repos),
    ("settings", "PUT", rf"{API}/settings", repos.change_settings),
    ("info", "GET", rf"{API}(?:/revision/{REV})?", repos.show_repo),
    ("tree", "GET", rf"{API}/tree/{REV}(?:/(?P<path>.+))?", repos.list_tree),
    ("paths_info", "POST", rf"{API}/paths-info/{REV}", repos.show_paths),
    ("refs", "GET", rf"{API}/refs", repos.list_refs),
    ("commits", "GET", rf"{API}/commits/{REV}", repos.list_commits),
    ("ref", "POST|DELETE", rf"{API}/(?P<kind>tag|branch)/(?P<name>[^/]+)", repos.change_ref),
    ("preupload", "POST", rf"{API}/preupload/{REV}", transfers.preupload),
    ("commit", "POST", rf"{API}/commit/{REV}", transfers.create_commit),
    ("xet_token", "GET", rf"{API}/xet-(?P<kind>read|write)-token/{REV}", xet.give_token),
    ("lfs_batch", "POST", rf"{PLAIN}\.git/info/lfs/objects/batch", transfers.lfs_batch),
    ("lfs_put", "PUT", r"/_store/(?P<oid>[0-9a-f]{64})", transfers.lfs_put),
    ("lfs_verify", "POST", r"/_store/(?P<oid>[0-9a-f]{64})/verify", transfers.lfs_verify),
    ("resolve", "GET|HEAD", rf"{PLAIN}/resolve/{REV}/(?P<path>.+)", transfers.resolve),
]
RESET = 599
"""Stands for a connection that is cut; it is never sent."""
NAMES = tuple(route[0] for route in ROUTES)


@dataclass(frozen=True)
class Seen:
    """One request that was answered."""

    route: str
    method: str
    repo_id: str
    path: str
    status: int
    authorized: bool
    n_bytes: int = 0
    """Size of the request's body."""
    client: str = ""
    """What the client calls itself, e.g. ``butwait``."""


def match_route(method: str, path: str) -> tuple[str, Handler, dict[str, str]]:
    """Return the route's name, its handler and the decoded parts of the path."""
    for name, methods, pattern, handler in ROUTES:
        match = re.fullmatch(pattern, path) if method in methods.split("|") else None
        if match:
            parts = {k: unquote(v) for k, v in match.groupdict().items() if v is not None}
            if "id" in parts:
                parts.setdefault("type", "models")
            return name, handler, parts
    raise HubRefusal(404, f"this test Hub has no route {method} {path}")


def refuse(refusal: HubRefusal) -> Response:
    """Turn a refusal into the answer that the clients understand."""
    message = refusal.message.encode("ascii", "replace").decode().replace("\n", " ")
    headers = {**refusal.headers, "X-Error-Message": message}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    return JSONResponse({"error": refusal.message}, refusal.status, headers)


class HubServer:
    """A running test Hub: its address, its state, what it was asked, and its faults."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.state = HubState(store)
        self.faults = FaultPlan()
        self.seen: list[Seen] = []
        self.endpoint = ""

    def reset(self) -> None:
        """Forget every repository, request and fault; stored bytes too."""
        for path in self.store.iterdir():
            if path.is_file():
                path.unlink()
            else:
                shutil.rmtree(path)
        self.state = HubState(self.store)
        self.faults.clear()
        self.seen.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI request."""
        request = Request(scope, receive)
        path = scope["raw_path"].decode().split("?")[0]
        try:
            name, handler, parts = match_route(request.method, path)
        except HubRefusal as refusal:
            name, parts = "none", {}
            response = refuse(refusal)
        else:
            moved = self.move(request, parts, path)
            response = moved or await self.answer(name, handler, request, parts)
        self.note(name, request, parts.get("id", ""), path, response)
        if response.status_code == RESET:
            cut_connection(receive)
            return
        await response(scope, receive, send)

    def note(
        self, name: str, request: Request, repo_id: str, path: str, response: Response
    ) -> None:
        """Remember a request that was answered."""
        headers = request.headers
        self.seen.append(
            Seen(
                name,
                request.method,
                repo_id,
                path,
                response.status_code,
                "authorization" in headers,
                int(headers.get("content-length") or 0),
                headers.get("user-agent", ""),
            )
        )

    def move(self, request: Request, parts: dict[str, str], path: str) -> Response | None:
        """Return the redirection to a renamed repository, if it is one."""
        repo_id = parts.get("id", "")
        name = self.state.renamed.get((parts.get("type", "models"), repo_id))
        if name is None:
            return None
        query = f"?{request.url.query}" if request.url.query else ""
        return Response(
            status_code=307, headers={"Location": path.replace(repo_id, name, 1) + query}
        )

    async def answer(
        self, name: str, handler: Handler, request: Request, parts: dict[str, str]
    ) -> Response:
        """Handle one request, with the fault that was ordered for it."""
        self.faults.act(name)
        fault = self.faults.take(name)
        if fault is not None:
            await stall(fault)
        response = None
        if fault is None or fault.after or not (fault.status or fault.reset):
            try:
                response = await handler(self.state, request, parts)
            except HubRefusal as refusal:
                response = refuse(refusal)
        if fault is not None and fault.reset:
            return Response(status_code=RESET)
        if response is None or (fault is not None and fault.status and response.status_code < 400):
            assert fault is not None
            body = {"error": f"fault on order: {fault.status}"}
            response = JSONResponse(body, fault.status, dict(fault.headers))
        return response

    def fail_next(
        self,
        route: str,
        status: int = 500,
        times: int = 1,
        *,
        after: bool = False,
        stall_s: float = 0.0,
        reset: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answer ``status`` on the next requests to ``route`` (0: only stall).

        With ``after`` the request is carried out first and only its answer is lost. With ``reset``
        the connection is cut instead of an answer.
        """
        self.check_route(route)
        given = tuple((headers or {}).items())
        self.faults.order(Fault(route, status, times, after, stall_s, reset, given))

    def before_next(self, route: str, action: Callable[[], object]) -> None:
        """Call ``action`` once, just before the next request to ``route`` is handled."""
        self.check_route(route)
        self.faults.order_action(route, action)

    def check_route(self, route: str) -> None:
        """Refuse a route name that does not exist."""
        if route not in NAMES:
            raise ValueError(f"no route {route!r}; one of {', '.join(NAMES)}")

    def repo(self, repo_id: str, repo_type: str = "datasets") -> Repo:
        """Return a repository as the server knows it."""
        return self.state.repos[repo_type, repo_id]

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """Return path and content of all files of a dataset repository."""
        tree = self.repo(repo_id).find(revision).tree
        return {path: self.state.blob_path(e.sha256).read_bytes() for path, e in tree.items()}

    def n_commits(self, repo_id: str) -> int:
        """Return how many commits were made after the one that made the repository."""
        return len(self.repo(repo_id).commits) - 1

    def n_requests(self, route: str, repo_id: str | None = None, method: str | None = None) -> int:
        """Return how often a route was asked, faults included."""
        self.check_route(route)
        return sum(
            1
            for seen in self.seen
            if seen.route == route
            and repo_id in (None, seen.repo_id)
            and method in (None, seen.method)
        )

    def blobs_sent(self) -> dict[str, int]:
        """Return how often the bytes of each large file arrived whole, by the path they went to."""
        puts = (seen for seen in self.seen if seen.route == "lfs_put" and seen.status == 200)
        return dict(Counter(seen.path for seen in puts))

    def rename(self, repo_id: str, name: str, repo_type: str = "datasets") -> None:
        """Give a repository another name; the old one leads there."""
        repo = self.state.repos.pop((repo_type, repo_id))
        repo.repo_id = name
        self.state.repos[repo_type, name] = repo
        self.state.renamed[repo_type, repo_id] = name

    def commit_directly(
        self, repo_id: str, files: dict[str, bytes], deletes: list[str] | None = None
    ) -> str:
        """Commit to ``main`` as a second writer would, and return the commit's hash."""
        repo = self.repo(repo_id)
        return transfers.replace_files(self.state, repo, files, deletes or [], "another commit")

    def corrupt(self, repo_id: str, path: str, content: bytes) -> None:
        """From now on serve other bytes for a committed file of ``main``."""
        transfers.corrupt_file(self.state, self.repo(repo_id), path, content)


@contextlib.contextmanager
def run_server(store: Path, start_timeout_s: float = 20.0) -> Iterator[HubServer]:
    """Run a test Hub on a free port of 127.0.0.1 until the block ends."""
    hub = HubServer(store)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    hub.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        hub, log_level="critical", access_log=False, lifespan="off", ws="none", loop="asyncio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + start_timeout_s
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the test Hub did not start")
            time.sleep(0.01)
        yield hub
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
