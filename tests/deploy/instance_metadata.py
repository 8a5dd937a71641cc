"""An EC2 instance metadata service, version 2: real HTTP, nothing without a token.

As a program it serves one host of the namespace test: ``python instance_metadata.py ADDRESS PORT FILE``,
where FILE holds the answers by path as JSON and is read for every request.
"""

import json
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SPOT_ACTION = "/latest/meta-data/spot/instance-action"
NOTICE = '{"action": "terminate", "time": "2030-01-01T00:00:00Z"}'


class MetadataServer(ThreadingHTTPServer):
    """Answers from ``answers`` to whoever shows a token it gave."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], answers: Callable[[], dict[str, str]]) -> None:
        super().__init__(address, _Handler)
        self.answers = answers
        self.tokens: set[str] = set()
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: MetadataServer

    def do_PUT(self) -> None:
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token" or not ttl.isdigit():
            return self._answer(HTTPStatus.BAD_REQUEST)
        token = secrets.token_urlsafe()
        self.server.tokens.add(token)
        return self._answer(HTTPStatus.OK, token)

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") not in self.server.tokens:
            return self._answer(HTTPStatus.UNAUTHORIZED)
        self.server.asked.append(self.path)
        answer = self.server.answers().get(self.path)
        return self._answer(HTTPStatus.NOT_FOUND) if answer is None else self._answer(HTTPStatus.OK, answer)

    def _answer(self, status: HTTPStatus, text: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    host, port, file = sys.argv[1:]
    MetadataServer((host, int(port)), lambda: json.loads(Path(file).read_text())).serve_forever()
