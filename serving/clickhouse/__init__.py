"""ClickHouse, the second target: figures per user, endpoint and minute, for dashboards that slice them at will."""
