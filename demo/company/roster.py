"""Who the tenants are: a pure function of the seed and of how many there are."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from typing import Literal

from demo.company import words

Region = Literal["us", "eu"]
Tier = Literal["pool", "namespace", "silo"]
REGIONS: tuple[Region, ...] = ("us", "eu")
FEWEST_USERS, MOST_USERS = 25, 2500
# Bounded Pareto with P(users < 200) = 0.8.
_EXPONENT = 0.7045
_SIGNUPS_LAST_DAYS = 40
_CURRENCIES: dict[Region, tuple[str, ...]] = {"us": ("usd",) * 6 + ("eur", "gbp"), "eu": ("eur", "eur", "gbp")}
_ROOT = uuid.UUID("7a11ace0-0000-5000-8000-000000000000")


@dataclass(frozen=True)
class Person:
    """A user as people know them: what must never be seen downstream of raw."""

    id: str
    full_name: str
    email: str
    phone: str


@dataclass(frozen=True)
class Tenant:
    """One customer of the company; ``signup`` counts days from the company's first."""

    index: int
    id: uuid.UUID
    name: str
    slug: str
    region: Region
    tier: Tier
    users: int
    signup: int
    plan: str
    currency: str
    pace: float

    @property
    def schema(self) -> str:
        """The Postgres schema its rows stand in."""
        return "t_" + self.slug.replace("-", "_") if self.tier == "namespace" else "app"

    @property
    def database(self) -> str:
        """The Postgres database its rows stand in."""
        if self.tier == "silo":
            return f"silo_{self.region}_{self.slug.replace('-', '_')}"
        return product_database(self.region)

    def new_id(self, path: str) -> str:
        """The id of the thing that this path names within the tenant (UUID version 5)."""
        return str(uuid.uuid5(self.id, path))

    def person(self, user_id: str) -> Person:
        """The person behind a user id; the id's own bits choose, so nothing has to be remembered."""
        bits = bits_of(user_id)
        first = words.FIRST_NAMES[bits % len(words.FIRST_NAMES)]
        last = words.LAST_NAMES[(bits >> 16) % len(words.LAST_NAMES)]
        email = f"{first}.{last}.{user_id[:6]}@{self.slug}.example.com".lower()
        return Person(user_id, f"{first} {last}", email, words.phone_number(self.region, bits >> 80))

    def founder(self, n: int) -> Person:
        """The n-th person of the tenant's first day; 0 is who signs up and is billed."""
        return self.person(self.new_id(f"user/{self.signup}/{n}"))


def bits_of(identifier: str) -> int:
    """The 128 bits of a UUID; ``uuid.UUID`` would check them, too, at four times the cost."""
    return int(identifier.replace("-", ""), 16)


def product_database(region: str) -> str:
    """The shared product database of a region."""
    return f"product_{region}"


def roster(*, seed: int, tenants: int) -> tuple[Tenant, ...]:
    """The tenants in order of index: every fourth in eu, tiers mixed, sizes by a power law (80% under 200 users)."""
    rng = random.Random(f"roster/{seed}")
    regions: list[Region] = ["eu" if index % 4 == 3 else "us" for index in range(tenants)]
    tiers = [_tier(regions[:index].count(regions[index])) for index in range(tenants)]
    signups = _signups(rng, tenants)
    names = _names(rng, tenants)
    members = []
    for index, users in enumerate(_sizes(rng, tiers)):
        members.append(
            Tenant(
                index=index,
                id=uuid.uuid5(_ROOT, f"{seed}/tenant/{index}"),
                name=names[index],
                slug=names[index].lower().replace(" ", "-"),
                region=regions[index],
                tier=tiers[index],
                users=users,
                signup=signups[index],
                plan="starter" if users < 60 else "growth" if users < 300 else "enterprise",
                currency=rng.choice(_CURRENCIES[regions[index]]),
                pace=rng.uniform(0.7, 1.3),
            )
        )
    return tuple(members)


def _tier(rank: int) -> Tier:
    """The tier of the rank-th tenant of a region: one silo and three namespaces in the first 15, then a few more."""
    if rank % 20 == 2:
        return "silo"
    return "namespace" if rank % 7 == 1 else "pool"


def _sizes(rng: random.Random, tiers: list[Tier]) -> list[int]:
    """Users a tenant, by stratified quantiles, so that the law holds in every roster, however small.

    The largest is the first, in the pool (a noisy neighbour); the next are the silos, who pay for their own database.
    """
    count = len(tiers)
    low, high = FEWEST_USERS**-_EXPONENT, MOST_USERS**-_EXPONENT
    quantiles = [(k + 0.5) / count for k in range(count)]
    sizes = [round((low - q * (low - high)) ** (-1 / _EXPONENT)) for q in quantiles]
    large = sizes[-1 - tiers.count("silo") : -1]
    rest = sizes[: count - 1 - len(large)]
    rng.shuffle(rest)
    rest.append(sizes[-1])
    return [large.pop() if tier == "silo" else rest.pop() for tier in tiers]


def _signups(rng: random.Random, tenants: int) -> list[int]:
    """Six in ten are there on the first day; the others come over the next 40, evenly but for some jitter."""
    first = -(-tenants * 6 // 10)
    later = tenants - first
    step = _SIGNUPS_LAST_DAYS / max(later, 1)
    return [0] * first + [1 + int(step * (k + rng.random() * 0.6)) for k in range(later)]


def _names(rng: random.Random, tenants: int) -> list[str]:
    pairs = [f"{first} {second}" for first in words.COMPANY_FIRST for second in words.COMPANY_SECOND]
    rng.shuffle(pairs)
    return [pairs[k] if k < len(pairs) else f"{pairs[k % len(pairs)]} {k // len(pairs) + 1}" for k in range(tenants)]
