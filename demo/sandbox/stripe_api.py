"""Stripe's v1 API over HTTP: keys, routes, parameters, lists, expansion, idempotency."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

from demo.sandbox import billing
from demo.sandbox import stripe_money_api as money
from demo.sandbox import stripe_objects as shapes
from demo.sandbox import stripe_versions as versions
from demo.sandbox.exchange import Answer, Request
from demo.sandbox.store import Json, dumps
from demo.sandbox.stripe_account import CARDS, CLOCK, Account, ItemChange
from demo.sandbox.stripe_form import Form, StripeError, missing

KINDS = {
    "customers": "customer",
    "products": "product",
    "prices": "price",
    "coupons": "coupon",
    "subscriptions": "subscription",
    "invoices": "invoice",
    "charges": "charge",
    "refunds": "refund",
    "events": "event",
    **money.KINDS,
}
# Filters of each list: parameter → column of the store, or path in the body.
FILTERS: dict[str, dict[str, str]] = {
    "customers": {"email": "tag"},
    "products": {"active": "tag"},
    "prices": {"active": "tag", "product": "parent"},
    "subscriptions": {"customer": "customer", "status": "tag"},
    "invoices": {"customer": "customer", "subscription": "parent", "status": "tag"},
    "charges": {"customer": "customer", "payment_intent": "parent"},
    "refunds": {"charge": "parent", "payment_intent": "$.payment_intent"},
    "events": {"type": "tag"},
    **money.FILTERS,
}
_EMBEDDED = 10  # members of a list within an object; the others are on further pages
_COMPARISONS = {"gt": "created > ?", "gte": "created >= ?", "lt": "created < ?", "lte": "created <= ?"}
_EQUALS = {column: f"{column} = ?" for column in ("customer", "parent", "tag")}
CURRENCIES = ("usd", "eur", "gbp")
_LONGEST = {"day": 1095, "week": 156, "month": 36, "year": 3}  # no billing period is longer than three years
_FURTHEST = 2**53
_MAXIMUM_DEPTH = 4
_Proration = Literal["create_prorations", "always_invoice", "none"]
_PRORATIONS: dict[str, _Proration] = {
    "create_prorations": "create_prorations",
    "always_invoice": "always_invoice",
    "none": "none",
}


class StripeApi:
    """Answers requests for one account. A write is committed, with its events, before it is answered."""

    def __init__(
        self,
        state: Path,
        *,
        event_retention_days: int | None = None,
        after_retries: Literal["cancel", "unpaid"] = "cancel",
    ) -> None:
        self._account = Account(state, after_retries=after_retries)
        self._objects = self._account.objects
        self._older: str | None = None
        self._retention = None if event_retention_days is None else event_retention_days * billing.DAY
        self._writes: dict[str, Callable[[list[str], Form], Json]] = {
            "POST customers": self._create_customer,
            "POST customers/*": self._update_customer,
            "DELETE customers/*": self._delete_customer,
            "POST products": self._create_product,
            "POST products/*": self._update_product,
            "DELETE products/*": self._delete_product,
            "POST prices": self._create_price,
            "POST prices/*": self._update_price,
            "POST coupons": self._create_coupon,
            "POST coupons/*": self._update_coupon,
            "DELETE coupons/*": self._delete_coupon,
            "POST subscriptions": self._create_subscription,
            "POST subscriptions/*": self._update_subscription,
            "DELETE subscriptions/*": self._cancel_subscription,
            "POST invoices/*/pay": self._pay_invoice,
            "POST invoices/*/void": self._void_invoice,
            "POST charges/*": self._update_charge,
            "POST refunds": self._create_refund,
            "POST test_helpers/*/" + CLOCK + "/advance": self._advance,
        }
        self._money = money.MoneyApi(self._account, self._live)
        self._writes |= self._money.writes

    def close(self) -> None:
        self._objects.state.close()

    def answer(self, request: Request) -> Answer:
        """One request; Stripe's error object for whatever is wrong with it."""
        self._older = versions.older(request.headers.get("stripe-version"))
        try:
            _authorize(request)
            head, _, path = request.path.strip("/").partition("/")
            if head != "v1" or not path:
                raise _unknown(request)
            parts = path.split("/")
            if parts[0] == "billing" and len(parts) > 1:
                parts[:2] = ["/".join(parts[:2])]
            if request.method == "GET":
                return Answer(200, self._read(parts, request))
            return self._write(parts, request)
        except StripeError as error:
            return Answer(error.status, error.body)

    # reads

    def _read(self, path: list[str], request: Request) -> str:
        if self._account.overdue():
            with self._objects.state.transaction():
                self._account.catch_up()
                self._objects.keep_counter()
        form = Form.parse(request.query)
        expand = [name.split(".") for name in form.texts("expand")]
        if path == ["test_helpers", "test_clocks", CLOCK]:
            body = dumps(self._account.clock())
        elif path[0] in KINDS and len(path) == 1:
            return self._list(path[0], form, expand)
        elif path[0] in KINDS and len(path) == 2:
            body = self._retrieve(KINDS[path[0]], path[1])
        elif path[0] == "invoices" and path[2:] == ["lines"]:
            lines = self._live("invoice", path[1])["lines"]["data"]
            return self._embedded(lines, form, expand, url=f"/v1/invoices/{path[1]}/lines")
        elif path[0] == "billing/meters" and path[2:] == ["event_summaries"]:
            return self._money.summaries(path[1], form)
        elif path[0] == "credit_notes" and path[2:] == ["lines"]:
            lines = self._live("credit_note", path[1])["lines"]["data"]
            return self._embedded(lines, form, expand, url=f"/v1/credit_notes/{path[1]}/lines")
        elif path == ["subscription_items"]:
            items = self._live("subscription", form.required("subscription"))["items"]["data"]
            return self._embedded(items, form, expand, url="/v1/subscription_items")
        else:
            raise _unknown(request)
        form.done()
        return _cut(self._written(json.loads(body), expand) if expand or self._older else body)

    def _retrieve(self, kind: str, identifier: str) -> str:
        found = self._objects.body(kind, identifier)
        if found is None:
            raise missing(kind, identifier)
        body, deleted = found
        if deleted and kind == "customer":
            return dumps({"id": identifier, "object": "customer", "deleted": True})
        if deleted or (kind == "event" and not self._retained(json.loads(body)["created"])):
            raise missing(kind, identifier)
        return body

    def _live(self, kind: str, identifier: str, *, param: str | None = None) -> Json:
        """An object that was not deleted; ``param`` names the parameter it was named by, None if it was the path."""
        found = self._objects.body(kind, identifier)
        if found is None or found[1]:
            raise missing(kind, identifier, param=param or "id", status=404 if param is None else 400)
        item: Json = json.loads(found[0])
        return item

    def _retained(self, created: int) -> bool:
        return self._retention is None or created >= self._account.now - self._retention

    def _list(self, stream: str, form: Form, expand: Sequence[Sequence[str]]) -> str:
        kind = KINDS[stream]
        limit, after, before = _window(form)
        conditions = self._conditions(stream, form)
        form.done()
        page = self._objects.page(
            kind,
            conditions,
            limit=limit,
            after=self._cursor(kind, "starting_after", after),
            before=self._cursor(kind, "ending_before", before),
        )
        if expand or self._older:
            answer = {"object": "list", "data": [json.loads(body) for body in page.bodies]}
            return _cut(self._written(answer | {"has_more": page.more, "url": f"/v1/{stream}"}, expand))
        # What is stored is what is answered: no need to parse a page to write it out again.
        more = "true" if page.more else "false"
        bodies = ",".join(map(_cut, page.bodies))
        return f'{{"object":"list","data":[{bodies}],"has_more":{more},"url":"/v1/{stream}"}}'

    def _cursor(self, kind: str, param: str, identifier: str | None) -> int | None:
        if identifier is None:
            return None
        sequence = self._objects.sequence(kind, identifier)
        if sequence is None:
            raise missing(kind, identifier, param=param, status=400)
        if kind == "event":
            self._retrieve(kind, identifier)
        return sequence

    def _conditions(self, stream: str, form: Form) -> list[tuple[str, Sequence[Any]]]:
        conditions: list[tuple[str, Sequence[Any]]] = []
        if "created" in form:
            try:
                moments = form.form("created")
            except StripeError:
                conditions.append(("created = ?", [form.integer("created", most=_FURTHEST)]))
            else:
                for name, text in _COMPARISONS.items():
                    if name in moments:
                        conditions.append((text, [moments.integer(name, most=_FURTHEST)]))
                moments.done()
        columns = FILTERS.get(stream, {})
        if stream == "events":
            if self._retention is not None:
                conditions.append(("created >= ?", [self._account.now - self._retention]))
            if types := form.texts("types"):
                conditions.append((f"tag in ({', '.join('?' * len(types))})", types))
        if stream == "prices" and (keys := form.texts("lookup_keys")):
            marks = ", ".join("?" * len(keys))
            conditions.append((f"json_extract(body, '$.lookup_key') in ({marks})", keys))
        if stream == "subscriptions":
            status = form.text("status")
            if status is None:
                conditions.append(("tag not in ('canceled', 'incomplete_expired')", []))
            elif status == "ended":
                conditions.append(("tag in ('canceled', 'incomplete_expired')", []))
            elif status != "all":
                conditions.append(("tag = ?", [status]))
            if price := form.text("price"):
                holds = "exists (select 1 from json_each(body, '$.items.data') where value ->> '$.price.id' = ?)"
                conditions.append((holds, [price]))
            columns = {"customer": "customer"}
        for name, column in columns.items():
            value = form.text(name)
            if value is not None and stream == "events" and value.endswith(".*"):
                conditions.append(("tag >= ? and tag < ?", [value[:-1], value[:-2] + "/"]))
            elif value is not None and column.startswith("$"):
                conditions.append(("json_extract(body, ?) = ?", [column, value]))
            elif value is not None:
                conditions.append((_EQUALS[column], [value]))
        return conditions

    def _written(self, item: Json, expand: Sequence[Sequence[str]]) -> str:
        """An object or a list as it is answered: in the terms of the request's version, with what it wants expanded."""
        return dumps(self._expanded(self._shown(item), expand))

    def _shown(self, item: Json) -> Json:
        if self._older is None:
            return item
        shown: Json = versions.seen_by(self._older, item, self._objects.get)
        return shown

    def _expanded(self, item: Json, paths: Sequence[Sequence[str]]) -> Json:
        for path in paths:
            if len(path) > _MAXIMUM_DEPTH + 1:
                raise StripeError("You cannot expand more than 4 levels of a property", param="expand")
            item = self._expand(item, path)
        return item

    def _expand(self, item: Json, path: Sequence[str]) -> Json:
        """``item`` with the references along ``path`` replaced by the objects they name."""
        name, rest = path[0], path[1:]
        if path == ["refunds"] and item.get("object") == "charge":  # a list that is shown to whoever asks for it
            found = self._objects.hanging_on("refund", item["id"])[::-1]
            url = f"/v1/charges/{item['id']}/refunds"
            page = {"object": "list", "data": found[:_EMBEDDED], "has_more": len(found) > _EMBEDDED, "url": url}
            return item | {"refunds": page}
        if name not in item:
            raise StripeError(f"This property cannot be expanded ({'.'.join(path)}).", param="expand")
        value = item[name]
        if isinstance(value, list):
            return item | {name: [self._resolved(member, rest, path) for member in value]}
        return item | {name: value if value is None else self._resolved(value, rest, path)}

    def _resolved(self, value: Any, rest: Sequence[str], path: Sequence[str]) -> Any:
        found = self._objects.get(value) if isinstance(value, str) else value
        if not isinstance(found, dict):
            raise StripeError(f"This property cannot be expanded ({'.'.join(path)}).", param="expand")
        if found is not value:
            found = self._shown(found)
        return self._expand(found, rest) if rest else found

    def _embedded(self, members: Sequence[Json], form: Form, expand: Sequence[Sequence[str]], *, url: str) -> str:
        """A page of a list that is stored within its owner."""
        limit, after, before = _window(form)
        form.done()
        ids = [member["id"] for member in members]
        if (cursor := after or before) is not None and cursor not in ids:
            raise missing("line", cursor, param="starting_after" if after else "ending_before", status=400)
        if before is not None:
            upto = ids.index(before)
            page, more = members[max(0, upto - limit) : upto], upto > limit
        else:
            start = ids.index(after) + 1 if after is not None else 0
            page, more = members[start : start + limit], len(members) > start + limit
        return self._written({"object": "list", "data": list(page), "has_more": more, "url": url}, expand)

    # writes

    def _write(self, path: list[str], request: Request) -> Answer:
        pattern = "/".join("*" if index == 1 else part for index, part in enumerate(path))
        handler = self._writes.get(f"{request.method} {pattern}")
        if handler is None:
            raise _unknown(request)
        try:
            pairs = parse_qsl(request.body.decode(), keep_blank_values=True)
        except UnicodeDecodeError:
            raise StripeError("The request body is not a UTF-8 form.") from None
        key = request.headers.get("idempotency-key") or None
        fingerprint = hashlib.sha256(f"{request.method} {request.path} {request.query} {pairs}".encode()).hexdigest()
        objects, account = self._objects, self._account
        try:
            with objects.state.transaction():
                if key is not None and (answered := objects.answered(key)) is not None:
                    if answered[0] != fingerprint:
                        message = "Keys for idempotent requests can only be used with the same parameters as at first."
                        raise StripeError(message, kind="idempotency_error")
                    return Answer(answered[1], answered[2], {"idempotent-replayed": "true"})
                account.catch_up()
                account.now += int(request.skew)
                account.request = (objects.request_id(), key)
                form = Form.parse([*request.query, *pairs])
                expand = [name.split(".") for name in form.texts("expand")]
                try:
                    status, body = 200, _cut(self._written(handler(path, form), expand))
                except StripeError as error:
                    if not error.keep:
                        raise
                    status, body = error.status, error.body
                if key is not None:
                    objects.remember(key, fingerprint, status, body)
                objects.keep_counter()
                account.now -= int(request.skew)
                return Answer(status, body, {"request-id": account.request[0] or ""})
        except BaseException:
            account.forget()
            raise

    def _advance(self, path: list[str], form: Form) -> Json:
        if path[1] != "test_clocks":
            raise missing("test clock", path[2])
        moment = form.moment("frozen_time", now=self._account.now)
        form.done()
        if moment is None:
            raise StripeError("Missing required param: frozen_time.", param="frozen_time", code="parameter_missing")
        return self._account.advance(moment)

    def _customer_fields(self, form: Form, customer: Json) -> Json:
        fields: Json = {}
        for name in ("email", "name", "phone", "description"):
            if name in form:
                fields[name] = form.text(name)
        if "tax_exempt" in form:
            fields["tax_exempt"] = form.choice("tax_exempt", ("none", "exempt", "reverse"), default="none")
        if "preferred_locales" in form:
            fields["preferred_locales"] = form.texts("preferred_locales")
        if "address" in form:
            address = form.form("address")
            given = {name: address.text(name) for name in shapes.ADDRESS if name in address}
            address.done()
            fields["address"] = (customer["address"] or dict.fromkeys(shapes.ADDRESS)) | given if given else None
        settings = form.form("invoice_settings")
        method = settings.text("default_payment_method") or form.text("payment_method")
        settings.done()
        if method is not None:
            if method not in CARDS:
                raise missing("PaymentMethod", method, param="invoice_settings[default_payment_method]", status=400)
            fields["invoice_settings"] = customer["invoice_settings"] | {"default_payment_method": method}
        if "metadata" in form:
            fields["metadata"] = form.metadata(customer["metadata"])
        form.done()
        return fields

    def _create_customer(self, path: list[str], form: Form) -> Json:
        identifier = self._objects.new_id("cus")
        prefix = hashlib.sha256(identifier.encode()).hexdigest()[:8].upper()
        customer = shapes.customer(identifier, now=self._account.now, prefix=prefix)
        return self._account.create(customer | self._customer_fields(form, customer))

    def _update_customer(self, path: list[str], form: Form) -> Json:
        customer = self._live("customer", path[1])
        return self._account.change(customer, **self._customer_fields(form, customer))

    def _delete_customer(self, path: list[str], form: Form) -> Json:
        form.done()
        self._account.delete_customer(self._live("customer", path[1]))
        return {"id": path[1], "object": "customer", "deleted": True}

    def _own_id(self, form: Form, prefix: str) -> str:
        """The id that the caller chose, or a new one."""
        chosen = form.text("id")
        if chosen is not None and self._objects.get(chosen) is not None:
            raise StripeError(
                f"An object with id '{chosen}' already exists.", param="id", code="resource_already_exists"
            )
        return chosen or self._objects.new_id(prefix)

    def _create_product(self, path: list[str], form: Form) -> Json:
        product = shapes.product(self._own_id(form, "prod"), now=self._account.now, name=form.required("name"))
        return self._account.create(product | self._product_fields(form, product))

    def _product_fields(self, form: Form, product: Json) -> Json:
        fields: Json = {name: form.text(name) for name in ("description", "unit_label") if name in form}
        if "name" in form:
            fields["name"] = form.required("name")
        if "active" in form:
            fields["active"] = form.boolean("active") is not False
        if price := form.text("default_price"):
            fields["default_price"] = self._live("price", price, param="default_price")["id"]
        if "metadata" in form:
            fields["metadata"] = form.metadata(product["metadata"])
        form.done()
        return fields

    def _update_product(self, path: list[str], form: Form) -> Json:
        product = self._live("product", path[1])
        fields = self._product_fields(form, product)
        if any(product[name] != value for name, value in fields.items()):
            fields["updated"] = self._account.now
        return self._account.change(product, **fields)

    def _delete_product(self, path: list[str], form: Form) -> Json:
        form.done()
        product = self._live("product", path[1])
        if self._objects.hanging_on("price", product["id"]):
            raise StripeError("This product cannot be deleted because it has one or more prices.")
        self._account.delete(product)
        return {"id": path[1], "object": "product", "deleted": True}

    def _create_price(self, path: list[str], form: Form) -> Json:
        currency = form.choice("currency", CURRENCIES, default="")
        amount = form.integer("unit_amount", most=99_999_999)
        recurring = form.form("recurring")
        interval = recurring.choice("interval", billing.INTERVALS, default="")
        count = recurring.integer("interval_count", least=1, most=_LONGEST.get(interval, 1)) or 1
        recurring.done()
        if amount is None:
            raise StripeError("Missing required param: unit_amount.", param="unit_amount", code="parameter_missing")
        price = shapes.price(
            self._objects.new_id("price"),
            now=self._account.now,
            product=self._live("product", form.required("product"), param="product")["id"],
            currency=currency,
            unit_amount=amount,
            interval=interval,
            count=count,
        )
        return self._account.create(price | self._price_fields(form, price))

    def _price_fields(self, form: Form, price: Json) -> Json:
        fields: Json = {name: form.text(name) for name in ("nickname", "lookup_key") if name in form}
        if "tax_behavior" in form:
            fields["tax_behavior"] = form.choice(
                "tax_behavior", ("inclusive", "exclusive", "unspecified"), default="unspecified"
            )
        if "active" in form:
            fields["active"] = form.boolean("active") is not False
        if "metadata" in form:
            fields["metadata"] = form.metadata(price["metadata"])
        form.done()
        return fields

    def _update_price(self, path: list[str], form: Form) -> Json:
        price = self._live("price", path[1])
        return self._account.change(price, **self._price_fields(form, price))

    def _create_coupon(self, path: list[str], form: Form) -> Json:
        duration = form.choice("duration", ("once", "repeating", "forever"), default="once")
        percent, amount = form.decimal("percent_off"), form.integer("amount_off", least=1)
        months = form.integer("duration_in_months", least=1, most=240)
        if (percent is None) == (amount is None):
            raise StripeError("You must pass either percent_off or amount_off.", param="percent_off")
        if percent is not None and not 0 < percent <= 100:
            raise StripeError("Invalid percent_off, must be above 0 and at most 100.", param="percent_off")
        if (duration == "repeating") != (months is not None):
            raise StripeError("duration_in_months goes with repeating coupons.", param="duration_in_months")
        coupon = shapes.coupon(self._own_id(form, "co"), now=self._account.now, duration=duration) | {
            "percent_off": percent,
            "amount_off": amount,
            "currency": form.choice("currency", CURRENCIES, default="") if amount is not None else None,
            "duration_in_months": months,
            "max_redemptions": form.integer("max_redemptions", least=1),
            "name": form.text("name"),
            "metadata": form.metadata({}),
        }
        form.done()
        return self._account.create(coupon)

    def _update_coupon(self, path: list[str], form: Form) -> Json:
        coupon = self._live("coupon", path[1])
        fields: Json = {"name": form.text("name")} if "name" in form else {}
        if "metadata" in form:
            fields["metadata"] = form.metadata(coupon["metadata"])
        form.done()
        return self._account.change(coupon, **fields)

    def _delete_coupon(self, path: list[str], form: Form) -> Json:
        form.done()
        self._account.delete(self._live("coupon", path[1]))
        return {"id": path[1], "object": "coupon", "deleted": True}

    def _create_subscription(self, path: list[str], form: Form) -> Json:
        customer = self._live("customer", form.required("customer"), param="customer")
        items: list[tuple[Json, int]] = []
        for item in form.forms("items"):
            price = self._live("price", item.required("price"), param="items[0][price]")
            quantity = item.integer("quantity", most=10**6)
            item.done()
            items.append((price, 1 if quantity is None else quantity))
        if not items:
            raise StripeError("Missing required param: items.", param="items", code="parameter_missing")
        if not all(price["active"] for price, _ in items):
            raise StripeError("A price is not active and cannot be subscribed to.", param="items")
        now = self._account.now
        trial_end = form.moment("trial_end", now=now)
        days = form.integer("trial_period_days", least=1, most=730)
        coupons = [discount for discount in self._discounts(form) if isinstance(discount, dict)]
        fields = self._subscription_fields(form, {})
        cancel = form.boolean("cancel_at_period_end")
        form.done()
        return self._account.subscribe(
            customer=customer,
            items=items,
            coupons=coupons,
            trial_end=now + days * billing.DAY if days is not None else trial_end,
            fields=fields | {"cancel_at_period_end": bool(cancel)},
        )

    def _update_subscription(self, path: list[str], form: Form) -> Json:
        subscription = self._live("subscription", path[1])
        changes = []
        for item in form.forms("items"):
            price = item.text("price")
            changes.append(
                ItemChange(
                    identifier=item.text("id"),
                    price=None if price is None else self._live("price", price, param="items[0][price]"),
                    quantity=item.integer("quantity", most=10**6),
                    deleted=item.boolean("deleted") is True,
                )
            )
            item.done()
        proration = _PRORATIONS[form.choice("proration_behavior", _PRORATIONS, default="create_prorations")]
        trial_end = form.moment("trial_end", now=self._account.now)
        if trial_end is not None and trial_end < self._account.now:
            raise StripeError("`trial_end` must not be in the past.", param="trial_end")
        discounts = self._discounts(form) if "discounts" in form else None
        fields = self._subscription_fields(form, subscription["metadata"])
        cancel = form.boolean("cancel_at_period_end")
        form.done()
        return self._account.revise(
            subscription,
            items=changes,
            fields=fields,
            proration=proration,
            discounts=discounts,
            cancel_at_period_end=cancel,
            trial_end=trial_end,
        )

    def _subscription_fields(self, form: Form, metadata: dict[str, str]) -> Json:
        fields: Json = {"description": form.text("description")} if "description" in form else {}
        if "metadata" in form:
            fields["metadata"] = form.metadata(metadata)
        if "pause_collection" in form:
            pause = form.form("pause_collection")
            behaviors = ("void", "keep_as_draft", "mark_uncollectible")
            fields["pause_collection"] = (
                {
                    "behavior": pause.choice("behavior", behaviors, default=""),
                    "resumes_at": pause.moment("resumes_at", now=self._account.now),
                }
                if "behavior" in pause
                else None
            )
            pause.done()
        return fields

    def _discounts(self, form: Form) -> list[Json | str]:
        """Coupons to grant, as objects, and discounts to keep, as ids."""
        wanted: list[Json | str] = []
        for discount in form.forms("discounts"):
            coupon, kept = discount.text("coupon"), discount.text("discount")
            discount.done()
            if coupon is not None:
                wanted.append(self._live("coupon", coupon, param="discounts[0][coupon]"))
            elif kept is not None:
                wanted.append(kept)
        return wanted

    def _cancel_subscription(self, path: list[str], form: Form) -> Json:
        form.done()
        subscription = self._live("subscription", path[1])
        if subscription["status"] in ("canceled", "incomplete_expired"):
            raise missing("subscription", path[1])
        return self._account.cancel(subscription)

    def _pay_invoice(self, path: list[str], form: Form) -> Json:
        form.done()
        invoice = self._live("invoice", path[1])
        if invoice["status"] == "draft":
            invoice = self._account.finalize(invoice)
        if invoice["status"] not in ("open", "uncollectible"):
            raise StripeError(f"Invoice is {invoice['status']} and cannot be paid.", code="invoice_not_open")
        if not self._account.collect(invoice):
            raise StripeError("Your card was declined.", code="card_declined", kind="card_error", status=402, keep=True)
        return self._live("invoice", path[1])

    def _void_invoice(self, path: list[str], form: Form) -> Json:
        form.done()
        invoice = self._live("invoice", path[1])
        if invoice["status"] not in ("open", "uncollectible"):
            raise StripeError(f"Invoice is {invoice['status']} and cannot be voided.", code="invoice_not_open")
        return self._account.void(invoice)

    def _update_charge(self, path: list[str], form: Form) -> Json:
        charge = self._live("charge", path[1])
        fields: Json = {"description": form.text("description")} if "description" in form else {}
        if "metadata" in form:
            fields["metadata"] = form.metadata(charge["metadata"])
        form.done()
        return self._account.change(charge, **fields)

    def _create_refund(self, path: list[str], form: Form) -> Json:
        charge = self._live("charge", form.required("charge"), param="charge")
        amount = form.integer("amount", least=1)
        reasons = ("", "duplicate", "fraudulent", "requested_by_customer")
        reason = form.choice("reason", reasons, default="") or None
        metadata = form.metadata({})
        form.done()
        return self._account.refund(charge, amount=amount, reason=reason, metadata=metadata)


