"""Runs attempts in both worlds and says what they learnt of other tenants."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from tests.isolation.markers import Finder
from tests.isolation.registry import ROLES, Attack, Attempt, settled
from tests.isolation.world import World


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one attempt learnt, one line each; nothing when it was in vain. ``failed``: it could not be made at all."""

    attempt: Attempt
    learnt: tuple[str, ...]
    failed: str = ""

    @property
    def outcome(self) -> str:
        if self.failed:
            return "FAILED"
        if not self.learnt:
            return "held"
        return "limit" if self.attempt.limit else "LEAK"


def judge(attempt: Attempt, worlds: tuple[World, World], finders: tuple[Finder, Finder]) -> Verdict:
    """An attempt has learnt what carries a mark, and whatever reads otherwise when the other tenants are others."""
    learnt: list[str] = []
    for role in ROLES if attempt.channel == "sql" else ROLES[:1]:
        transcripts = []
        for world, finder in zip(worlds, finders, strict=True):
            attack = Attack(world, role)
            try:
                attempt.run(attack)
            except Exception as error:
                return Verdict(attempt=attempt, learnt=(), failed=f"{type(error).__name__} as {role}: {error}"[:200])
            found = finder.find(_unknown(attack).encode())
            learnt += attack.accusations
            learnt += [f"as {role}: {each} of another tenant" for each in sorted(found)]
            transcripts.append([settled(line, world) for line in attack.evidence])
        learnt += [f"as {role}: depends on other tenants: {each}" for each in _differences(*transcripts)]
    return Verdict(attempt=attempt, learnt=tuple(dict.fromkeys(learnt)))


def _unknown(attack: Attack) -> str:
    """The evidence without what the attacker brought along."""
    text = "\n".join([*attack.evidence, *attack.glimpses]).lower()
    for value in (*attack.known, *attack.world.namespaces):
        text = text.replace(value.lower(), "").replace(value.lower().replace("-", ""), "")
    return text


def _differences(first: list[str], second: list[str]) -> list[str]:
    """Where the transcripts part, shortened; nothing when they are the same."""
    told = []
    for one, two in zip_longest(first, second, fillvalue="(nothing)"):
        if one != two:
            place = next((n for n, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
            start = max(0, place - 40)
            told.append(f"…{one[start : place + 40]}… against …{two[start : place + 40]}…")
    return told[:3]
