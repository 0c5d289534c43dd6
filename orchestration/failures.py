"""What Dagster may remember of a failure: one clear line, never a value of a row."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from settings import ROOT, TailraceError


@contextmanager
def station(name: str) -> Iterator[None]:
    """Turn whatever fails in the block into a Dagster Failure.

    A TailraceError speaks for itself. Of any other exception only its kind and place are kept: its message, and the
    exception it stems from, may quote the row that it choked on.
    """
    from dagster import Failure  # the command line says what failed without waiting for Dagster to load

    try:
        yield
    except TailraceError as error:
        raise Failure(f"{name}: {error}", allow_retries=False) from None
    except Failure:
        raise
    except Exception as error:
        raise Failure(f"{name}: {unforeseen(error)}") from None


def unforeseen(error: BaseException) -> str:
    """Kind and place of an exception that nobody foresaw, without its message; what the system says of a file."""
    if _disk_is_full(error):
        return "the disk is full; free space where the state folder is (`tailrace env` names it) and run again"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}; mend that and run again"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT) and ".venv" not in frame.filename]
    where = "".join(f" at {Path(frame.filename).name}:{frame.lineno}" for frame in (ours or list(frames))[-1:])
    return f"unforeseen {type(error).__name__}{where}; its message may quote a row, TAILRACE_TRACEBACK=1 shows it"


def _disk_is_full(error: BaseException) -> bool:
    """Whoever met it: this process (OSError), SQLite under Dagster, DuckDB or PostgreSQL. A file-size limit counts."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    text = str(error).lower()
    signs = ("no space left", "disk is full", "disk full", "file too large", "disk i/o error", "disk quota")
    return any(sign in text for sign in signs)
