"""Syncs, started or joined, followed to their end. An empty success is no success.

A sync that this run started is cancelled when the run ends before it; one that ran already is joined, and left to run.
While the server cannot be reached a sync goes on without being watched, and is looked at again for ``OUTAGE_SECONDS``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion.airbyte.client import AirbyteClient, AirbyteError
from settings import TailraceError

GOING = frozenset({"pending", "queued", "running", "incomplete"})
OUTAGE_SECONDS = 900.0
Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How syncs are followed: seconds between looks, seconds to the end of waiting, second tries of a failed sync,
    hours that a connection may bring nothing."""

    poll_seconds: float
    sync_seconds: float
    retries: int
    quiet_hours: float


@dataclass(frozen=True, kw_only=True)
class Synced:
    """A sync that succeeded. ``records`` and ``bytes`` are Airbyte's counts; ``tries`` counts its jobs."""

    connection: str
    job_id: int
    joined: bool
    tries: int
    records: int
    bytes: int
    started_at: datetime
    url: str


@dataclass
class _Sync:
    connection: str
    connection_id: str
    job_id: int = 0
    joined: bool = False
    asked: bool = False  # for a sync, and the answer is not known yet
    tries: int = 0
    unseen_since: float | None = None


def sync(
    client: AirbyteClient,
    connections: Sequence[str],
    *,
    patience: Patience,
    progress: Progress = lambda line: None,
) -> list[Synced]:
    """Sync the connections of these names, side by side, and follow them to their end.

    Raises TailraceError, one line naming each connection that failed, was cancelled, took too long or brought nothing
    though it should have; the others are followed to their end first.
    """
    ids = _ids(client, connections)
    going = [_Sync(connection=name, connection_id=ids[name]) for name in connections]
    done: list[Synced] = []
    problems: list[str] = []
    deadline = time.monotonic() + patience.sync_seconds
    try:
        for each in list(going):
            try:
                _begin(client, each, progress)
            except TailraceError as error:
                going.remove(each)
                problems.append(str(error))
        while going:
            time.sleep(patience.poll_seconds)
            for each in list(going):
                try:
                    ended = _look(client, each, patience, progress, overdue=time.monotonic() > deadline)
                except TailraceError as error:
                    going.remove(each)
                    problems.append(str(error))
                    continue
                if ended is not None:
                    going.remove(each)
                    done.append(ended)
    except BaseException:  # the run is being ended: nothing it started may go on behind its back
        for each in going:
            _cancel(client, each, progress)
        raise
    if problems:
        raise TailraceError("; ".join(problems))
    return done


def _ids(client: AirbyteClient, connections: Sequence[str]) -> dict[str, str]:
    listed = [(str(each["name"]), str(each["connectionId"])) for each in client.listed("connection")]
    for name in connections:
        count = sum(known == name for known, _ in listed)
        if count != 1:
            raise TailraceError(
                f"Airbyte has {count or 'no'} connection{'s' if count > 1 else ''} {name}; run `tailrace airbyte apply`"
            )
    return dict(listed)


def _begin(client: AirbyteClient, each: _Sync, progress: Progress) -> None:
    """Start a sync, or join the one that runs. What a request that failed half-way started is not doubled."""
    each.job_id, each.joined = 0, False
    for last in (False, False, True):
        running = _running(client, each)
        if running:
            each.job_id, each.joined = running, each.tries == 0 and not each.asked
            progress(f"{each.connection}: joined job {each.job_id}, which runs already")
            break
        each.asked = True
        try:
            each.job_id = int(client.start(each.connection_id)["jobId"])
            progress(f"{each.connection}: started job {each.job_id}")
            break
        except AirbyteError as error:
            each.asked = error.status != 409  # which says that what runs was started by another
            if last or not (error.passing or error.status == 409):
                raise
            time.sleep(0.5)
    each.tries += 1


def _running(client: AirbyteClient, each: _Sync) -> int:
    """The job of this connection that has not ended, 0 if there is none."""
    return next((int(job["jobId"]) for job in client.jobs(each.connection_id) if job["status"] in GOING), 0)


def _look(
    client: AirbyteClient, each: _Sync, patience: Patience, progress: Progress, *, overdue: bool
) -> Synced | None:
    """The sync's result once it has ended, None while it goes on. Raises TailraceError when it ended badly."""
    where = f"{each.connection}: job {each.job_id}"
    url = client.job_url(each.connection_id, each.job_id)
    try:
        job = client.job(each.job_id)
    except AirbyteError as error:
        now = time.monotonic()
        each.unseen_since = each.unseen_since or now
        if not error.passing or now - each.unseen_since > OUTAGE_SECONDS or overdue:
            raise
        progress(f"{where}: not seen, {error}")
        return None
    each.unseen_since = None
    status = str(job["status"])
    if status == "succeeded":
        return _succeeded(client, each, job, patience, url)
    if status in GOING:
        if overdue:
            _cancel(client, each, progress)
            hours = patience.sync_seconds / 3600
            raise TailraceError(f"{where} still {status} after {hours:.1f} h; see {url}, or raise airbyte.sync_minutes")
        return None
    if status == "failed" and each.tries <= patience.retries:
        progress(f"{where} failed; trying once more, see {url}")
        _begin(client, each, progress)
        return None
    tried = f" ({each.tries} tries)" if each.tries > 1 else ""
    raise TailraceError(f"{where} {status}{tried}; its log says why: {url}")


def _succeeded(client: AirbyteClient, each: _Sync, job: dict[str, Any], patience: Patience, url: str) -> Synced:
    records = int(job.get("rowsSynced") or 0)
    if records == 0:
        _refuse_silence(client, each, patience, url)
    return Synced(
        connection=each.connection,
        job_id=each.job_id,
        joined=each.joined,
        tries=each.tries,
        records=records,
        bytes=int(job.get("bytesSynced") or 0),
        started_at=_moment(job.get("startTime")),
        url=url,
    )


def _refuse_silence(client: AirbyteClient, each: _Sync, patience: Patience, url: str) -> None:
    """A connector that was answered with an error may report success and no record. Nothing new is fine for a while."""
    bringing = [job for job in client.jobs(each.connection_id, status="succeeded") if int(job.get("rowsSynced") or 0)]
    if not bringing:
        raise TailraceError(
            f"{each.connection}: job {each.job_id} succeeded with no record, and none of the latest did bring one; "
            f"check what the source answered: {url}"
        )
    last = max(_moment(job.get("lastUpdatedAt") or job.get("startTime")) for job in bringing)
    if datetime.now(UTC) - last > timedelta(hours=patience.quiet_hours):
        raise TailraceError(
            f"{each.connection}: job {each.job_id} succeeded with no record, and the last one came more than "
            f"{patience.quiet_hours:g} h ago; check what the source answered: {url}, or raise its quiet_hours"
        )


def _cancel(client: AirbyteClient, each: _Sync, progress: Progress) -> None:
    """Cancel what this run started, also when it was ended before it heard of the job."""
    if each.joined or not each.asked:
        return
    with suppress(TailraceError):
        job_id = each.job_id or _running(client, each)
        if job_id:
            client.cancel(job_id)
            progress(f"{each.connection}: cancelled job {job_id}")


def _moment(text: Any) -> datetime:
    """A job's time; in UTC where it names no zone."""
    found = datetime.fromisoformat(str(text))
    return found if found.tzinfo else found.replace(tzinfo=UTC)
