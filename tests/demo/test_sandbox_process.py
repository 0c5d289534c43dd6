"""A sandbox as a process of its own: killed and started again, refused in one line, silent about what it holds."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from demo.sandbox import serve
from demo.sandbox.salesforce_api import SIMULATOR
from settings import ROOT, TailraceError

KEYS = {"stripe": "sk_test_1", "hubspot": "pat-1", "salesforce": SIMULATOR}
PEOPLE = {
    "stripe": "/v1/customers",
    "hubspot": "/crm/v3/objects/contacts",
    "salesforce": "/services/data/v62.0/sobjects/Contact",
}


def command(kind: str, state: Path, port: int = 0) -> list[str]:
    return [sys.executable, "-m", "demo.sandbox", kind, "--port", str(port), "--state", str(state)]


@contextmanager
def process(kind: str, state: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    pipe = subprocess.PIPE
    child = subprocess.Popen(command(kind, state), cwd=ROOT, stdout=pipe, stderr=subprocess.STDOUT, text=True)
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert "demo and tests only" in line
        url = next(word for word in line.split() if word.startswith("http")).rstrip(":")
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEYS[kind]}"}, timeout=30) as client:
            yield child, client
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def create(kind: str, client: httpx.Client, name: str) -> str:
    email = f"{name}@sesame.example"
    if kind == "stripe":
        answer = client.post(PEOPLE[kind], data={"email": email}, headers={"idempotency-key": name})
    elif kind == "salesforce":
        answer = client.post(PEOPLE[kind], json={"LastName": name, "Email": email})
    else:
        answer = client.post(PEOPLE[kind], json={"properties": {"email": email}})
    assert answer.is_success
    identifier: str = answer.json()["id"]
    return identifier


def listed(kind: str, client: httpx.Client) -> set[str]:
    if kind == "salesforce":
        found = client.get("/services/data/v62.0/query", params={"q": "SELECT Id FROM Contact"}).json()
        return {item["Id"] for item in found["records"]}
    page = client.get(PEOPLE[kind], params={"limit": 100}).json()
    return {item["id"] for item in page.get("data", page.get("results"))}


@pytest.mark.parametrize("kind", KEYS)
def test_a_killed_sandbox_keeps_every_answered_write(kind: str, tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite"
    made: set[str] = set()
    for life in range(2):
        with process(kind, state) as (child, client):
            assert listed(kind, client) == made
            made |= {create(kind, client, f"p{life}-{n}") for n in range(20)}
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
    with process(kind, state) as (_, client):
        assert listed(kind, client) == made
        if kind == "stripe":
            assert create(kind, client, "p0-0") in made
            events = client.get("/v1/events", params={"limit": 100}).json()["data"]
            assert {event["data"]["object"]["id"] for event in events} == made


@pytest.mark.parametrize("kind", KEYS)
def test_output_holds_no_personal_value(kind: str, tmp_path: Path) -> None:
    with process(kind, tmp_path / "state.sqlite") as (child, client):
        create(kind, client, "oscar")
        client.get(PEOPLE[kind], params={"email": "oscar@sesame.example", "limit": "oscar"})
        client.request("POST", f"{PEOPLE[kind]}/oscar", content=b"\xff{oscar")
        client.request("PATCH", f"{PEOPLE[kind]}/oscar", content=b"{oscar")
        child.terminate()
        assert child.stdout is not None
        rest = child.stdout.read()
        child.wait()
    assert "oscar" not in rest
    assert "Traceback" not in rest


def refusal(arguments: list[str]) -> str:
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} is taken" in refusal(command("stripe", tmp_path / "s.sqlite", port))


def test_a_state_that_is_not_one_is_one_clear_line(tmp_path: Path) -> None:
    noise = tmp_path / "noise.sqlite"
    noise.write_bytes(os.urandom(5000))
    assert str(noise) in refusal(command("stripe", noise))
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("create table notes (text)")
    connection.close()
    for path in (noise, other, tmp_path):
        with pytest.raises(TailraceError, match=str(path)):
            serve("stripe", state=path)
    assert noise.stat().st_size == 5000


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "s.sqlite"
    with serve("stripe", state=state) as running:
        with httpx.Client(base_url=running.url, headers={"authorization": "Bearer sk_test_1"}) as client:
            for n in range(40):
                create("stripe", client, f"p{n}")
    content = bytearray(state.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 9000] = bytes(9000)
    state.write_bytes(content)
    with pytest.raises(TailraceError, match="move it away"):
        serve("stripe", state=state)


def test_a_state_serves_one_sandbox_of_its_own_kind(tmp_path: Path) -> None:
    state = tmp_path / "s.sqlite"
    with serve("stripe", state=state):
        assert "another sandbox is using it" in refusal(command("stripe", state))
    with pytest.raises(TailraceError, match="stripe state"):
        serve("hubspot", state=state)
