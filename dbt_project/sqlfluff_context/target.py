"""``target`` as the project's macros know it, for sqlfluff."""

type = "duckdb"
