"""What a person sees while a command works, and after: steps with seconds, tables, or JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_QUIET_INTERVAL = 5.0

# Bound to the stream itself: a run redirects sys.stdout while progress goes on being shown.
out = Console(file=sys.stdout, highlight=False)


@contextmanager
def step(title: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show ``title`` while the block works, then its seconds. The yielded function says how far it is.

    On a terminal progress replaces itself; elsewhere it is a line every few seconds. ``quiet`` shows nothing.
    """
    if quiet:
        yield lambda text: None
        return
    started = time.monotonic()
    if out.is_terminal:
        with out.status(f"{title} …") as status:
            yield lambda text: status.update(f"{title} … {text}")
    else:
        out.print(f"  … {title}")
        said = started

        def say(text: str) -> None:
            nonlocal said
            if time.monotonic() - said >= _QUIET_INTERVAL:
                said = time.monotonic()
                out.print(f"    {title}: {text}")

        yield say
    out.print(f"  [green]✓[/] {title} [dim]{time.monotonic() - started:.1f} s[/]")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A small table; numbers are right-aligned."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) for row in rows) and bool(rows)
        shown.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        shown.add_row(*(_cell(value) for value in row))
    out.print(shown)


def plain(text: str) -> str:
    """``text`` as it is, where markup is read: an identifier may hold brackets."""
    return escape(text)


def emit_json(value: Any) -> None:
    """One JSON document on standard output, for machines."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return "" if value is None else str(value)
