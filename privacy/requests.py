"""Requests that wait for a job: files of their owner's, so that no run's configuration or log names a person."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from privacy import erase as erasing
from privacy import receipts, tenants
from privacy.export import export
from privacy.rectify import rectify
from privacy.restrict import restrict
from privacy.resume import resume
from privacy.rights import Rights
from settings import Settings, TailraceError

Act = Callable[[Rights, Mapping[str, str]], Path]
_ACTS: Mapping[str, Act] = {
    "erase": lambda rights, given: erasing.erase(rights, tenant=given["tenant"], subject=given["subject"]),
    "export": lambda rights, given: export(rights, tenant=given["tenant"], subject=given["subject"])[1],
    "rectify": lambda rights, given: rectify(rights, tenant=given["tenant"], subject=given["subject"]),
    "restrict": lambda rights, given: restrict(rights, tenant=given["tenant"], subject=given["subject"]),
    "offboard": lambda rights, given: tenants.offboard(rights, tenant=given["tenant"]),
}
KINDS = tuple(_ACTS)


def wait(settings: Settings, kind: str, given: Mapping[str, str]) -> Path:
    """Leave a request for the job ``privacy_<kind>``; its path. It is removed when its receipt is written."""
    if kind not in _ACTS:
        raise TailraceError(f"{kind}: no job takes requests of it; there are {', '.join(_ACTS)}")
    folder = _folder(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{kind}-{receipts.new_id()}.json"
    descriptor = os.open(path.with_suffix(".tmp"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(dict(given), file)
    path.with_suffix(".tmp").replace(path)
    return path


def handler(kind: str) -> Callable[[Rights], list[Path]]:
    """What the job of this kind does. An erasure that was interrupted is ended first."""

    def handle(rights: Rights) -> list[Path]:
        done = resume(rights) if kind == "erase" else []
        problems = []
        for request in sorted(_folder(rights.settings).glob(f"{kind}-*.json")):
            try:
                done.append(_ACTS[kind](rights, json.loads(request.read_text(encoding="utf-8"))))
            except TailraceError as error:  # the others need not wait for it
                problems.append(f"{request.name}: {error}")
            else:
                request.unlink()
        if problems:
            raise TailraceError(f"{problems[0]} ({len(problems)} of {len(problems) + len(done)} requests failed)")
        return done

    return handle


def _folder(settings: Settings) -> Path:
    return settings.privacy_dir / "requests"
