"""A connector file is held to its contract before a request is made, and what is wrong with it is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingestion.rest.connector import DIRECTORY, load_connector, reach, reference
from pii_policies import load_contracts
from settings import TailraceError

EXAMPLES = json.loads((Path(__file__).parents[2] / "fixtures" / "stripe_objects.json").read_text())["resources"]


def broken(tmp_path: Path, change: Any) -> str:
    """What is told of Stripe's file after ``change`` was made to it."""
    document = yaml.safe_load((DIRECTORY / "stripe.yml").read_text())
    change(document)
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "stripe.yml").write_text(yaml.safe_dump(document, sort_keys=False))
    with pytest.raises(TailraceError) as failure:
        load_connector("stripe", load_contracts(), directory=tmp_path)
    line = str(failure.value)
    assert "\n" not in line
    assert line.startswith("stripe.yml: ")
    return line


@pytest.mark.parametrize("name", sorted(path.stem for path in DIRECTORY.glob("*.yml")))
def test_every_connector_reads_every_table_of_its_contract(name: str) -> None:
    contracts = load_contracts()
    connector = load_connector(name, contracts)
    assert set(connector.streams) == {table.name for table in contracts.raw_tables(name)}


def test_what_is_wrong_is_named_by_its_key(tmp_path: Path) -> None:
    def drop(stream: str) -> Any:
        return lambda document: document["streams"].pop(stream)

    def put(stream: str, **fields: Any) -> Any:
        return lambda document: document["streams"][stream].update(fields)

    for change, part in (
        (drop("charges"), "nothing reads charges"),
        (put("charges", key="number"), "streams.charges.key"),
        (put("charges", cursor={"kind": "guess"}), "streams.charges.cursor.kind"),
        (put("charges", colour="red"), "streams.charges.colour"),
        (put("refunds", residency={"via": {"charge": "payments"}}), "no stream payments"),
        (put("products", residency={"states": "metadata.region"}), "two of them state regions"),
        (put("coupons", path=None, cursor={"kind": "created", "field": "created"}), "streams.coupons.path"),
        (put("payouts", cursor={"kind": "created"}), "streams.payouts.cursor.field"),
        (lambda document: document.pop("feed"), "has no feed"),
        (lambda document: document["streams"].update(orders={"cursor": {"kind": "none"}}), "no such table"),
    ):
        assert part in broken(tmp_path / part.replace(" ", "-"), change)


def test_malformed_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "stripe.yml").write_text("name: stripe\ntitle: [\n")
    with pytest.raises(TailraceError, match=r"^stripe\.yml:\d+: not valid YAML"):
        load_connector("stripe", load_contracts(), directory=tmp_path)
    with pytest.raises(TailraceError, match="cannot be read"):
        load_connector("nobody", load_contracts(), directory=tmp_path)


def test_every_field_that_stripe_publishes_is_classified_or_left_out_by_name() -> None:
    contracts = load_contracts()
    connector = load_connector("stripe", contracts)
    kinds = {"subscription_items": "subscription_item", "invoice_line_items": "line_item"}
    for name, stream in connector.streams.items():
        kind = stream.object or kinds.get(name, "billing.meter_event_summary")
        known = {column.name for column in contracts.table("stripe", name).columns if column.derived is None}
        assert set(EXAMPLES[kind]) <= known | {*connector.omit, *stream.omit}, name
        assert not known & set(stream.omit), f"{name}: what is classified is wanted"


def test_paths_and_references_end_quietly_where_nothing_is() -> None:
    assert reach({"a": {"b": 1}}, "a.b") == 1
    assert reach({"a": None}, "a.b") is None
    assert [reference(value) for value in ("x", {"id": "y"}, {}, None, "")] == ["x", "y", None, None, None]
