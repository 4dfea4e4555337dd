"""Who the balancer is to its clients, and whom it believes behind it: TLS contexts, made from files and words.

A door has a `Keyring`. Which certificate a client gets is decided from its first message, before any handshake:

    the name it asks for        a certificate for exactly that name, else one for `*.` and all after its first dot
    no name, an unknown one     the first one; with `strict`, alert unrecognized_name (RFC 6066, section 3)
    protocols it offers         one of the door's, else alert no_application_protocol (RFC 7301, section 3.2)

That a request's `Host` is the name that was asked for is not checked. A name here chooses a certificate and grants
nothing, for no door asks clients for certificates of their own; so no request has to be answered 421 (NGINX does that
only between servers that verify clients differently).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from ssl import (
    CERT_NONE,
    OP_NO_RENEGOTIATION,
    PROTOCOL_TLS_CLIENT,
    PROTOCOL_TLS_SERVER,
    AlertDescription,
    MemoryBIO,
    SSLCertVerificationError,
    SSLContext,
    SSLError,
    TLSVersion,
)
from typing import NamedTuple

from lbtutor.core.errors import ConfigError
from lbtutor.core.listening import BackendTls, Certificate, ListenerConfig, Tls, TlsVersion
from lbtutor.core.pool import PoolConfig
from lbtutor.live.addresses import cause_of
from lbtutor.live.authority import Authority
from lbtutor.live.hello import Hello

UNRECOGNIZED_NAME = int(AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
NO_APPLICATION_PROTOCOL = 120

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: only those with forward secrecy and authenticated encryption (RFC 9325, 4.2). TLS 1.3 has no others."""

_VERSIONS: dict[TlsVersion, TLSVersion] = {"1.2": TLSVersion.TLSv1_2, "1.3": TLSVersion.TLSv1_3}

_HTTP = ("http/1.1",)

_Identity = tuple[SSLContext, tuple[str, ...]]
"""A context with a certificate, and the names that it is for."""


class Declined(NamedTuple):
    """A client that is not served: the alert that tells it so, and why."""

    alert: int
    because: str


class Expected(NamedTuple):
    """Whom we expect at the other end: a context that says whom it believes, and the name that must be theirs."""

    context: SSLContext
    name: str


class Keyring:
    """The certificates of a door, read from their files once.

    Raises `ConfigError` that names the listener and the file which is of no use, and says why.
    """

    def __init__(self, listener: ListenerConfig, authority: Authority) -> None:
        tls, of = listener.tls, f"listener {listener.name}"
        if tls is None or tls.passthrough:
            raise ConfigError(f"{of} does not end TLS, so it needs no certificates")
        self.protocols = tls.alpn if tls.alpn is not None else _HTTP if listener.mode == "http" else ()
        self._strict = tls.strict
        self._identities = tuple(_identities(tls, of, authority))
        self._contexts: dict[str, SSLContext] = {}
        for context, names in self._identities:
            if self.protocols:
                context.set_alpn_protocols(list(self.protocols))
            for name in names:
                self._contexts.setdefault(_plain(name), context)

    def __repr__(self) -> str:
        return f"<Keyring for {', '.join(self._contexts) or 'any name'}>"

    def answer(self, hello: Hello) -> SSLContext | Declined:
        """How to go on with a client that begins so."""
        context = self._context_for(_plain(hello.server_name))
        if context is None:
            return Declined(UNRECOGNIZED_NAME, "a name without a certificate")
        if self.protocols and hello.alpn and not set(self.protocols).intersection(hello.alpn):
            return Declined(NO_APPLICATION_PROTOCOL, "none of its protocols is spoken here")
        return context

    def _context_for(self, name: str) -> SSLContext | None:
        contexts = self._contexts
        known = contexts.get(name) or contexts.get(f"*.{name.partition('.')[2]}")
        return known if known is not None or self._strict else self._identities[0][0]


