"""What the sample company lives in starts from any state, and says in one line what stands in its way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from demo import services
from demo.postgres import free_port, port_taken
from settings import ROOT, Settings, TailraceError, load_settings

HOLD = """
import time
from demo import services
from settings import load_settings
with services.running(load_settings()):
    print("running", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    text = (ROOT / "tailrace.yml").read_text()
    for port in ("54329", "12111", "12112", "12113"):
        text = text.replace(port, str(free_port()))
    (tmp_path / "tailrace.yml").write_text(text)
    monkeypatch.setenv("TAILRACE_CONFIG", str(tmp_path / "tailrace.yml"))
    monkeypatch.setenv("TAILRACE_HOME", str(tmp_path / "state"))
    return load_settings(region="us")


def _answers(settings: Settings) -> None:
    for url in (settings.sources.stripe.url, settings.sources.hubspot.url):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(url, timeout=5)


def test_what_is_started_is_stopped(settings: Settings) -> None:
    with services.running(settings) as postgres:
        assert postgres.connect().execute("select 1").fetchone() == (1,)
        _answers(settings)
    demo = settings.demo
    for port in (demo.postgres_port, demo.stripe_port, demo.hubspot_port, demo.salesforce_port):
        assert not port_taken(port)


def test_a_taken_port_is_named(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.demo.stripe_port)):
        with pytest.raises(TailraceError, match=str(settings.demo.stripe_port)), services.running(settings):
            pass
    assert not port_taken(settings.demo.postgres_port)


@pytest.mark.operations
def test_a_second_start_is_refused_and_a_killed_first_one_is_recovered_from(settings: Settings) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "running"
        with pytest.raises(TailraceError, match=f"already running.*{process.pid}"), services.running(settings):
            pass
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert port_taken(settings.demo.stripe_port), "the killed run has left its sandboxes behind"
    with services.running(settings) as postgres:
        assert postgres.connect().execute("select 1").fetchone() == (1,)
        _answers(settings)
    assert not port_taken(settings.demo.stripe_port)


def test_a_postgres_that_died_with_the_power_comes_back_with_its_data(settings: Settings) -> None:
    with services.running(settings) as postgres:
        postgres.create_role("someone")
        postgres.kill()
        time.sleep(0.1)
    with services.running(settings) as postgres:
        assert postgres.connect(role="someone").execute("select current_user").fetchone() == ("someone",)


def test_the_company_keeps_the_size_it_began_with(settings: Settings) -> None:
    begun = services.settle_size(settings, tenants=9, days=5, seed=3).demo
    assert (begun.tenants, begun.days, begun.seed) == (9, 5, 3)
    later = services.settle_size(settings, tenants=None, days=None, seed=None).demo
    assert later.days == 5
    assert services.settle_size(settings, tenants=None, days=8, seed=None).demo.days == 8


def test_the_demo_signs_receipts_with_a_secret_of_its_own_made_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in (*services.SANDBOX_CREDENTIALS, "TAILRACE_RECEIPT_KEY"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    services.write_credentials(settings)
    path = settings.demo_dir / "sandbox.env"
    first = path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    services.write_credentials(settings)
    assert path.read_text() == first
    monkeypatch.delenv("TAILRACE_RECEIPT_KEY")
    load_settings(region="us")  # as every command and job does
    assert len(bytes.fromhex(os.environ["TAILRACE_RECEIPT_KEY"])) == 32
    assert os.environ["TAILRACE_RECEIPT_KEY"] not in "".join(capfd.readouterr())
