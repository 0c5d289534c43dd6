"""What customers decide, day by day: a pure function of the seed and of the company's book.

A customer begins with one of ten stories, which between them hold every turn commercial life takes, and then goes on
by chance. A decision is a verb (a method of ``billing.Billing``) and its arguments.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from demo.company.book import PLANS, Account

Decision = tuple[str, dict[str, Any]]

# Days since signup → what is decided; the tenant's index modulo ten picks the story.
STORIES: tuple[Mapping[int, Decision], ...] = (
    {0: ("sign_up", {})},
    {0: ("sign_up", {"trial_days": 14}), 30: ("change_plan", {"steps": 1})},
    {0: ("sign_up", {"interval": "year", "coupon": "partner-10"}), 20: ("change_seats", {"share": 0.15})},
    {0: ("sign_up", {"trial_days": 7, "coupon": "quarter-25"}), 25: ("change_plan", {"steps": -1})},
    {
        0: ("sign_up", {}),
        12: ("cancel_at_period_end", {}),
        45: ("come_back", {"coupon": "welcome-20"}),
    },
    {0: ("sign_up", {}), 20: ("break_card", {}), 36: ("mend_card", {})},
    {
        0: ("sign_up", {"coupon": "welcome-20"}),
        20: ("change_interval", {"interval": "year"}),
        22: ("refund", {"share": 0.3}),
    },
    {0: ("sign_up", {}), 10: ("break_card", {}), 52: ("come_back", {})},
    {0: ("sign_up", {"trial_days": 14}), 10: ("cancel_now", {}), 40: ("come_back", {})},
    {
        0: ("sign_up", {}),
        5: ("add_assistant", {"packs": 2}),
        15: ("pause", {}),
        28: ("resume", {}),
        35: ("set_coupon", {"coupon": "loyal-5000"}),
        50: ("set_coupon", {"coupon": None}),
    },
)
_STORY_DAYS = 60


def decide(*, seed: int, account: Account, story: int, age: int, day: int) -> Decision | None:
    """The decision of a customer ``age`` days after signup, or None on the many days without one."""
    told = STORIES[story % len(STORIES)].get(age)
    if told is not None:
        return told
    rng = random.Random(f"billing/{seed}/{account.key}/{day}")
    roll, main = rng.random(), account.main
    if age < 1 or main is None:
        return None
    if main.state == "ended":
        waited = age > _STORY_DAYS and account.churned_on is not None and day - account.churned_on > 20
        return ("come_back", {}) if waited and roll < 0.05 else None
    if main.state == "trialing" or main.paused or main.cancel_at is not None or not account.card_works:
        return None
    if roll < 0.025:
        return "change_seats", {"share": rng.uniform(-0.08, 0.2)}
    if age > _STORY_DAYS:
        turns: tuple[Decision, ...] = (
            ("change_plan", {"steps": 1 if account.plan != PLANS[-1] else -1}),
            ("cancel_at_period_end", {}),
            ("refund", {"share": 0.2}),
        )
        if roll > 0.994:
            return rng.choice(turns)
    return None
