"""The table of attempts and outcomes, for the terminal and for docs/isolation.md."""

from __future__ import annotations

from collections.abc import Iterable

from tests.isolation.judge import Verdict

BEGIN, END = "<!-- attempts: begin -->", "<!-- attempts: end -->"


def terminal(verdicts: Iterable[Verdict]) -> str:
    """One line an attempt; what it learnt, if anything, below it."""
    lines = []
    for verdict in verdicts:
        limit = f" ({verdict.attempt.limit})" if verdict.outcome == "limit" else ""
        lines.append(f"{verdict.attempt.channel:<10} {verdict.outcome + limit:<16} {verdict.attempt.name}")
        if verdict.outcome in ("LEAK", "FAILED"):
            lines += [f"{'':<12}{each}" for each in (*verdict.learnt[:6], verdict.failed) if each]
    return "\n".join(lines)


def markdown(verdicts: Iterable[Verdict]) -> str:
    """The same as a table of a page."""
    rows = [
        f"| {verdict.attempt.name.replace('|', chr(92) + '|')} | {verdict.attempt.channel} | "
        + (f"[limit](#{verdict.attempt.limit})" if verdict.outcome == "limit" else verdict.outcome)
        + " |"
        for verdict in verdicts
    ]
    return "\n".join(["| attempt | channel | outcome |", "|---|---|---|", *rows])


def replaced(page: str, table: str) -> str:
    """The page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"
