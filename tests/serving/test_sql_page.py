"""Every query of docs/sql.md, run as the product would, in the order of the page."""

from __future__ import annotations

import re

from settings import ROOT
from tests.serving.conftest import DAYS, Product

QUERY = re.compile(r"```sql\n(.*?)```", re.DOTALL)


def test_every_query_of_the_page_runs_as_the_product_and_reads_the_tenants_rows(product: Product) -> None:
    product.publish(1)
    queries = QUERY.findall((ROOT / "docs" / "sql.md").read_text(encoding="utf-8"))
    statements = [part.strip() for query in queries for part in query.split(";") if part.strip()]
    assert (statements[0], statements[-1]) == ("begin read only", "commit")
    found = []
    with product.connect("app_rw") as connection:
        for statement in statements:
            cursor = connection.execute(
                statement.replace(":tenant", "%(tenant)s"), {"tenant": product.tenants["acorn"].id}
            )
            found.append(len(cursor.fetchall()) if cursor.description else None)
    # begin, whose, home, publication, days, one month, two features, four rollups that hold nothing here, a window,
    # two features by rank, commit
    assert found == [None, 1, 1, 1, DAYS, 1, 2, 0, 0, 0, 0, 1, 2, None]
