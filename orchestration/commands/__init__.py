"""One module a command of the CLI."""
