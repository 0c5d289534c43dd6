"""What can be asked of the policy, whichever door: ``tailrace policy …`` or ``python -m pii_policies …``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pii_policies import crowd, proof_page
from pii_policies.artefacts import stale, write
from pii_policies.compile import publication_sql, validate
from pii_policies.contracts import load_contracts
from pii_policies.prove import Model, Proof, prove
from settings import ROOT, TailraceError

Say = Callable[[str], None]
REMEDY = "run `tailrace policy compile`"


def compile_all(say: Say) -> None:
    """Write every artefact that is stale, the page of the proof last; ``say`` gets each path.

    Raises TailraceError for a contract at fault, and after writing where the proof does not hold.
    """
    contracts = load_contracts()
    validate(contracts)
    for path in write(contracts):
        say(str(path))
    proof = proved()
    text = proof_page.render(contracts, proof)
    if _held(proof_page.PAGE) != text:
        (ROOT / proof_page.PAGE).write_text(text, encoding="utf-8")
        say(str(proof_page.PAGE))
    hold(proof)


def check_all() -> None:
    """Raises TailraceError, a line a fault: a contract, a stale artefact, an untreated way, a stale page, no crowd."""
    contracts = load_contracts()
    validate(contracts)
    differing = stale(contracts)
    if differing:
        raise TailraceError("\n".join(f"{path}: stale; {REMEDY}" for path in differing))
    models = _compiled()
    proof = prove(contracts, models)
    hold(proof)
    alone = crowd.problems(models)
    if alone:
        raise TailraceError("\n".join(alone))
    if _held(proof_page.PAGE) != proof_page.render(contracts, proof):
        raise TailraceError(f"{proof_page.PAGE}: stale; {REMEDY}")


def proved() -> Proof:
    """The proof of the project as it stands; compiles the models, which takes about ten seconds."""
    return prove(load_contracts(), _compiled())


def _compiled() -> list[Model]:
    from pii_policies.compiled import compiled_models

    return compiled_models()


def hold(proof: Proof) -> None:
    """Raises TailraceError that names every way that is untreated or not proved."""
    if proof.problems():
        raise TailraceError("\n".join(proof.problems()))


def publication(schemas: Sequence[str], *, alter: bool) -> str:
    """The SQL that publishes a product database, its directory standing in the first schema."""
    return publication_sql(load_contracts(), schemas=schemas or ["app"], exists=alter) + ";"


def _held(path: Path) -> str | None:
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
