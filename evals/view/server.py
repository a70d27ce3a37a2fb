"""The page's server: this machine only, read-only, behind a random path.

The token is the first part of every path, so that a link carries it and no other site can guess
it; requests under another host name are refused (DNS rebinding). The standard library's server is
enough for one reader. Leaves out TLS: nothing leaves the loopback interface.
"""

from __future__ import annotations

import errno
import json
import secrets
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from butwait.evals.view.answers import ANSWERS, Asked
from butwait.evals.view.collections import View
from butwait.evals.view.maths import find_mathjax
from butwait.schemas.errors import ButwaitError, ConfigError

HOST = "127.0.0.1"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_MOST_AT_ONCE = 4
"""Requests that read data at the same time; each holds a batch."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class ViewServer(ThreadingHTTPServer):
    """Serves one view; the folder is read anew whenever the page is loaded."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, open_view: Callable[[], View], port: int = 0) -> None:
        """Listen.

        Args:
            open_view: Reads what there is to look at.
            port: 0: any free one.

        Raises:
            ConfigError: Nothing to look at, or the port cannot be had.
        """
        self.open_view = open_view
        self.view = open_view()
        self.token = secrets.token_urlsafe(24)
        self.at_once = threading.Semaphore(_MOST_AT_ONCE)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise ConfigError(_tell_port(port, error)) from error

    def server_bind(self) -> None:
        """Bind without asking a name server for the host's name, as the library does."""
        super(ThreadingHTTPServer, self).server_bind()

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a request may call this server."""
        return f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of readers who went away; tell everything else in one line."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"view: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201


def _tell_port(port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; name another with --port, or leave it out for a free one"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges; name one above 1023, or leave --port out"
    return f"no server can listen on {HOST} port {port}: {error}"


class _Handler(BaseHTTPRequestHandler):
    server: ViewServer
    protocol_version = "HTTP/1.1"
    server_version = "butwait"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer a request."""
        status, kind, body = self._answer()
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: addresses hold the token."""

    def _answer(self) -> tuple[HTTPStatus, str, bytes]:
        if self.headers.get("Host") not in self.server.hosts:
            return _refuse(HTTPStatus.MISDIRECTED_REQUEST, "this address is not served here")
        parts = urlsplit(self.path)
        _, token, path = [*unquote(parts.path).split("/", 2), "", ""][:3]
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            return _refuse(HTTPStatus.FORBIDDEN, "use the whole link that `butwait view` printed")
        if path.startswith("api/"):
            return self._answer_api(path.removeprefix("api/"), parse_qs(parts.query))
        return _answer_file(path or "index.html")

    def _answer_api(
        self, name: str, query: Mapping[str, list[str]]
    ) -> tuple[HTTPStatus, str, bytes]:
        if name not in ANSWERS:
            return _refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        status = HTTPStatus.OK
        try:
            with self.server.at_once:
                if name == "overview":
                    self.server.view = self.server.open_view()
                found = ANSWERS[name](Asked(self.server.view, query))
        except ButwaitError as error:
            status, found = HTTPStatus.BAD_REQUEST, {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - one row must not end the page
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            found = {"error": f"{type(error).__name__}: {error}"}
        body = json.dumps(found, allow_nan=False).encode("ascii")
        return status, "application/json", body


def _answer_file(name: str) -> tuple[HTTPStatus, str, bytes]:
    if name.startswith("mathjax/"):
        path = find_mathjax(name.removeprefix("mathjax/"))
        if path is not None:
            return HTTPStatus.OK, "text/javascript", path.read_bytes()
    else:
        known = {
            file.name: file for file in resources.files(__package__).joinpath("static").iterdir()
        }
        if name in known:
            kind = _TYPES["." + name.rpartition(".")[2]]
            return HTTPStatus.OK, kind, known[name].read_bytes()
    return _refuse(HTTPStatus.NOT_FOUND, "there is no such page")


def _refuse(status: HTTPStatus, why: str) -> tuple[HTTPStatus, str, bytes]:
    return status, "text/plain", f"{why}\n".encode()
