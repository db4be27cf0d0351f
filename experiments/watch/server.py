"""Serves the live page to this machine alone, and only to who knows the token in its address.

A page of somebody else's that is open in the same browser can send requests to any port of this machine. It does not
know the token. Besides, the name of the host must be that of this machine, so no name of a foreign domain that was
pointed here is answered, and commands must be JSON, which a foreign page may not send without being asked first.
"""

import hmac
import json
import secrets
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from metagan_rl.errors import InvalidValueError, MetaGANError
from metagan_rl.experiments.watch.session import Session

HOST = "127.0.0.1"
PAGE = Path(__file__).parent / "page"
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
LARGEST = 64 * 1024
"""Bytes that a command may have."""
STREAMS = 16
"""Pages that may look on at once."""
PATIENCE = 15.0
"""Seconds after which a page that hears nothing is told that all is well."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
Answer = Callable[[dict[str, str]], Any]
"""Makes the JSON of an answer from a query."""


class Server(ThreadingHTTPServer):
    """Serves one session.

    Args:
        session: what runs.
        port: 0 for a free one.
        answers: what else can be asked for, by name.

    Raises:
        InvalidValueError: the port cannot be opened.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int, answers: dict[str, Answer]) -> None:
        self.session, self.answers = session, answers
        self.token = secrets.token_urlsafe(24)
        self.streams = threading.BoundedSemaphore(STREAMS)
        try:
            super().__init__((HOST, port), Handler)
        except (OSError, OverflowError) as error:
            raise InvalidValueError(
                f"port {port} cannot be opened ({getattr(error, 'strerror', None) or error}); leave --port out for a "
                "free one"
            ) from None
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    @property
    def address(self) -> str:
        """The page's address, with the token."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tells what went wrong, unless it is that a browser went away in the midst of an answer."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "metagan-rl", ""
    timeout = 60

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keeps silent."""

    def end_headers(self) -> None:
        """Every answer has the same safeguards."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def do_GET(self) -> None:
        """The page and its files, the stream of frames, and answers."""
        name = self._allowed()
        if name is None:
            return
        name, _, query = name.partition("?")
        if name == "stream":
            self._stream()
        elif name in self.server.answers:
            pairs = (part.partition("=") for part in query.split("&") if part)
            self._tell(lambda: self.server.answers[name]({key: value for key, _, value in pairs}))
        else:
            self._file(name or "index.html")

    def do_POST(self) -> None:
        """A command."""
        name = self._allowed()
        if name is None:
            return
        if name != "command":
            self._refuse(404, "there is no such thing here")
            return
        command = self._body()
        if command is not None:
            self._tell(lambda: self.server.session.do(json.loads(command)))

    def _allowed(self) -> str | None:
        """What is asked for, behind the token; ``None`` if nothing may be told."""
        token, _, rest = self.path.lstrip("/").partition("/")
        known = hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode())
        origin = self.headers.get("Origin")
        ours = self.headers.get("Host", "") in self.server.hosts
        ours = ours and (origin is None or origin.removeprefix("http://") in self.server.hosts)
        if known and ours and self.path == f"/{token}":
            self._lead(f"/{token}/")
            return None
        if known and ours:
            return rest
        self._refuse(403, "open the address that metagan-rl watch has printed, with its token")
        return None

    def _body(self) -> bytes | None:
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        length = self.headers.get("Content-Length", "")
        if kind != "application/json":
            self._refuse(415, "commands are application/json")
        elif not length.isdecimal():
            self._refuse(411, "the length is missing")
        elif len(length) > len(str(LARGEST)) or int(length) > LARGEST:
            self._refuse(413, f"commands have at most {LARGEST} bytes")
        else:
            return self.rfile.read(int(length))
        return None

    def _tell(self, make: Callable[[], Any]) -> None:
        try:
            self._send(200, json.dumps({"ok": True, "told": make()}).encode(), "application/json")
        except (MetaGANError, ValueError, RecursionError) as error:
            self._send(400, json.dumps({"ok": False, "error": str(error)}).encode(), "application/json")

    def _file(self, name: str) -> None:
        path = PAGE / name
        if "/" in name or "\\" in name or path.suffix not in KINDS or not path.is_file():
            self._refuse(404, "there is no such thing here")
            return
        self._send(200, path.read_bytes(), f"{KINDS[path.suffix]}; charset=utf-8")

    def _stream(self) -> None:
        if not self.server.streams.acquire(blocking=False):
            self._refuse(503, f"{STREAMS} pages look on already; close one")
            return
        try:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self._frames()
        finally:
            self.server.streams.release()
            self.close_connection = True

    def _frames(self) -> None:
        session, number, version, entries = self.server.session, 0, -1, 0
        while not session.closed:
            news = session.news(number, PATIENCE)
            if news is None:
                self.wfile.write(b": nothing new\n\n")
                continue
            if news.version != version:
                entries = 0
                self.wfile.write(f"event: match\ndata: {news.match}\n\n".encode())
            self.wfile.write(f"event: frame\ndata: {news.told(entries)}\n\n".encode())
            number, version, entries = news.number, news.version, len(news.history)

    def _lead(self, path: str) -> None:
        """Leads to the address with the slash at its end, without which the page would not find its files."""
        self.send_response(308)
        self.send_header("Location", path)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def _refuse(self, status: int, words: str) -> None:
        self.close_connection = True
        self._send(status, f"{words}\n".encode(), "text/plain; charset=utf-8")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
