"""A receiver of webhooks on loopback, and a verifier written from the Standard Webhooks text alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

__all__ = ["Answer", "Post", "Receiver", "verify"]


@dataclass(frozen=True)
class Post:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What to say: a status, headers, or nothing until the client goes."""

    status: int = 204
    headers: tuple[tuple[str, str], ...] = ()
    hang: bool = False


class Receiver:
    """Answers posts on a free port: as scripted first, then 204."""

    def __init__(self, answers: Sequence[Answer] = (), *, choose: Callable[[Post], Answer] | None = None) -> None:
        self.posts: queue.Queue[Post] = queue.Queue()
        script = iter(answers)
        released = self._released = threading.Event()
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                post = Post(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                answer = choose(post) if choose else next(script, Answer())
                posts.put(post)
                if answer.hang:
                    released.wait(20)
                    return
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://127.0.0.1:{self._server.server_port}/shots?city=1"

    def next(self) -> Post:
        """Wait for the next post."""
        return self.posts.get(timeout=10)


def verify(secret: str, post: Post) -> bool:
    """Say whether one of the ``v1`` signatures is right."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}.".encode() + post.body
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    given = [item.partition(",") for item in post.headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(value, expected) for version, _, value in given)
