"""An intercepting proxy: what a client sends to one https host goes to a local server instead, byte for byte.

Of what comes back the name ``Content-Type`` alone is written as the real ones write it: the connectors' library looks
for it in lower case, finds it only if a server writes it so, and fails then.
"""

from __future__ import annotations

import datetime
import select
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Proxy:
    """``url`` for HTTPS_PROXY, ``authority`` the certificate that the client must trust. Other hosts are refused.

    ``asked`` are the hosts that were asked for.
    """

    def __init__(self, host: str, target: str, home: Path) -> None:
        where = urlsplit(target)
        assert where.port is not None
        self._host, self._target = host, ("127.0.0.1", where.port)
        self._context, self.authority = _certificate(host, home)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked: set[str] = set()
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                some = client.recv(4096)
                if not some:
                    return
                head += some
            host = head.split(b" ", 2)[1].decode("latin-1").rpartition(":")[0]
            self.asked.add(host)
            if host != self._host:
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            try:
                with self._context.wrap_socket(client, server_side=True) as inner:
                    with socket.create_connection(self._target) as server:
                        _pump(inner, server)
            except OSError:  # whoever is at the other end ended it
                return


def _pump(client: ssl.SSLSocket, server: socket.socket) -> None:
    while True:
        ready: list[socket.socket] = [client] if client.pending() else select.select([client, server], [], [])[0]
        for one in ready:
            some = one.recv(65536)
            if not some:
                return
            if one is client:
                server.sendall(some)
            else:
                client.sendall(some.replace(b"\r\ncontent-type: ", b"\r\nContent-Type: "))


def _certificate(host: str, home: Path) -> tuple[ssl.SSLContext, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = home / "certificate.pem", home / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return context, certificate
