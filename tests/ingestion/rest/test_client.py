"""The REST client keeps trying what can pass, and says in one line, without a secret, what cannot."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ingestion.rest import ApiError, RestClient, patience
from settings import TailraceError

SECRET = "sk_test_never_show_me"
PERSON = "grace.hopper@example.com"


class Api(BaseHTTPRequestHandler):
    """Any path answers with itself; `/refused/<status>` refuses, quoting key and person as careless APIs do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, content = 200, {"path": self.path, "bearer": self.headers["Authorization"].removeprefix("Bearer ")}
        if self.path.startswith("/refused/"):
            status = int(self.path.rpartition("/")[2])
            content = {"error": {"code": "resource_missing", "message": f"key {SECRET} of {PERSON} is no good"}}
        body = b"<html>it works</html>" if self.path.startswith("/page") else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def client_of(url: str, *, timeout: float = 5.0, token: str = SECRET) -> RestClient:
    return RestClient(
        name="Sandbox",
        url=url,
        token=token,
        token_env="SANDBOX_KEY",
        retry=patience(attempts=3, connects=1, backoff=0.01),
        timeout=timeout,
    )


def test_a_request_carries_the_credential_and_the_query(api: str) -> None:
    answer = client_of(api).get("/v1/things", [("limit", "2"), ("expand[]", "data.part")])
    assert answer == {"path": "/v1/things?limit=2&expand%5B%5D=data.part", "bearer": SECRET}


@pytest.mark.parametrize("fault", ["429", "500", "503", "slow", "truncated", "garbled", "dropped"])
def test_what_passes_at_the_second_try_is_had_and_the_retry_counted(
    api: str, faulty: Callable[..., Any], fault: str
) -> None:
    proxy = faulty(api, lambda number, _: fault if number == 1 else None)
    client = client_of(proxy.url, timeout=0.5)
    assert client.get("/thing")["path"] == "/thing"
    assert (client.requests, client.retries) == (2, 1)


def test_retry_after_is_waited_for(api: str, faulty: Callable[..., Any]) -> None:
    proxy = faulty(api, lambda number, _: "429;1" if number == 1 else None)
    started = time.monotonic()
    client_of(proxy.url).get("/thing")
    assert time.monotonic() - started >= 1.0


@pytest.mark.parametrize("fault", ["429", "500"])
def test_what_never_passes_ends_in_one_line_that_promises_to_go_on(
    api: str, faulty: Callable[..., Any], fault: str
) -> None:
    proxy = faulty(api, lambda number, _: fault)
    with pytest.raises(ApiError) as failure:
        client_of(proxy.url).get("/thing")
    assert failure.value.status == int(fault)
    assert len(proxy.asked) == 1 + 3
    assert fault in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(("status", "named"), [(401, "SANDBOX_KEY"), (403, "SANDBOX_KEY"), (404, "url"), (400, "url")])
def test_a_refusal_names_its_remedy_and_neither_key_nor_person(api: str, status: int, named: str) -> None:
    with pytest.raises(ApiError) as failure:
        client_of(api).get(f"/refused/{status}")
    line = str(failure.value)
    assert named in line
    assert str(status) in line
    assert SECRET not in line
    assert PERSON not in line
    assert "\n" not in line
    assert failure.value.__cause__ is None


def test_a_missing_object_is_known_by_status_and_by_code(api: str) -> None:
    for status in (404, 400):
        with pytest.raises(ApiError) as failure:
            client_of(api).get(f"/refused/{status}")
        assert failure.value.is_missing


def test_an_unreachable_api_is_told_at_once_with_its_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers here
        url = f"http://user:{SECRET}@127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(TailraceError) as failure:
            client_of(url).get("/thing")
    line = str(failure.value)
    assert f"127.0.0.1:{url.rpartition(':')[2]}" in line
    assert "not reachable" in line
    assert SECRET not in line


def test_something_else_behind_the_url_is_recognised(api: str) -> None:
    with pytest.raises(TailraceError, match=r"not its API's JSON; check its url"):
        client_of(api).get("/page")


@pytest.mark.parametrize("url", ["127.0.0.1:80", "ftp://127.0.0.1", "", "http://"])
def test_a_malformed_url_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(TailraceError, match=r"not an http\(s\) address"):
        client_of(url)


@pytest.mark.parametrize("token", ["two\nlines", "sk_tést", "a b"])
def test_a_malformed_credential_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(TailraceError) as failure:
        client_of("http://127.0.0.1:1", token=token)
    assert "SANDBOX_KEY" in str(failure.value)
    assert token not in str(failure.value)