class Beliefs:
    """What connections to the members of pools believe. Raises `ConfigError` when the words of a pool are of no use."""

    def __init__(self, pools: Iterable[PoolConfig], authority: Authority) -> None:
        pools = tuple(pools)
        self._authority = authority
        self._contexts: dict[tuple[str, bool], SSLContext] = {}
        self._tls = {pool.name: pool.tls for pool in pools}
        for pool in pools:
            for backend in pool.backends:
                self.about(pool.name, backend.address, "")

    def __repr__(self) -> str:
        return f"<Beliefs about {', '.join(pool for pool, tls in self._tls.items() if tls is not None) or 'nobody'}>"

    def about(self, pool: str, address: str, host: str) -> Expected | None:
        """Whom to expect at `host`, where that member of a pool is; None where nothing is encrypted.

        A member without an `address` is a machine of the lab.
        """
        tls = self._tls[pool]
        if tls is None:
            return None
        key = pool, not address
        if key not in self._contexts:
            self._contexts[key] = believing(tls, f"pool {pool}", None if address else self._authority)
        return Expected(self._contexts[key], tls.name or host)

    def remember(self, former: Beliefs) -> None:
        """Pools that are no more may still have requests."""
        self._tls = former._tls | self._tls


def believing(tls: BackendTls, of: str, authority: Authority | None) -> SSLContext:
    """A context for connections to servers; `authority` is the lab's, where the server is one of its machines.

    Raises `ConfigError` that names `of`, whose servers they are, when the words are of no use.
    """
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.set_alpn_protocols(list(_HTTP))
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = CERT_NONE
    elif tls.ca:
        with _loading(of, tls.ca):
            context.load_verify_locations(tls.ca)
    elif authority is not None:
        authority.make_trusted(context)
    else:
        context.load_default_certs()
    if tls.name:
        _check_name(context, tls.name, of)
    return context


def _identities(tls: Tls, of: str, authority: Authority) -> Iterator[_Identity]:
    for certificate in tls.certificates:
        context = _serving(tls.min_version)
        with _loading(of, certificate.cert, certificate.key):
            context.load_cert_chain(certificate.cert, certificate.key, password="")  # so that nobody is asked for it
        yield context, certificate.names or _names_in(certificate, of)
    if tls.auto:
        context = _serving(tls.min_version)
        yield context, authority.certify(context)


def _serving(min_version: TlsVersion) -> SSLContext:
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[min_version]
    context.set_ciphers(_CIPHERS)
    context.options |= OP_NO_RENEGOTIATION
    return context


def _names_in(certificate: Certificate, of: str) -> tuple[str, ...]:
    """The DNS names in a certificate's subject alternative names; the common name has not counted since RFC 9525."""
    from cryptography import x509

    try:
        leaf = x509.load_pem_x509_certificate(Path(certificate.cert).read_bytes())
        held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{of}: cannot read the names in {certificate.cert}: {error}") from None
    return tuple(held.get_values_for_type(x509.DNSName))


def _plain(name: str) -> str:
    """Names are alike whatever their case, and with or without the final dot."""
    return name.lower().removesuffix(".")


@contextmanager
def _loading(of: str, *files: str) -> Iterator[None]:
    """What goes wrong with files is the configuration's fault, and is said in its words."""
    try:
        yield
    except SSLError as error:
        because = trouble_of(error) if error.reason else "not a PEM file, or one that is locked with a password"
        raise ConfigError(f"{of}: cannot use {' with '.join(files)}: {because}") from None
    except OSError as error:
        unreadable = next((file for file in files if not Path(file).is_file()), files[0])
        raise ConfigError(f"{of}: cannot read {unreadable}: {cause_of(error)}") from None


def _check_name(context: SSLContext, name: str, of: str) -> None:
    try:
        context.wrap_bio(MemoryBIO(), MemoryBIO(), server_hostname=name)
    except ValueError as error:
        raise ConfigError(f"{of}: tls: {name!r} is not the name of a server: {error}") from None


def trouble_of(error: SSLError) -> str:
    """Why a handshake failed, in words a sentence can end with."""
    if isinstance(error, SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}"
    return (error.reason or str(error)).lower().replace("_", " ")
