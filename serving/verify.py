"""Whether the hashes of what is published say what stands, or somebody else has written there."""

from __future__ import annotations

from serving import ddl, rowcopy, slices, versions
from warehouse import quote

Cursor = ddl.Cursor


def correct_hashes(cursor: Cursor, rollup: slices.Rollup) -> int:
    """Read a published table back, hash it, and set right the hashes of parts that stand otherwise; how many parts.

    The rows themselves are then for the publish to mend: they differ from the warehouse's.
    """
    contract = rollup.contract
    columns = ", ".join(f"{rowcopy.typed(column)} as {quote(column.name)}" for column in contract.columns)
    with rowcopy.text_out(cursor, cursor.home.table(contract.name), contract.columns) as rows:
        rollup.connection.register("standing_rows", rows)
        rollup.connection.execute(
            f"create or replace temp table standing_table as select {columns} from standing_rows"  # noqa: S608
        )
        rollup.connection.unregister("standing_rows")
    standing = slices.Rollup(
        connection=rollup.connection, contract=contract, relation="temp.standing_table", alias="standing"
    )
    tenants = standing.measure()
    touched = standing.touched(versions.stored_parts(cursor, contract), tenants)
    if touched:
        standing.hash_touched(touched)
        standing.compare(versions.stored_slices(cursor, contract, touched))
        versions.make_room(cursor, contract)
        with rowcopy.ahead(standing.parts_touched(), slices.PART_ARRAYS) as parts:
            versions.replace_parts(cursor, contract, touched, parts)
    rollup.connection.execute("drop table temp.standing_table")
    return len(touched)
