"""The app over real HTTP, and tokens for it, good and bad."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from serving.api import create_app
from serving.tokens import ensure_demo_keys, mint_demo_token
from tests.serving.conftest import Product


@contextmanager
def serve(product: Product) -> Iterator[httpx.Client]:
    """The app under uvicorn on a free port."""
    ensure_demo_keys(product.settings)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(product.settings), log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the app did not start"
        time.sleep(0.01)
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=20) as client:
        yield client
    server.should_exit = True
    thread.join()


def bearer(product: Product, slug: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {mint_demo_token(product.settings, product.tenants[slug].id)}"}


def signing_key(product: Product) -> rsa.RSAPrivateKey:
    pem = (product.settings.demo_dir / "jwt_key.pem").read_bytes()
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def token(product: Product, *, key: Any = None, header: dict[str, str] | None = None, **claims: Any) -> str:
    """A token that would be good but for what is given; a claim of None is left out."""
    known = jwt.get_unverified_header(mint_demo_token(product.settings, "x"))["kid"]
    good = {
        "iss": product.settings.serving.issuer,
        "aud": product.settings.serving.audience,
        "tenant_id": product.tenants["acorn"].id,
        "exp": datetime.now(UTC) + timedelta(hours=1),
    }
    kept = {name: value for name, value in (good | claims).items() if value is not None}
    return jwt.encode(kept, key or signing_key(product), algorithm="RS256", headers={"kid": known} | (header or {}))