def _authorize(request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if not key:
        message = "You did not provide an API key. Send it as `Authorization: Bearer sk_test_…`."
        raise StripeError(message, status=401)
    if scheme.lower() != "bearer" or not key.startswith("sk_test_"):
        raise StripeError("Invalid API Key provided.", status=401)


def _unknown(request: Request) -> StripeError:
    return StripeError(f"Unrecognized request URL ({request.method}: {request.path}).", status=404)


def _window(form: Form) -> tuple[int, str | None, str | None]:
    limit = form.integer("limit", least=1) or 10
    if limit > 100:
        raise StripeError("Invalid limit, must be at most 100.", param="limit", code="parameter_invalid")
    after, before = form.text("starting_after"), form.text("ending_before")
    if after is not None and before is not None:
        raise StripeError("You cannot give both starting_after and ending_before.", param="starting_after")
    return limit, after, before


def _cut(body: str) -> str:
    """An answer whose embedded lists end after a page, as Stripe's do."""
    if max(body.count('"object":"line_item"'), body.count('"object":"subscription_item"')) <= _EMBEDDED:
        return body  # most: no need to parse what is stored as it is answered

    def cut(value: Any, *, inside: bool) -> Any:
        if isinstance(value, list):
            return [cut(member, inside=inside) for member in value]
        if not isinstance(value, dict):
            return value
        if inside and value.get("object") == "list" and len(value["data"]) > _EMBEDDED:
            value = value | {"data": value["data"][:_EMBEDDED], "has_more": True}
        return {name: cut(member, inside=True) for name, member in value.items()}

    return dumps(cut(json.loads(body), inside=False))
