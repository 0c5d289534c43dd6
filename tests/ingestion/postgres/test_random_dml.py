"""Whatever a product writes, in whatever order, and whenever a pass is killed: raw equals the source after every pass.

``TAILRACE_TEST_SEEDS=200`` plays the seeds 0 to 199, ``TAILRACE_TEST_SEEDS=57-57`` that one alone. A history that fails
is cut down, for ``TAILRACE_TEST_SHRINK_SECONDS`` (60) at most, and printed.
"""

# ruff: noqa: S608 - the statements are the tests' own

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from tests.ingestion.postgres.history import IDENTITIES, Author, Step, play, shortest
from tests.seeds import seeds


@pytest.mark.parametrize("seed", seeds(4))
def test_random_writes_and_killed_passes_leave_raw_equal_to_the_source(product_for_a_while: Any, seed: int) -> None:
    identity = IDENTITIES[seed % len(IDENTITIES)]

    def failure(steps: Sequence[Step]) -> Exception | None:
        with product_for_a_while() as product:
            try:
                play(product, steps, identity=identity)
            except Exception as error:
                return error
        return None

    steps = Author(seed).history(passes=5, writes=60)
    found = failure(steps)
    if found is not None:
        seconds = float(os.environ.get("TAILRACE_TEST_SHRINK_SECONDS", "60"))
        alike = shortest(steps, lambda fewer: type(failure(fewer)) is type(found), seconds=seconds)
        written = "\n".join(map(str, alike))
        pytest.fail(f"seed {seed}, replica identity {identity}: {type(found).__name__}: {found}\n{written}")


@pytest.mark.operations
def test_the_same_history_in_batches_of_any_size_gives_the_same_rows(new_product: Any) -> None:
    steps = [step for step in Author(7).history(passes=3, writes=40) if step.kind not in ("pass", "meanwhile", "kill")]
    states = []
    for batch in (4, 60, 250_000):
        product = new_product()
        product.sync()
        play(product, steps, batch=batch)
        columns = "tenant_id, id, n, amount, cost, big, done, due_on, score, _ab_cdc_deleted_at is null"
        schema = "split_part(_airbyte_meta->>'origin', '.', 2)"
        states.append(product.raw(f"select {columns}, {schema} from raw_app.items order by all"))
    assert repr(states[0]) == repr(states[1]) == repr(states[2])
