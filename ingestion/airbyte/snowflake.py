"""Snowflake as dbt's target ``prod`` reaches it, in the role that owns what Airbyte lands. Not run on an account."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ingestion.airbyte.desired import required
from settings import Settings, TailraceError

_NAMED = ("SNOWFLAKE_ACCOUNT", "SNOWFLAKE_USER", "SNOWFLAKE_PRIVATE_KEY_PATH")


@contextmanager
def connect(settings: Settings) -> Iterator[Any]:
    """A connection in the destination's database and role. Raises TailraceError naming what is not set or refused."""
    missing = [name for name in _NAMED if not os.environ.get(name)]
    if missing:
        raise TailraceError(f"Snowflake: {', '.join(missing)} not set; export what dbt's target prod needs")
    import snowflake.connector

    to = required(settings).destination
    passphrase = os.environ.get("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE")
    try:
        connection = snowflake.connector.connect(
            account=os.environ["SNOWFLAKE_ACCOUNT"],
            user=os.environ["SNOWFLAKE_USER"],
            private_key_file=os.environ["SNOWFLAKE_PRIVATE_KEY_PATH"],
            private_key_file_pwd=passphrase.encode() if passphrase else None,
            role=to.role,
            database=to.database,
            warehouse=os.environ.get("SNOWFLAKE_WAREHOUSE", to.warehouse),
            session_parameters={"TIMEZONE": "UTC"},
        )
    except snowflake.connector.Error as error:
        raise TailraceError(
            f"Snowflake {os.environ['SNOWFLAKE_ACCOUNT']}: refused ({error.errno}); check user, key, and that the user "
            f"has the role {to.role}"
        ) from None
    try:
        yield connection
    finally:
        connection.close()
