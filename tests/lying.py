"""A server between a command and the sandbox that passes everything on, and changes what it is asked to change."""

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, bytes]
Change = Callable[[str, dict[str, Any], Callable[[], Answer]], Answer]
"""Takes the path, the body and a function that asks the sandbox; returns the answer to give."""


@dataclass
class Liar:
    """The server; `asked` counts requests by path, `ahead_s` is how far its `Date` is in the future."""

    url: str
    ahead_s: float = 0.0
    asked: Counter[str] = field(default_factory=Counter[str])


def reply(status: int, body: Any) -> Answer:
    return status, body if isinstance(body, bytes) else json.dumps(body).encode()


def altered(answer: Answer, change: Callable[[dict[str, Any]], Any]) -> Answer:
    """The answer with its `data` changed."""
    whole = json.loads(answer[1])
    whole["data"] = change(whole["data"])
    return answer[0], json.dumps(whole).encode()


@contextlib.contextmanager
def lying(upstream: str, change: Change) -> Generator[Liar]:
    liar = Liar("")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string((timestamp or time.time()) + liar.ahead_s)

        def _pass_on(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length)
            path = self.path.partition("?")[0]
            liar.asked[path] += 1
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection"}
            }

            def ask() -> Answer:
                request = urllib.request.Request(
                    upstream + self.path, data=sent or None, method=self.command, headers=headers
                )
                try:
                    with urllib.request.urlopen(request, timeout=30) as answer:
                        return answer.status, answer.read()
                except urllib.error.HTTPError as error:
                    return error.code, error.read()

            try:
                body = json.loads(sent) if sent else {}
            except ValueError:
                body = {}
            status, answer = change(path, body, ask)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_GET = do_POST = do_HEAD = _pass_on  # noqa: N815 - as the standard library calls them

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    liar.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield liar
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
