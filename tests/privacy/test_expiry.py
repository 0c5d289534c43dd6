"""What is stated of Snowflake's Time Travel and Fail-safe is what its server tells of each table, and days are days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlglot

from orchestration.rights import rights_of
from privacy import expiry, receipts
from settings import TailraceError
from tests.privacy.support import Home, receipt

MADE, AT = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, 12, tzinfo=UTC)
# Of the columns that `show tables history` gives, those that are read, and some beside them.
SHOWN = ("created_on", "name", "database_name", "schema_name", "kind", "rows", "retention_time", "dropped_on")


class Server:
    """Answers ``show`` as Snowflake does, and keeps what it was asked."""

    def __init__(self, tables: Sequence[tuple[Any, ...]], least: int | None = None) -> None:
        self.tables, self.least = tables, least
        self.asked: list[str] = []
        self.description: list[tuple[str]] = []

    def execute(self, command: str) -> None:
        self.asked.append(command)
        shown = SHOWN if "tables" in command else ("key", "value", "default", "level")
        self.description = [(name,) for name in shown]

    def fetchall(self) -> list[tuple[Any, ...]]:
        if "tables" in self.asked[-1]:
            return list(self.tables)
        return [] if self.least is None else [("MIN_DATA_RETENTION_TIME_IN_DAYS", str(self.least), "0", "ACCOUNT")]


def table(name: str, kind: str, days: object, *, made: datetime = MADE, dropped: datetime | None = None) -> Any:
    schema, _, own = name.partition(".")
    return (made, own, "TAILRACE", schema, kind, 7, days, dropped)


def stated(server: Server, **more: Any) -> dict[str, Any]:
    tables, least = expiry.read_tables(server, ["TAILRACE"])
    found = expiry.expiries(tables, least_days=least, deleted_at=AT, **more)
    return {
        each.table.removeprefix("TAILRACE."): (each.time_travel_ends[:10], each.fail_safe_ends[:10]) for each in found
    }


def test_a_permanent_table_has_its_days_and_seven_more_and_a_transient_one_its_own() -> None:
    server = Server(
        [
            table("RAW_APP.USERS", "TABLE", "1"),
            table("RAW_APP.COMMENTS", "TABLE", "90"),
            table("RAW_STRIPE.CUSTOMERS", "TRANSIENT", "0"),
            table("MARTS.DIM_USERS", "TRANSIENT", "1"),
        ]
    )
    assert stated(server) == {
        "RAW_APP.COMMENTS": ("2026-05-30", "2026-06-06"),
        "RAW_APP.USERS": ("2026-03-02", "2026-03-09"),
        "MARTS.DIM_USERS": ("2026-03-02", "2026-03-02"),
        "RAW_STRIPE.CUSTOMERS": ("2026-03-01", "2026-03-01"),
    }


def test_the_accounts_least_retention_holds_for_permanent_tables() -> None:
    server = Server([table("A.P", "TABLE", "1"), table("A.T", "TRANSIENT", "0")], least=14)
    assert stated(server) == {"A.P": ("2026-03-15", "2026-03-22"), "A.T": ("2026-03-01", "2026-03-01")}


def test_a_table_that_was_replaced_counts_from_then_and_one_that_came_later_never_had_the_rows() -> None:
    dropped, later = datetime(2026, 2, 28, 12, tzinfo=UTC), datetime(2026, 3, 4, 12, tzinfo=UTC)
    server = Server(
        [
            table("MARTS.OLD", "TABLE", "1", dropped=dropped),
            table("MARTS.REPLACED", "TABLE", "1", dropped=later),
            table("MARTS.NEW", "TABLE", "1", made=later),
        ]
    )
    assert stated(server) == {"MARTS.REPLACED": ("2026-03-05", "2026-03-12"), "MARTS.OLD": ("2026-03-01", "2026-03-08")}


def test_a_table_whose_retention_is_not_told_is_not_passed_over() -> None:
    with pytest.raises(TailraceError, match=r"TAILRACE.A.B: `show tables` does not tell its retention"):
        stated(Server([table("A.B", "TABLE", None)]))


def test_more_tables_than_a_show_gives_are_not_taken_for_all() -> None:
    with pytest.raises(TailraceError, match="shows 10,000 tables and no more"):
        expiry.read_tables(Server([table("A.B", "TABLE", "1")] * 10_000), ["TAILRACE"])


def test_what_the_server_is_asked_is_snowflakes_and_names_are_quoted() -> None:
    server = Server([])
    expiry.read_tables(server, ['O"DD'])
    shown = sqlglot.parse_one(server.asked[0], dialect="snowflake")
    assert (shown.key, shown.name, shown.args["history"], shown.args["scope_kind"]) == (
        "show",
        "TABLES",
        True,
        "DATABASE",
    )
    assert shown.args["scope"].name == 'O"DD'


@pytest.mark.parametrize(
    ("days_later", "gone"),
    [(1, "2026-03-09T12:00:00+00:00"), (10, "2026-03-18T12:00:00+00:00")],
    ids=["by what the server lists", "by what it lists no more"],
)
def test_the_statement_is_signed_and_its_last_date_allows_for_all(home: Home, days_later: int, gone: str) -> None:
    server = Server([table("RAW_APP.USERS", "TABLE", "1"), table("RAW_APP.T", "TRANSIENT", "0")])
    now = AT + timedelta(days=days_later)
    path = expiry.state(home.settings, server, databases=["TAILRACE"], deleted_at=AT, actor="a test", now=now)
    body = receipt(path)
    assert (body["kind"], body["time_travel_ends"][:10], body["fail_safe_ends"]) == ("expiry", "2026-03-02", gone)
    assert receipts.verify(path).problems == ()


def test_of_a_database_that_shows_nothing_nothing_is_stated(home: Home) -> None:
    with pytest.raises(TailraceError, match="shows no table that was there"):
        expiry.state(home.settings, Server([]), databases=["TAILRACE"], deleted_at=AT, actor="a test")


def test_on_snowflake_a_right_is_refused_with_what_there_is(home: Home) -> None:
    warehouse = home.settings.warehouse.model_copy(update={"kind": "snowflake"})
    with pytest.raises(TailraceError, match="privacy expiry"):
        rights_of(home.settings.model_copy(update={"warehouse": warehouse}))
