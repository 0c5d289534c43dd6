"""The commercial life over HTTP: decisions become calls to Stripe and entries in the book.

A day is lived against Stripe first and entered in the ledger at its end, in one transaction. When a process dies in
between, the next one lives the day again from the same book: the idempotency keys are the same, so Stripe answers as it
did and nothing happens twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from demo.company import paperwork, words
from demo.company.book import (
    COUPONS,
    DAY,
    MONTHLY_PRICES,
    PLANS,
    Account,
    Coupon,
    Interval,
    Subscription,
    next_period,
    unit_price,
)
from demo.company.ledger import Ledger
from demo.company.roster import Person, Tenant
from demo.company.stories import Decision, decide
from demo.company.web import Api, ApiError
from demo.company.world import Standing, midnight

CLOCK = "/v1/test_helpers/test_clocks/clock_sandbox"
UNATTRIBUTED = "unattributed"
_FIRST_ACTION = 8 * 3600
_DIRECT_SIGNUP, _DIRECT_STORY = 2, 9  # a customer that nobody tied to a tenant
_DUPLICATE_MADE, _DUPLICATE_DELETED = 1, 3  # a customer made twice by mistake, and the second one deleted
_DUPLICATES_EVERY = 30


class Billing:
    """Stripe, the book and the ledger of MRR. Call ``live`` for one day after the other."""

    def __init__(self, *, api: Api, ledger: Ledger, tenants: tuple[Tenant, ...], seed: int, start: date) -> None:
        self._api, self._ledger, self._seed, self._start = api, ledger, seed, start
        self._account: Account  # whose decision is being carried out, at the instant ``_now``
        self._tenants = {str(tenant.id): tenant for tenant in tenants}
        self._accounts = {key: Account.from_document(body) for key, body in ledger.documents("account").items()}
        self._catalog: dict[str, str] = {key: body["id"] for key, body in ledger.documents("catalog").items()}
        self._mrr = {key: Decimal(mrr) for key, mrr in ledger.latest_mrr().items()}
        # A clock that was never set shows real time, which says nothing: the first day sets it.
        self._clock = int(api.get(CLOCK)["frozen_time"]) if self._catalog else 0
        self._day = self._now = 0

    def standing(self, tenant: Tenant) -> Standing:
        """Where the tenant stands at the end of the last day lived."""
        account = self._accounts[str(tenant.id)]
        return Standing(account.plan, account.status, account.seats, account.id)

    def live(self, day: int) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str, str | None, str, str, str]]]:
        """One commercial day in Stripe. Returns what the ledger is to keep: documents by key, and its MRR entries.

        Afterwards Stripe's clock stands at the last second of the day.
        """
        self._day = day
        begin = midnight(self._start, day) // 1000
        self._advance(begin)
        if not self._catalog:
            self._open_shop()
        before = begin - 1
        for at, account, verb, arguments in sorted(self._agenda(begin), key=lambda entry: (entry[0], entry[1].key)):
            self._pass_time(since=before, until=at)
            before = at
            self._advance(at)
            self._account, self._now = account, at
            self._accounts.setdefault(account.key, account)
            getattr(self, verb)(**arguments)
        self._duplicate()
        paperwork.work(self._api, self._key, self._accounts, day=day, begin=begin)
        self._pass_time(since=before, until=begin + DAY - 1)
        self._advance(begin + DAY - 1)
        for account in self._accounts.values():
            if account.status == "churned" and account.churned_on is None:
                account.churned_on = day
        return {
            "account": {key: account.to_document() for key, account in self._accounts.items()},
            "catalog": {key: {"id": value} for key, value in self._catalog.items()},
        }, self._entries(day)

    # -- the day -----------------------------------------------------------------------------------------------------

    def _agenda(self, begin: int) -> Iterator[tuple[int, Account, str, dict[str, Any]]]:
        """The day's decisions in the morning hours, each account at a second of its own."""
        for tenant in self._tenants.values():
            if tenant.signup <= self._day:
                account = self._accounts.get(str(tenant.id)) or Account(
                    str(tenant.id), tenant.currency, str(tenant.id), tenant.region, tenant.plan, tenant.users
                )
                decision = self._decision(account, tenant.index, self._day - tenant.signup)
                if decision:
                    yield begin + _FIRST_ACTION + tenant.index * 97 % 9_000, account, *decision
        if self._day >= _DIRECT_SIGNUP:
            direct = self._accounts.get("direct") or Account("direct", "usd", None, None, "starter", 12)
            decision = self._decision(direct, _DIRECT_STORY, self._day - _DIRECT_SIGNUP)
            if decision:
                yield begin + _FIRST_ACTION + 9_001, direct, *decision

    def _decision(self, account: Account, story: int, age: int) -> Decision | None:
        return decide(seed=self._seed, account=account, story=story, age=age, day=self._day)

    def _pass_time(self, *, since: int, until: int) -> None:
        for account in self._accounts.values():
            for subscription in account.subscriptions:
                subscription.pass_time(since=since, until=until, card_works=account.card_works)

    def _entries(self, day: int) -> list[tuple[str, str, str | None, str, str, str]]:
        date_text = (date.fromordinal(self._start.toordinal() + day)).isoformat()
        entries = []
        for account in self._accounts.values():
            key = (account.id, account.currency)
            if account.mrr != self._mrr.get(key, Decimal(0)):
                self._mrr[key] = account.mrr
                tenant = account.tenant_id or UNATTRIBUTED
                entries.append((account.id, tenant, account.region, account.currency, date_text, str(account.mrr)))
        return entries

    # -- Stripe ------------------------------------------------------------------------------------------------------

    def _advance(self, instant: int) -> None:
        """Let Stripe's clock run to an instant; where a day is lived again it may be there already."""
        if instant <= self._clock:
            return
        try:
            self._api.post_form(f"{CLOCK}/advance", {"frozen_time": instant}, key=self._key("clock", instant))
            self._clock = instant
        except ApiError as error:
            self._clock = int(self._api.get(CLOCK)["frozen_time"])
            if error.status != 400 or self._clock < instant:
                raise

    def _key(self, *path: object) -> str:
        return "-".join(map(str, (self._seed, len(self._tenants), *path)))

    def _post(self, path: str, fields: dict[str, object], step: str = "") -> dict[str, Any]:
        given = {name: value for name, value in fields.items() if value is not None}
        return self._api.post_form(path, given, key=self._key(self._account.key, self._day, path.split("/")[-1], step))

    def _open_shop(self) -> None:
        """Products, prices in every currency and interval, and coupons: once, on the first day."""
        for product, prices in MONTHLY_PRICES.items():
            made = self._api.post_form("/v1/products", {"name": product.capitalize()}, key=self._key(product))
            intervals: tuple[Interval, ...] = ("month", "year") if product in PLANS else ("month",)
            for currency in prices:
                for interval in intervals:
                    fields = {
                        "product": made["id"],
                        "currency": currency,
                        "unit_amount": unit_price(product, currency, interval),
                        "recurring[interval]": interval,
                    }
                    name = f"{product}/{currency}/{interval}"
                    self._catalog[name] = self._api.post_form("/v1/prices", fields, key=self._key(name))["id"]
        for name, coupon in COUPONS.items():
            made = self._api.post_form("/v1/coupons", _coupon_fields(name, coupon), key=self._key(name))
            self._catalog[name] = made["id"]
        paperwork.open_office(self._api, self._key, self._catalog["welcome-20"])

    def _make_customer(self, account: Account, person: Person | None, name: str, step: str) -> str:
        fields: dict[str, object] = {
            "name": name,
            "email": person.email if person else f"accounts@{name.lower().replace(' ', '-')}.example.org",
            "phone": person.phone if person else words.phone_number("us", 77),
            "address[country]": words.COUNTRIES[account.currency],
            "invoice_settings[default_payment_method]": "pm_card_visa",
            "metadata[tenant_id]": account.tenant_id,
            "metadata[region]": account.region,
        }
        return self._post("/v1/customers", fields, step)["id"]

    def _duplicate(self) -> None:
        """Now and then somebody makes a customer twice, and deletes the second one two days later."""
        tenant = next(iter(self._tenants.values()))
        nth, phase = divmod(self._day, _DUPLICATES_EVERY)
        remembered = f"duplicate/{nth}"
        if phase == _DUPLICATE_MADE:
            self._account = self._accounts[str(tenant.id)]
            self._catalog[remembered] = self._make_customer(
                self._account, tenant.founder(1), f"{tenant.name} (copy)", remembered
            )
        elif phase == _DUPLICATE_DELETED and remembered in self._catalog:
            _forgiving(self._api, f"/v1/customers/{self._catalog[remembered]}")

    # -- decisions ---------------------------------------------------------------------------------------------------

    def sign_up(self, *, trial_days: int = 0, coupon: str | None = None, interval: Interval = "month") -> None:
        account = self._account
        tenant = self._tenants.get(account.key)
        name, person = (tenant.name, tenant.founder(0)) if tenant else ("Walk-in Wholesale", None)
        account.id = self._make_customer(account, person, name, "")
        self._subscribe(account.plan, account.seats, interval=interval, coupon=coupon, trial_days=trial_days)

    def come_back(self, *, coupon: str | None = None) -> None:
        """A new subscription after the last one ended, with a card that works."""
        account = self._account
        if account.main is None or account.main.state != "ended":
            return
        if not account.card_works:
            self.mend_card()
        # Where dunning left it unpaid, Stripe keeps the old one until somebody cancels it.
        _forgiving(self._api, f"/v1/subscriptions/{account.main.id}")
        self._subscribe(account.plan, account.seats, interval="month", coupon=coupon)
        account.churned_on = None

    def add_assistant(self, *, packs: int) -> None:
        self._subscribe("assistant", packs, interval="month")

    def change_plan(self, *, steps: int) -> None:
        account, main = self._account, self._account.main
        target = PLANS[max(0, min(PLANS.index(account.plan) + steps, len(PLANS) - 1))]
        if main is None or main.state != "live":
            return
        if target == account.plan:
            self.change_seats(share=0.1 * steps)
            return
        account.plan = main.product = target
        self._post(f"/v1/subscriptions/{main.id}", {**self._item(main), "items[0][price]": self._price(main)})

    def change_seats(self, *, share: float) -> None:
        account, main = self._account, self._account.main
        seats = max(5, round(account.seats * (1 + share)))
        if main is None or main.state != "live" or seats == account.seats:
            return
        account.seats = main.quantity = seats
        self._post(f"/v1/subscriptions/{main.id}", {**self._item(main), "items[0][quantity]": seats})

    def change_interval(self, *, interval: Interval) -> None:
        """Another billing interval; the periods begin anew."""
        main = self._account.main
        if main is None or main.state != "live":
            return
        main.interval, main.anchor = interval, self._now
        self._post(f"/v1/subscriptions/{main.id}", {**self._item(main), "items[0][price]": self._price(main)})

    def set_coupon(self, *, coupon: str | None) -> None:
        account, main = self._account, self._account.main
        if main is None or main.state != "live":
            return
        main.coupon = f"{coupon}-{account.currency}" if coupon == "loyal-5000" else coupon
        fields: dict[str, object] = {"discounts": ""}
        if main.coupon:
            fields = {"discounts[0][coupon]": self._catalog[main.coupon]}
        self._post(f"/v1/subscriptions/{main.id}", fields)

    def cancel_at_period_end(self) -> None:
        main = self._account.main
        if main is None or main.state != "live":
            return
        main.cancel_at = next_period(main.anchor, main.interval, self._now)
        self._post(f"/v1/subscriptions/{main.id}", {"cancel_at_period_end": "true"})

    def cancel_now(self) -> None:
        main = self._account.main
        if main is None or main.state == "ended":
            return
        main.state = "ended"
        _forgiving(self._api, f"/v1/subscriptions/{main.id}")

    def pause(self) -> None:
        main = self._account.main
        if main is not None and main.state == "live":
            main.paused = True
            self._post(f"/v1/subscriptions/{main.id}", {"pause_collection[behavior]": "void"})

    def resume(self) -> None:
        main = self._account.main
        if main is not None and main.paused:
            main.paused = False
            self._post(f"/v1/subscriptions/{main.id}", {"pause_collection": ""})

    def break_card(self) -> None:
        self._account.card_works = False
        self._set_card("pm_card_chargeCustomerFail")

    def mend_card(self) -> None:
        """A card that works; what was owed is paid at Stripe's next try, so dunning is over as far as MRR goes."""
        self._account.card_works = True
        for subscription in self._account.subscriptions:
            if subscription.state == "live":
                subscription.failing_since = None
        self._set_card("pm_card_visa")

    def refund(self, *, share: float) -> None:
        """Give back a share of the newest charge that was paid by now."""
        charges = self._api.get("/v1/charges", customer=self._account.id, limit=100)["data"]
        paid = [charge for charge in charges if charge["paid"] and charge["amount"] and charge["created"] <= self._now]
        if paid:
            newest = max(paid, key=lambda charge: (charge["created"], charge["id"]))
            self._post("/v1/refunds", {"charge": newest["id"], "amount": max(1, int(newest["amount"] * share))})

    def _set_card(self, card: str) -> None:
        self._post(f"/v1/customers/{self._account.id}", {"invoice_settings[default_payment_method]": card}, "card")

    def _subscribe(
        self, product: str, quantity: int, *, interval: Interval, coupon: str | None = None, trial_days: int = 0
    ) -> None:
        account = self._account
        trial_end = self._now + trial_days * DAY if trial_days else None
        made = Subscription(
            product=product,
            interval=interval,
            quantity=quantity,
            anchor=trial_end or self._now,
            coupon=coupon,
            state="trialing" if trial_end else "live",
            trial_end=trial_end,
        )
        answer = self._post(
            "/v1/subscriptions",
            {
                "customer": account.id,
                "items[0][price]": self._price(made),
                "items[0][quantity]": quantity,
                "trial_end": trial_end,
                "discounts[0][coupon]": self._catalog[coupon] if coupon else None,
                "metadata[tenant_id]": account.tenant_id,
            },
        )
        made.id, made.item = answer["id"], answer["items"]["data"][0]["id"]
        account.subscriptions.append(made)

    def _price(self, subscription: Subscription) -> str:
        return self._catalog[f"{subscription.product}/{self._account.currency}/{subscription.interval}"]

    def _item(self, subscription: Subscription) -> dict[str, object]:
        return {"items[0][id]": subscription.item}


def _coupon_fields(name: str, coupon: Coupon) -> dict[str, object]:
    fields: dict[str, object] = {"id": name, "name": name, "duration": coupon.duration}
    if coupon.months is not None:
        fields["duration_in_months"] = coupon.months
    if coupon.currency is None:
        return fields | {"percent_off": coupon.off}
    return fields | {"amount_off": coupon.off, "currency": coupon.currency}


def _forgiving(api: Api, path: str) -> None:
    """DELETE what may be gone already: Stripe takes no idempotency key there, and says so with 404 (or 400)."""
    try:
        api.delete(path)
    except ApiError as error:
        if error.status not in (400, 404):
            raise
