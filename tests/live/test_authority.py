from __future__ import annotations

import stat
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER, MemoryBIO, SSLContext, SSLObject, SSLWantReadError

import pytest

from lbtutor.core import ConfigError
from lbtutor.live.authority import Authority


def shake_hands(server: SSLContext, client: SSLContext, name: str) -> SSLObject:
    """The client's side of a handshake in memory."""
    to_server, to_client = MemoryBIO(), MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for end in (*ends, *ends):
        try:
            end.do_handshake()
        except SSLWantReadError:
            continue
    return ends[0]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "shop.example", "www.blog.example"])
def test_what_it_certifies_is_trusted_under_each_name(name: str) -> None:
    authority = Authority(["shop.example", "*.blog.example"])
    server, client = SSLContext(PROTOCOL_TLS_SERVER), SSLContext(PROTOCOL_TLS_CLIENT)
    authority.certify(server)
    authority.make_trusted(client)
    assert shake_hands(server, client, name).version() == "TLSv1.3"
    authority.close()


def test_its_file_holds_its_certificate_and_no_key_and_is_gone_at_the_end() -> None:
    authority = Authority()
    authority.certify(SSLContext(PROTOCOL_TLS_SERVER))
    path = authority.path
    assert path is not None
    assert path.read_text().count("BEGIN") == path.read_text().count("BEGIN CERTIFICATE") == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    authority.close()
    authority.close()
    assert not path.exists()
    assert authority.path is None


def test_it_makes_nothing_until_it_is_needed() -> None:
    assert Authority(["shop.example"]).path is None


def test_it_outlives_the_loss_of_its_file() -> None:
    authority = Authority()
    authority.make_trusted(SSLContext(PROTOCOL_TLS_CLIENT))
    assert authority.path is not None
    Path(authority.path).unlink()
    authority.close()


def test_what_cannot_be_a_name_is_said() -> None:
    authority = Authority(["not a name"])
    with pytest.raises(ConfigError, match=r"no certificate can be made for localhost.*not a name"):
        authority.certify(SSLContext(PROTOCOL_TLS_SERVER))
    authority.close()
