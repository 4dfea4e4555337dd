"""`Doors`: which listeners are open, and how one set of them becomes another.

    opening = doors.prepare(configs)     # opens what is new; may fail, and has then changed nothing
    doors.commit(opening)                # cannot fail: the new ones accept, those left out close

A listener is told from another by its name, its configuration, and the files that this names (certificates): one that
stayed the same is not touched. If only its address stayed the same, its socket stays too, and whoever knocks from now
on is received by the new rules. Nobody is turned away and nobody is cut off: connections that are open keep the rules
under which they came, and each ends with the next answer, which says so. Where only certificates were renewed, there
is no reason for that: connections live on, and whoever comes next is shown the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lbtutor.core.events import Event, HandshakeFailed
from lbtutor.core.listening import ListenerConfig
from lbtutor.live.addresses import Address
from lbtutor.live.authority import Authority
from lbtutor.live.l4 import TcpFront
from lbtutor.live.l7 import Front
from lbtutor.live.server import Door, listening_socket
from lbtutor.live.shell import Guest, Shell
from lbtutor.live.termination import Termination
from lbtutor.live.tls import Keyring
from lbtutor.live.udp import UdpDoor, UdpFront, datagram_socket
from lbtutor.live.upstream import Upstreams

Stamp = tuple[int, int, int] | None
"""What tells one version of a file from another: when it was written, its size and its inode; None without a file."""


AnyDoor = Door | UdpDoor

AnyFront = Front | TcpFront | UdpFront

_FRONTS: dict[str, type[Front] | type[TcpFront] | type[UdpFront]] = {"http": Front, "tcp": TcpFront, "udp": UdpFront}
"""Who receives those that come, by what is spoken there."""


class Doorway:
    """One listener: its rules, its door, and who receives those that come through it."""

    def __init__(self, config: ListenerConfig, door: AnyDoor, front: AnyFront, connection: Callable[[], Any]) -> None:
        self.config = config
        self.door = door
        self.front = front
        self.connection = connection
        self._stamps = _stamps(config)

    def __repr__(self) -> str:
        return f"<Doorway {self.config.name} at {self.door.address}>"

    def is_as(self, config: ListenerConfig) -> bool:
        """Nothing about it would change with this configuration."""
        return self.config == config and self._stamps == _stamps(config)


class Opening:
    """The doorways that are to be, and what to undo if they are not to be after all."""

    def __init__(self, doorways: Mapping[str, Doorway], undo: ExitStack) -> None:
        self.doorways = doorways
        self._undo = undo

    def __repr__(self) -> str:
        return f"<Opening {list(self.doorways.values())}>"

    @property
    def addresses(self) -> dict[str, Address]:
        """Where each listener is bound."""
        return {name: doorway.door.address for name, doorway in self.doorways.items()}

    def renewed(self, before: Mapping[str, Doorway]) -> list[str]:
        """The listeners that are as they were `before`, but for what is in their files."""
        return [
            name
            for name, doorway in self.doorways.items()
            if name in before and doorway is not before[name] and doorway.config == before[name].config
        ]

    def abandon(self) -> None:
        """Close what was opened for it."""
        self._undo.close()

    def settle(self) -> None:
        """It came true; there is nothing to undo."""
        self._undo.pop_all()


class Doors:
    """The listeners of a run."""

    def __init__(self, shell: Shell, upstreams: Upstreams, authority: Authority, tell: Callable[[Event], None]) -> None:
        self._authority = authority
        self._tell = tell
        self._shell = shell
        self._upstreams = upstreams
        self.open: Mapping[str, Doorway] = {}
        self._retired: list[AnyFront] = []

    def __repr__(self) -> str:
        return f"<Doors {list(self.open.values())}>"

    @property
    def addresses(self) -> dict[str, Address]:
        """Where each listener is bound."""
        return {name: doorway.door.address for name, doorway in self.open.items()}

    @property
    def fronts(self) -> Iterator[AnyFront]:
        """Those that receive, and those that have only guests left from before."""
        yield from (doorway.front for doorway in self.open.values())
        yield from self._retired

    @property
    def connections(self) -> dict[str, int]:
        """How many came through each listener and are still here."""
        counts = dict.fromkeys(self.open, 0)
        for front in self.fronts:
            counts[front.config.name] = counts.get(front.config.name, 0) + len(front.connections)
        return counts

    def guests(self) -> Iterator[Guest]:
        """Everybody who has a request under way."""
        for front in self.fronts:
            yield from front.guests

    @property
    def busy(self) -> bool:
        """Somebody who came through a door is still here."""
        return any(front.connections for front in self.fronts)

    def prepare(self, configs: Iterable[ListenerConfig]) -> Opening:
        """The doorways for `configs`; new sockets are bound, and accept nobody yet.

        Raises `EnvironmentFault` when an address cannot be had and `ConfigError` when a listener's files cannot be
        read; everything is then as it was.
        """
        with ExitStack() as undo:
            wanted = {config.name: config for config in configs}
            free = self._doors_to_reuse(wanted)
            doorways = {name: self._doorway(config, free, undo) for name, config in wanted.items()}
            return Opening(doorways, undo.pop_all())

    def commit(self, opening: Opening) -> None:
        """Open the new doors, and then close those that are not among them."""
        before, self.open = self.open, opening.doorways
        opening.settle()
        for doorway in self.open.values():
            doorway.door.open(doorway.connection)
        self._retired = [front for front in self._retired if front.connections]
        stays = {id(thing) for doorway in self.open.values() for thing in (doorway.door, doorway.front)}
        for doorway in before.values():
            if id(doorway.door) not in stays:
                doorway.door.retire()
            if id(doorway.front) not in stays:
                doorway.front.retire()
                self._retired.append(doorway.front)  # it may still be given those who stood in the queue

    def close(self) -> None:
        """Accept no more."""
        for doorway in self.open.values():
            doorway.door.close()

    def drain(self) -> None:
        """Accept no more, and let everybody leave."""
        self.close()
        for front in self.fronts:
            front.drain()

    def abort(self) -> None:
        """Accept no more, and show everybody out now."""
        self.close()
        for front in self.fronts:
            front.abort()

    def _doorway(self, config: ListenerConfig, free: dict[str, AnyDoor], undo: ExitStack) -> Doorway:
        was = self.open.get(config.name)
        if was is not None and was.is_as(config):
            return was
        renewed = was is not None and was.config == config
        front = was.front if was is not None and renewed else self._front(config)
        connection = self._reception(front)
        door = free.pop(config.name, None)
        if door is None:
            door = self._door(config)
            undo.callback(door.close)
        return Doorway(config, door, front, connection)

    def _front(self, config: ListenerConfig) -> AnyFront:
        return _FRONTS[config.mode](config, self._shell, self._upstreams)

    def _door(self, config: ListenerConfig) -> AnyDoor:
        of = f"listener {config.name}"
        address = Address.parse(config.at, of)
        if config.mode == "udp":
            return UdpDoor(self._shell.loop, datagram_socket(address, of))
        return Door(self._shell.loop, listening_socket(address, of))

    def _reception(self, front: AnyFront) -> Callable[[], Any]:
        """What an accepted connection meets first: TLS, where it ends here, and then whoever serves."""
        tls = front.config.tls
        if tls is None or tls.passthrough or isinstance(front, UdpFront):
            return front.connection
        clock, name = self._shell.clock, front.config.name
        return Termination(
            Keyring(front.config, self._authority),
            clock,
            tls.handshake_timeout,
            front.connection,
            front.connections,
            announced=front.config.accept_proxy,
            tell=lambda client, because: self._tell(HandshakeFailed(clock.now, name, client, because)),
        ).connection

    def _doors_to_reuse(self, wanted: Mapping[str, ListenerConfig]) -> dict[str, AnyDoor]:
        """For each listener that changes, the door that is open where it wants to be: its own, or another's."""
        by_name = {name: was.door for name, was in self.open.items() if _moves_in(wanted.get(name), was)}
        left = [was for name, was in self.open.items() if name not in by_name]
        by_place = {config.at: was.door for was in left for config in wanted.values() if _moves_in(config, was)}
        others = {
            name: by_place.pop(config.at)
            for name, config in wanted.items()
            if name not in by_name and config.at in by_place and not config.at.endswith(":0")
        }
        return by_name | others


def _moves_in(config: ListenerConfig | None, was: Doorway) -> bool:
    """The new listener can have the old one's socket: it wants the same words, or the port that port 0 has become."""
    if config is None or (config.mode == "udp") != (was.config.mode == "udp"):
        return False
    return config.at in (was.config.at, str(was.door.address))


def _stamps(config: ListenerConfig) -> tuple[Stamp, ...]:
    return tuple(map(stamp_of, files_of(config)))


def files_of(config: ListenerConfig) -> tuple[str, ...]:
    """The files that a listener is made from."""
    certificates = () if config.tls is None else config.tls.certificates
    return tuple(path for certificate in certificates for path in (certificate.cert, certificate.key))


def stamp_of(path: Path | str) -> Stamp:
    """Which version of a file is there now."""
    try:
        about = Path(path).stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino
