"""The attempts, by what they try; ``load_all`` registers every one."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path


def load_all() -> None:
    """Import every module of this folder."""
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        import_module(f"{__name__}.{path.stem}")
