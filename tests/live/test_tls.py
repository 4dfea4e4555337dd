from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from ssl import CERT_NONE, CERT_REQUIRED, OP_NO_RENEGOTIATION, SSLContext

import pytest
from cryptography.hazmat.primitives import serialization
from trustme import CA, KeyType

from lbtutor.core import BackendConfig, ConfigError, ListenerConfig, PoolConfig
from lbtutor.core.listening import BackendTls, Certificate, Tls
from lbtutor.live.authority import Authority
from lbtutor.live.hello import Hello
from lbtutor.live.tls import NO_APPLICATION_PROTOCOL, UNRECOGNIZED_NAME, Beliefs, Declined, Keyring, believing

Issue = Callable[..., Certificate]


@pytest.fixture(scope="module")
def ca() -> CA:
    return CA(key_type=KeyType.ECDSA)


@pytest.fixture
def issue(ca: CA, tmp_path: Path) -> Issue:
    """A certificate for these names, in files."""

    def make(*held: str, names: tuple[str, ...] = ()) -> Certificate:
        leaf = ca.issue_cert(*held, key_type=KeyType.ECDSA)
        number = len(list(tmp_path.iterdir()))
        cert, key = tmp_path / f"{number}.pem", tmp_path / f"{number}.key"
        leaf.cert_chain_pems[0].write_to_path(cert)
        leaf.private_key_pem.write_to_path(key)
        return Certificate(str(cert), str(key), names)

    return make


def keyring(*certificates: Certificate, strict: bool = False, alpn: tuple[str, ...] | None = None) -> Keyring:
    tls = Tls(certificates=certificates, strict=strict, alpn=alpn)
    return Keyring(ListenerConfig("front", tls=tls), Authority())


def asks(ring: Keyring, name: str, *alpn: str) -> SSLContext | Declined:
    return ring.answer(Hello(name, alpn))


def test_the_exact_name_goes_before_a_wildcard_and_a_wildcard_before_the_first(issue: Issue) -> None:
    ring = keyring(issue("first.example"), issue("*.shop.example"), issue("www.shop.example"))
    first, wild, exact = asks(ring, "first.example"), asks(ring, "eu.shop.example"), asks(ring, "www.shop.example")
    assert len({first, wild, exact}) == 3
    assert asks(ring, "elsewhere.example") is first
    assert asks(ring, "") is first


def test_a_wildcard_stands_for_one_label(issue: Issue) -> None:
    ring = keyring(issue("*.shop.example"), strict=True)
    assert isinstance(asks(ring, "www.shop.example"), SSLContext)
    assert isinstance(asks(ring, "a.b.shop.example"), Declined)
    assert isinstance(asks(ring, "shop.example"), Declined)


def test_names_are_alike_whatever_their_case_and_final_dot(issue: Issue) -> None:
    ring = keyring(issue("first.example"), issue("elsewhere.example", names=("Shop.Example.",)))
    assert asks(ring, "SHOP.example") is asks(ring, "shop.example.") is not asks(ring, "first.example")


def test_names_that_are_given_count_instead_of_those_in_the_certificate(issue: Issue) -> None:
    ring = keyring(issue("held.example", names=("given.example",)), strict=True)
    assert isinstance(asks(ring, "given.example"), SSLContext)
    assert isinstance(asks(ring, "held.example"), Declined)


def test_of_two_certificates_for_one_name_the_first_in_the_file_counts(issue: Issue) -> None:
    ring = keyring(issue("a.example"), issue("a.example", "b.example"))
    assert asks(ring, "a.example") is not asks(ring, "b.example")


def test_a_strict_door_declines_clients_without_a_name_or_with_an_unknown_one(issue: Issue) -> None:
    ring = keyring(issue("a.example"), strict=True)
    for name in ("", "b.example"):
        answer = asks(ring, name)
        assert isinstance(answer, Declined)
        assert answer.alert == UNRECOGNIZED_NAME


def test_a_client_that_offers_only_other_protocols_is_declined(issue: Issue) -> None:
    ring = keyring(issue("a.example"))
    answer = asks(ring, "a.example", "h2", "spdy/3")
    assert isinstance(answer, Declined)
    assert answer.alert == NO_APPLICATION_PROTOCOL
    assert isinstance(asks(ring, "a.example", "h2", "http/1.1"), SSLContext)
    assert isinstance(asks(ring, "a.example"), SSLContext)


def test_where_connections_are_passed_on_unread_no_protocol_is_declined(issue: Issue) -> None:
    tls = Tls(certificates=(issue("a.example"),))
    ring = Keyring(ListenerConfig("front", mode="tcp", tls=tls), Authority())
    assert isinstance(asks(ring, "a.example", "h2"), SSLContext)


