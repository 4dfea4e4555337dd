"""`Authority`: the lab's own certificate authority, so that TLS can be seen, and verified, without anybody's blessing.

    curl --cacert "$FILE" https://localhost:8443/

Each run makes a new one, when it is first needed, and forgets it at the end; its private key is never written down.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING

from lbtutor.core.errors import ConfigError

if TYPE_CHECKING:
    from trustme import CA

_HERE = ("localhost", "127.0.0.1", "::1")
"""The names of this machine; the lab listens nowhere else."""


class Authority:
    """Certifies this machine under its usual names and these (exact, or `*.name`)."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = tuple(dict.fromkeys((*_HERE, *names)))
        self._ca: CA | None = None
        self._path: Path | None = None

    def __repr__(self) -> str:
        return f"<Authority {'unused' if self._path is None else self._path}>"

    @property
    def path(self) -> Path | None:
        """The file with its certificate, for whoever wants to verify what it certified; None while that is nobody."""
        return self._path

    def certify(self, context: SSLContext) -> tuple[str, ...]:
        """Give a server's context a certificate for all the names; they are returned.

        Raises `ConfigError` when one of them cannot be the name of a server.
        """
        from trustme import KeyType

        try:
            certificate = self._opened().issue_cert(*self._names, key_type=KeyType.ECDSA)
        except ValueError as error:
            raise ConfigError(f"no certificate can be made for {', '.join(self._names)}: {error}") from None
        certificate.configure_cert(context)
        return self._names

    def make_trusted(self, context: SSLContext) -> None:
        """Let a client's context believe what this authority certified."""
        self._opened().configure_trust(context)

    def close(self) -> None:
        """Remove the file."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()
            self._path = None

    def _opened(self) -> CA:
        if self._ca is None:
            from trustme import CA, KeyType

            self._ca = CA(organization_name="lbtutor lab", key_type=KeyType.ECDSA)
            with tempfile.NamedTemporaryFile(prefix="lbtutor-authority-", suffix=".pem", delete=False) as file:
                file.write(self._ca.cert_pem.bytes())
            self._path = Path(file.name)
        return self._ca
