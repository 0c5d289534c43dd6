"""Classes of data and their treatments, as ``treatments.yml`` tells: the one place where it is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

import yaml

from settings import TailraceError

Treatment = Literal["keep", "pseudonymise", "mask", "generalise", "redact", "drop", "never_land"]
Generalisation = Literal["network", "month", "band"]
TREATMENTS_PATH = Path(__file__).with_name("treatments.yml")

# The logical types (ODCS) a treatment can be applied to; `drop`, `never_land` and `keep` apply to all.
_APPLIES: Mapping[str, frozenset[str]] = {
    "pseudonymise": frozenset({"string", "integer"}),
    "mask": frozenset({"string"}),
    "generalise to network": frozenset({"string"}),
    "generalise to month": frozenset({"date", "timestamp"}),
    "generalise to band": frozenset({"integer", "number"}),
    "redact": frozenset({"string"}),
}


@dataclass(frozen=True, kw_only=True)
class DataClass:
    """A class of data: what it means and what happens to it on its way out of raw."""

    name: str
    treatment: Treatment
    meaning: str
    normalise: Literal["email"] | None = None
    to: Generalisation | None = None
    retain_days: int | None = None
    """days after which raw loses the value; None: as long as the row lives"""

    @property
    def lands(self) -> bool:
        return self.treatment != "never_land"

    @property
    def staged(self) -> bool:
        """Whether anything of it leaves raw."""
        return self.treatment not in ("never_land", "drop")

    @property
    def label(self) -> str:
        """The treatment in words: ``generalise to month``."""
        return f"{self.treatment} to {self.to}" if self.to else self.treatment

    def applies_to(self, logical_type: str) -> bool:
        """Whether the treatment can be applied to a column of this ODCS logical type."""
        allowed = _APPLIES.get(self.label)
        return allowed is None or logical_type in allowed


def load_yaml(path: Path) -> Any:
    """The document in ``path``. Raises TailraceError, naming file and line, when it cannot be read as YAML."""
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  both are safe
    except (OSError, UnicodeDecodeError) as error:
        raise TailraceError(f"{path.name}: cannot be read ({type(error).__name__}); restore the file") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise TailraceError(f"{path.name}, line {line}: not YAML ({error.problem}); mend that line") from None
    except yaml.YAMLError as error:
        raise TailraceError(f"{path.name}: not YAML ({type(error).__name__}); mend the file") from None


def load_classes(path: Path = TREATMENTS_PATH) -> Mapping[str, DataClass]:
    """The classes of ``treatments.yml`` by name. Raises TailraceError naming the class that is at fault."""
    document = load_yaml(path)
    entries = document.get("classes") if isinstance(document, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise TailraceError(f"{path.name}: no classes; list them under `classes:`")
    return MappingProxyType({str(name): _data_class(path.name, str(name), entry) for name, entry in entries.items()})


def _data_class(file: str, name: str, entry: object) -> DataClass:
    place = f"{file}: class {name}"
    if not isinstance(entry, dict):
        raise TailraceError(f"{place}: not a mapping; write {{treatment: …, meaning: …}}")
    unknown = set(entry) - {"treatment", "meaning", "normalise", "to", "retain_days"}
    if unknown:
        raise TailraceError(
            f"{place}: unknown key {min(map(str, unknown))}; known are treatment, meaning, normalise, to, retain_days"
        )
    treatment: Any = entry.get("treatment")
    if treatment not in get_args(Treatment):
        raise TailraceError(f"{place}: unknown treatment {treatment}; use one of {', '.join(get_args(Treatment))}")
    to, normalise = entry.get("to"), entry.get("normalise")
    if (treatment == "generalise") != (to in get_args(Generalisation)):
        raise TailraceError(f"{place}: generalise needs `to: network`, `month` or `band`, and nothing else takes `to`")
    if normalise is not None and (treatment, normalise) != ("pseudonymise", "email"):
        raise TailraceError(f"{place}: `normalise: email` is all there is, and it goes with pseudonymise")
    meaning = entry.get("meaning")
    if not isinstance(meaning, str) or not meaning:
        raise TailraceError(f"{place}: no meaning; say in a sentence what belongs to it")
    days = entry.get("retain_days")
    if days is not None and (not isinstance(days, int) or isinstance(days, bool) or days < 1 or treatment == "keep"):
        raise TailraceError(f"{place}: retain_days is a number of days from 1, of a class that is not kept")
    return DataClass(name=name, treatment=treatment, meaning=meaning, normalise=normalise, to=to, retain_days=days)