def test_a_certificate_without_names_of_its_own_is_for_nobody_but_the_nameless(issue: Issue) -> None:
    ring = keyring(issue("someone@mail.example"), strict=True)
    assert isinstance(asks(ring, "mail.example"), Declined)


@pytest.mark.parametrize(
    ("cert", "key", "says"),
    [
        ("missing.pem", "good.key", "listener front: cannot read {folder}/missing.pem: no such file or directory"),
        ("good.pem", "missing.key", "listener front: cannot read {folder}/missing.key: no such file or directory"),
        ("good.pem", "other.key", "listener front: cannot use {folder}/good.pem with {folder}/other.key: key values"),
        ("good.pem", "locked.key", "listener front: cannot use {folder}/good.pem with {folder}/locked.key: not"),
        ("garbage.pem", "good.key", "listener front: cannot use {folder}/garbage.pem with {folder}/good.key: "),
    ],
)
def test_a_file_of_no_use_is_named_with_the_reason(ca: CA, tmp_path: Path, cert: str, key: str, says: str) -> None:
    good, other = (ca.issue_cert("a.example", key_type=KeyType.ECDSA) for _ in range(2))
    good.cert_chain_pems[0].write_to_path(tmp_path / "good.pem")
    good.private_key_pem.write_to_path(tmp_path / "good.key")
    other.private_key_pem.write_to_path(tmp_path / "other.key")
    (tmp_path / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----\nnot really\n-----END CERTIFICATE-----\n")
    unlocked = serialization.load_pem_private_key(good.private_key_pem.bytes(), None)
    (tmp_path / "locked.key").write_bytes(
        unlocked.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigError) as caught:
        keyring(Certificate(str(tmp_path / cert), str(tmp_path / key)))
    assert str(caught.value).startswith(says.format(folder=tmp_path))


def test_clients_cannot_ask_for_one_handshake_after_another_on_a_connection(issue: Issue) -> None:
    context = asks(keyring(issue("a.example")), "a.example")
    assert isinstance(context, SSLContext)
    assert context.options & OP_NO_RENEGOTIATION


def test_a_door_that_passes_tls_on_has_no_keyring() -> None:
    with pytest.raises(ConfigError, match="does not end TLS"):
        Keyring(ListenerConfig("front", mode="tcp", tls=Tls(passthrough=True)), Authority())


def test_servers_are_verified_unless_the_pool_says_otherwise(tmp_path: Path) -> None:
    assert believing(BackendTls(), "pool web", None).verify_mode is CERT_REQUIRED
    careless = believing(BackendTls(verify=False), "pool web", None)
    assert (careless.verify_mode, careless.check_hostname) == (CERT_NONE, False)


@pytest.mark.parametrize(
    ("tls", "says"),
    [
        (BackendTls(ca="/nowhere/ca.pem"), "pool web: cannot read /nowhere/ca.pem: no such file"),
        (BackendTls(ca=__file__), "pool web: cannot use "),
        (BackendTls(name="."), "pool web: tls: '.' is not the name of a server"),
    ],
)
def test_words_of_a_pool_that_are_of_no_use_are_said(tls: BackendTls, says: str) -> None:
    pool = PoolConfig("web", backends=(BackendConfig("a", address="127.0.0.1:1"),), tls=tls)
    with pytest.raises(ConfigError) as caught:
        Beliefs((pool,), Authority())
    assert str(caught.value).startswith(says)


def test_the_name_that_is_expected_is_the_pools_or_the_host() -> None:
    backends = (BackendConfig("a", address="127.0.0.1:1"),)
    pools = [
        PoolConfig(name, backends=backends, tls=tls)
        for name, tls in (("named", BackendTls(name="inner.example")), ("unnamed", BackendTls()), ("plain", None))
    ]
    beliefs = Beliefs(pools, Authority())
    named, unnamed = (beliefs.about(pool, "127.0.0.1:1", "127.0.0.1") for pool in ("named", "unnamed"))
    assert named is not None
    assert named.name == "inner.example"
    assert unnamed is not None
    assert unnamed.name == "127.0.0.1"
    assert beliefs.about("plain", "127.0.0.1:1", "127.0.0.1") is None


def test_what_was_believed_of_a_pool_that_is_gone_is_remembered() -> None:
    pool = PoolConfig("web", backends=(BackendConfig("a", address="127.0.0.1:1"),), tls=BackendTls())
    now = Beliefs((PoolConfig("other"),), Authority())
    now.remember(Beliefs((pool,), Authority()))
    assert now.about("web", "127.0.0.1:1", "a.example") is not None
    assert now.about("other", "", "") is None


def test_nobody_who_needs_no_certificates_waits_for_what_makes_them() -> None:
    script = (
        "import sys, lbtutor.live.run; print([name for name in ('trustme', 'cryptography') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
