"""What the sample company lives in: the embedded Postgres and the sandbox APIs, started and stopped together."""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from demo.company import Company
from demo.company.ledger import Ledger
from demo.postgres import EmbeddedPostgres, port_taken
from settings import ROOT, Settings, TailraceError

# Not secrets: the sandboxes accept any key of this form, and hold nobody's data.
SANDBOX_CREDENTIALS = {
    "TAILRACE_STRIPE_API_KEY": "sk_test_sandbox",
    "TAILRACE_HUBSPOT_TOKEN": "pat-sandbox",
    "TAILRACE_SALESFORCE_CLIENT_ID": "sandbox",
    "TAILRACE_SALESFORCE_CLIENT_SECRET": "sandbox",
}


@contextmanager
def running(settings: Settings) -> Iterator[EmbeddedPostgres]:
    """Postgres and the sandboxes for the length of the block. What a killed earlier run left behind is replaced.

    Raises TailraceError when another `tailrace demo` or `up` holds this state folder, or a port is somebody else's.
    """
    with ExitStack() as stack:
        stack.enter_context(_only_one(settings.demo_dir / "lock"))
        write_credentials(settings)
        postgres = EmbeddedPostgres(settings.demo_dir / "postgres", port=settings.demo.postgres_port)
        stack.callback(postgres.stop)
        postgres.start()
        ports = {"stripe": settings.demo.stripe_port, "hubspot": settings.demo.hubspot_port}
        if settings.sources.salesforce is not None:
            ports["salesforce"] = settings.demo.salesforce_port
        for kind, port in ports.items():
            stack.enter_context(_sandbox(kind, port, settings.demo_dir))
        yield postgres


def sample_company(settings: Settings, postgres: EmbeddedPostgres) -> Company:
    """The sample company of this state folder, in the services that are running."""
    return Company(
        server=postgres,
        state=settings.demo_dir / "company.sqlite",
        stripe_url=settings.sources.stripe.url,
        stripe_key=SANDBOX_CREDENTIALS["TAILRACE_STRIPE_API_KEY"],
        hubspot_url=settings.sources.hubspot.url,
        hubspot_token=SANDBOX_CREDENTIALS["TAILRACE_HUBSPOT_TOKEN"],
        salesforce_url=settings.sources.salesforce.url if settings.sources.salesforce else None,
        seed=settings.demo.seed,
        tenants=settings.demo.tenants,
        start=settings.demo.start,
    )


def settle_size(settings: Settings, *, tenants: int | None, days: int | None, seed: int | None) -> Settings:
    """The settings with the sample company's size: as given, else as it was begun with, else as configured.

    ``days`` is how long it lives before a run adds one day at a time; it can be raised later. A company that was begun
    with another seed or number of tenants is refused when it is founded.
    """
    with Ledger(settings.demo_dir / "company.sqlite") as ledger:
        begun = {name: int(value) for name in ("tenants", "seed", "first_days") if (value := ledger.get(name))}
        size = {
            "tenants": tenants or begun.get("tenants", settings.demo.tenants),
            "seed": seed if seed is not None else begun.get("seed", settings.demo.seed),
            "days": max(days or 0, begun.get("first_days", 0)) or settings.demo.days,
        }
        ledger.set("first_days", str(size["days"]))
    return settings.model_copy(update={"demo": settings.demo.model_copy(update=size)})


def write_credentials(settings: Settings) -> None:
    """What the demo's commands need in the environment, in a file of its owner's that ``load_settings`` reads.

    The sandboxes' keys, and a secret of its own, made once, that receipts of erasure and retention are signed with.
    """
    settings.demo_dir.mkdir(parents=True, exist_ok=True)
    path, signing = settings.demo_dir / "sandbox.env", settings.privacy.receipt_key_env
    known = dict(line.split("=", 1) for line in path.read_text().splitlines()) if path.exists() else {}
    values = {**SANDBOX_CREDENTIALS, signing: known.get(signing) or secrets.token_hex(32)}
    unfinished = path.with_suffix(".tmp")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{name}={value}\n" for name, value in values.items())
    unfinished.replace(path)
    for name, value in values.items():
        os.environ.setdefault(name, value)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise TailraceError(
                f"the demo is already running (pid {pid}); stop it first, or set TAILRACE_HOME"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def _sandbox(kind: str, port: int, directory: Path) -> Iterator[None]:
    _stop_leftover(directory / f"{kind}.pid")
    if port_taken(port):
        raise TailraceError(f"port {port} is taken by another program; stop it or set demo.{kind}_port in tailrace.yml")
    with (directory / f"{kind}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo.sandbox", kind, "--port", str(port), "--state", f"{directory / kind}.sqlite"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (directory / f"{kind}.pid").write_text(str(process.pid))
    try:
        _wait_until_it_answers(kind, port, process, directory)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        (directory / f"{kind}.pid").unlink(missing_ok=True)


def _wait_until_it_answers(kind: str, port: int, process: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
            return
        except urllib.error.HTTPError:
            return  # it answers, if only to say that it wants a key
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise TailraceError(f"the sandbox {kind} does not start; its log is {directory / f'{kind}.log'}")


def _stop_leftover(pid_file: Path) -> None:
    """End a sandbox that a killed run left running; a pid that now belongs to another program is left alone."""
    try:
        pid = int(pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes() if Path("/proc").exists() else b"demo.sandbox"
    except (OSError, ValueError):
        return
    if b"demo.sandbox" not in command:
        return
    try:
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
