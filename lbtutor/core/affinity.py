"""Affinity: what brings a client back to the backend it had before."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from lbtutor.core.units import Seconds


class Sticky(Struct, frozen=True, forbid_unknown_fields=True):
    """How a pool knows its clients again: by a `cookie` of the balancer's own, or by their address (`source`).

    The cookie is `signed` (opaque: nobody can make one up) or `readable` (the backend's name, for teaching). It lives
    for `ttl` from the last request (`sliding`) or from the first one. `secret` keeps signed cookies valid beyond a
    restart.
    """

    cookie: str = ""
    source: bool = False
    form: Literal["signed", "readable"] = "signed"
    ttl: Seconds = Seconds(1800)
    sliding: bool = True
    secret: str = ""
