"""Dagster definitions and the command line: thin, they call the rooms below."""
