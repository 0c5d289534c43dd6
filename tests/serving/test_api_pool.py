"""Connections of the read API: refused at once when full, whole after a loss, nobody's setting for the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from serving.api.postgres import Pool
from serving.api.problems import BusyError, UnavailableError
from serving.api.queries import Query
from tests.serving.conftest import Product

SLOW = Query("slow", "select pg_sleep(0.3)::text || $1::text", 1)
WHO = Query("who", "select current_setting('app.current_tenant_id') || left($1::text, 0) || $2::text", 2)
BACKEND = Query("backend", "select pg_backend_pid()::text || $1::text", 1)


@asynccontextmanager
async def pool(product: Product, *, size: int, queue: int, prepare: bool = True) -> AsyncIterator[Pool]:
    made = Pool(product.settings.serving.reader_dsn, size=size, queue=queue, prepare=prepare)
    try:
        yield made
    finally:
        await made.close()


def test_who_comes_when_the_queue_is_full_is_refused_at_once_and_the_others_are_served(product: Product) -> None:
    async def crowd() -> None:
        async with pool(product, size=1, queue=2) as connections:
            await connections.ask(WHO, ["", ""])
            asked = [asyncio.create_task(connections.ask(SLOW, ["x"])) for _ in range(5)]
            told = await asyncio.gather(*asked, return_exceptions=True)
            # one at work, two that wait
            assert [type(each) for each in told[3:]] == [BusyError, BusyError]
            assert told[:3] == [b"x"] * 3
            assert await connections.ask(WHO, ["t", "!"]) == b"t!"

    asyncio.run(crowd())


def test_a_request_given_up_leaves_the_connection_to_the_next_with_its_own_answer(product: Product) -> None:
    async def given_up() -> None:
        async with pool(product, size=1, queue=4) as connections:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connections.ask(SLOW, ["x"]), 0.1)
            assert await connections.ask(WHO, ["mine", ""]) == b"mine"

    asyncio.run(given_up())


@pytest.mark.parametrize("prepare", [True, False])
def test_a_connection_that_is_cut_is_replaced_unnoticed(product: Product, prepare: bool) -> None:
    async def cut() -> None:
        async with pool(product, size=1, queue=4, prepare=prepare) as connections:
            first = await connections.ask(BACKEND, [""])
            with product.connect("postgres") as admin:
                admin.execute("select pg_terminate_backend(%s)", [int(first or b"0")])
            assert await connections.ask(BACKEND, [""]) != first
            assert connections.connections == 1

    asyncio.run(cut())


def test_a_database_that_is_not_there_is_refused_and_not_waited_for(product: Product) -> None:
    async def nowhere() -> None:
        away = Pool("postgresql://nobody@127.0.0.1:1/none", size=2, queue=4)
        for _ in range(3):
            with pytest.raises(UnavailableError):
                await away.ask(WHO, ["", ""])
        await away.close()

    asyncio.run(nowhere())
