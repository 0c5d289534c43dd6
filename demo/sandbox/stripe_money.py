"""What follows a payment: intents, the balance, payouts, disputes and credit notes. Nothing here is HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.sandbox import billing
from demo.sandbox import stripe_money_objects as shapes
from demo.sandbox.store import Json
from demo.sandbox.stripe_form import StripeError

if TYPE_CHECKING:
    from demo.sandbox.stripe_account import Account

DISPUTED_CARD = "pm_card_createDispute"
_SETTLES = 2 * billing.DAY
_RESPOND_WITHIN = 9 * billing.DAY
_DECIDED_AFTER = 20 * billing.DAY
_PAYOUT_EVERY = 7 * billing.DAY
_DISPUTE_FEE = 1500
PAYOUT_RUN = "payout_run"


class Money:
    """The money of one account. Writes belong in the account's transaction."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._objects = account.objects

    # payments

    def attempt(self, invoice: Json, customer: Json, *, amount: int) -> Json:
        """The intent to collect an invoice; one an invoice, however often it is tried."""
        kept = self._objects.get(f"payment_of_{invoice['id']}")
        if kept is not None:
            return self._account.known(kept["intent"])
        identifier = self._objects.new_id("pi")
        remembered = {"object": "payment", "id": f"payment_of_{invoice['id']}", "intent": identifier}
        self._objects.insert(remembered, now=self._account.now)
        currency = invoice["currency"]
        return self._account.create(
            shapes.payment_intent(
                identifier, now=self._account.now, amount=amount, currency=currency, customer=customer["id"]
            )
        )

    def settle(self, intent: Json, charge: Json) -> Json:
        """The charge with its place in the balance; the intent knows how it went, and a bad card its dispute."""
        paid = charge["paid"]
        charge = charge | {"payment_intent": intent["id"]}
        if paid:
            fee = billing.percentage(charge["amount"], "2.9") + 30
            charge["balance_transaction"] = self._enter(
                kind="charge", amount=charge["amount"], fee=min(fee, charge["amount"]), source=charge
            )["id"]
        self._objects.insert(charge, now=self._account.now)
        self._account.emit("charge.succeeded" if paid else "charge.failed", charge)
        outcome: Json = {"latest_charge": charge["id"], "payment_method": charge["payment_method"]}
        if paid:
            outcome |= {"status": "succeeded", "amount_received": charge["amount"], "last_payment_error": None}
        else:
            outcome |= {"last_payment_error": {"code": charge["failure_code"], "type": "card_error"}}
        name = "payment_intent.succeeded" if paid else "payment_intent.payment_failed"
        self._account.change(intent, name, **outcome)
        if paid and charge["payment_method"] == DISPUTED_CARD:
            self._dispute(charge)
        return charge

    def refunded(self, refund: Json, charge: Json) -> Json:
        entry = self._enter(kind="refund", amount=-refund["amount"], fee=0, source=refund)
        return refund | {"balance_transaction": entry["id"], "payment_intent": charge["payment_intent"]}

    # disputes

    def _dispute(self, charge: Json) -> None:
        identifier, now = self._objects.new_id("dp"), self._account.now
        entry = self._enter(
            kind="adjustment",
            category="dispute",
            amount=-charge["amount"],
            fee=_DISPUTE_FEE,
            source={"id": identifier, "currency": charge["currency"]},
        )
        dispute = shapes.dispute(identifier, now=now, charge=charge, due_by=now + _RESPOND_WITHIN, transactions=[entry])
        self._objects.insert(dispute, now=now)
        self._account.emit("charge.dispute.created", dispute)
        self._account.emit("charge.dispute.funds_withdrawn", dispute)
        self._account.change(self._account.known(charge["id"]), disputed=True)

    def respond(self, dispute: Json, *, text: str | None) -> Json:
        """Evidence is sent in; the bank decides later, in the merchant's favour."""
        if dispute["status"] != "needs_response":
            raise StripeError("This dispute is already closed or under review.", param="dispute")
        details = dispute["evidence_details"] | {
            "has_evidence": True,
            "submission_count": 1,
            "due_by": self._account.now + _DECIDED_AFTER,
        }
        evidence = dispute["evidence"] | {"uncategorized_text": text}
        return self._account.change(dispute, status="under_review", evidence=evidence, evidence_details=details)

    def close(self, dispute: Json) -> Json:
        """Given up, or not answered in time: lost. Under review: won, and the money is back."""
        won = dispute["status"] == "under_review"
        changes: Json = {"status": "won" if won else "lost"}
        if not won:
            changes["evidence_details"] = dispute["evidence_details"] | {"past_due": True}
        if won:
            back = self._enter(
                kind="adjustment", category="dispute_reversal", amount=dispute["amount"], fee=0, source=dispute
            )
            changes["balance_transactions"] = [*dispute["balance_transactions"], back]
        closed = self._account.change(dispute, "charge.dispute.closed", **changes)
        if won:
            self._account.emit("charge.dispute.funds_reinstated", closed)
        return closed

    # the balance

    def _enter(self, *, kind: str, amount: int, fee: int, source: Json, category: str | None = None) -> Json:
        """A movement of the balance. Nothing tells of it but the object that it came of."""
        now = self._account.now
        entry = shapes.balance_transaction(
            self._objects.new_id("txn"),
            now=now,
            kind=kind,
            category=category or kind,
            amount=amount,
            fee=fee,
            currency=source["currency"],
            source=source["id"],
            available_on=now + _SETTLES if kind == "charge" else now,
        )
        self._objects.insert(entry, now=now)
        if entry["status"] == "available":
            self._credit(entry)
        if self._objects.get(PAYOUT_RUN) is None:
            day = now - now % billing.DAY
            self._objects.insert({"object": PAYOUT_RUN, "id": PAYOUT_RUN, "next": day + _PAYOUT_EVERY}, now=now)
        return entry

    def becomes_available(self, entry: Json) -> None:
        self._objects.replace(entry | {"status": "available"}, now=self._account.now)
        self._credit(entry)

    def _credit(self, entry: Json) -> None:
        balance = self._objects.state.meta("balance") or {}
        balance[entry["currency"]] = balance.get(entry["currency"], 0) + entry["net"]
        self._objects.state.set_meta("balance", balance)

    def pay_out(self, run: Json) -> None:
        """Everything that is available goes to the bank, each currency for itself."""
        now = self._account.now
        for currency, amount in sorted((self._objects.state.meta("balance") or {}).items()):
            if amount <= 0:
                continue
            identifier = self._objects.new_id("po")
            entry = self._enter(kind="payout", amount=-amount, fee=0, source={"id": identifier, "currency": currency})
            self._account.create(
                shapes.payout(
                    identifier,
                    now=now,
                    amount=amount,
                    currency=currency,
                    arrives=now + 2 * billing.DAY,
                    transaction=entry["id"],
                )
            )
        self._objects.replace(run | {"next": run["next"] + _PAYOUT_EVERY}, now=now)

    # credit notes

    def credit(self, invoice: Json, *, amount: int, reason: str | None, memo: str | None) -> Json:
        """A credit note: an open invoice is owed less, of a paid one the amount was given back outside of Stripe."""
        if invoice["status"] not in ("open", "paid"):
            raise StripeError("You can only credit an open or a paid invoice.", param="invoice")
        already = invoice["pre_payment_credit_notes_amount"] + invoice["post_payment_credit_notes_amount"]
        is_open = invoice["status"] == "open"
        if amount > (invoice["amount_remaining"] if is_open else invoice["amount_paid"] - already):
            raise StripeError("The credit note is larger than what is left of the invoice.", param="amount")
        nth = len(self._objects.hanging_on("credit_note", invoice["id"])) + 1
        note = shapes.credit_note(
            self._objects.new_id("cn"),
            now=self._account.now,
            invoice=invoice,
            amount=amount,
            reason=reason,
            memo=memo,
            nth=nth,
            line=self._objects.new_id("cnli"),
        )
        self._account.create(note)
        if is_open:
            left = invoice["amount_remaining"] - amount
            credited = invoice["pre_payment_credit_notes_amount"] + amount
            changes = {"amount_remaining": left, "amount_due": invoice["amount_due"] - amount}
            invoice = self._account.change(invoice, **changes, pre_payment_credit_notes_amount=credited)
            if left == 0:
                self._account.collect(invoice)
        else:
            self._account.change(
                invoice, post_payment_credit_notes_amount=invoice["post_payment_credit_notes_amount"] + amount
            )
        return note

    def void_credit(self, note: Json) -> Json:
        if note["status"] != "issued" or note["type"] != "post_payment":
            raise StripeError("Only a credit note of a paid invoice can be voided.", param="id")
        invoice = self._account.known(note["invoice"])
        self._account.change(
            invoice,
            post_payment_credit_notes_amount=invoice["post_payment_credit_notes_amount"] - note["amount"],
        )
        return self._account.change(note, "credit_note.voided", status="void", voided_at=self._account.now)
