"""ClickHouse's HTTP interface in front of the embedded engine: what a client sends to a server, the engine answers.

Users are checked as a server would; roles and quota keys, which the engine does not know, are noted down.
"""

from __future__ import annotations

import base64
import gzip
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

USER, PASSWORD = "publisher", "a secret"
_INSERT = re.compile(r"\s*INSERT INTO (?P<table>.+?)(?: \((?P<columns>.+)\))? FORMAT (?P<format>\w+)\s*$", re.S)
_FORMAT = re.compile(r"\s+FORMAT (\w+)\s*;?\s*$")
_TRANSPORT = {"database", "role", "quota_key", "session_id", "query_id", "compress", "query", "client_protocol_version"}


class Front:
    """``asked`` holds the parameters of every request; a port of its own."""

    def __init__(self, engine: Any, port: int) -> None:
        self.engine = engine
        self.port = port
        self.asked: list[dict[str, str]] = []
        self.turn = threading.Lock()


@contextmanager
def serving(path: Path) -> Iterator[Front]:
    """Serve the engine at ``path`` until the block ends."""
    engine = clickhouse_connect.get_client(interface="chdb", path=str(path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    front = Front(engine, server.server_address[1])
    server.front = front  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        engine.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        front: Front = self.server.front  # type: ignore[attr-defined]
        asked = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self._body()
        with front.turn:
            front.asked.append({"query": body.decode(errors="replace")} | asked)
            expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            if self.headers.get("Authorization") != f"Basic {expected}":
                self._answer(
                    403, b"Code: 516. DB::Exception: publisher: Authentication failed. (AUTHENTICATION_FAILED)"
                )
                return
            try:
                self._answer(200, self._run(front, asked, body))
            except ClickHouseError as error:
                self._answer(500, str(error).encode())

    do_GET = do_POST  # noqa: N815 - as http.server calls it

    def _run(self, front: Front, asked: dict[str, str], body: bytes) -> bytes:
        settings = {name: value for name, value in asked.items() if name not in _TRANSPORT and name[:6] != "param_"}
        if insert := _INSERT.match(asked.get("query", "")):
            columns = [each.strip(' `"') for each in (insert["columns"] or "").split(",") if each]
            front.engine.raw_insert(insert["table"], columns or None, body, settings=settings, fmt=insert["format"])
            return b""
        query = asked.get("query") or body.decode()
        # Values come escaped, and are escaped again for the engine.
        bound = {
            name[6:]: re.sub(r"\\(.)", lambda found: {"t": "\t", "n": "\n"}.get(found[1], found[1]), value)
            for name, value in asked.items()
            if name.startswith("param_")
        }
        wanted = _FORMAT.search(query)
        answer: bytes = front.engine.raw_query(
            _FORMAT.sub("", query),
            parameters=bound,
            settings=settings,
            fmt=wanted[1] if wanted else self.headers.get("X-ClickHouse-Format", "TabSeparated"),
        )
        return answer

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(pieces)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        encoding = self.headers.get("Content-Encoding")
        if encoding == "zstd":
            import zstandard

            return zstandard.decompress(body)
        if encoding == "lz4":
            import lz4.frame

            return bytes(lz4.frame.decompress(body))
        return gzip.decompress(body) if encoding == "gzip" else body

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status != 200:
            self.send_header("X-ClickHouse-Exception-Code", "516" if status == 403 else "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on the tests' output."""
