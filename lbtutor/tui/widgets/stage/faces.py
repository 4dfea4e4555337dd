"""What is written at a server, at a client and on a lane where nothing moves: lines of text in columns that stay put.

What the balancer believes (`UP`, `down 2/3`) and what is true of the machine (`machine: crashed`) stand side by side:
the balancer has not been told, and the requests lost in between are the lesson.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from lbtutor.core.events import OriginChanged
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.widgets.stage.layout import Layout, Post
from lbtutor.tui.widgets.stage.scene import Scene, Server

Style = Literal[
    "text", "quiet", "wire", "box", "next", "selected", "up", "warn", "down", "request", "reply", "failed", "probe"
]
"""How a cell looks; the widget has a component class for each: `stage--up` and so on."""

_COUNTER_WIDTH = len("down 2/3")


class Piece(NamedTuple):
    """Text in one style."""

    text: str
    style: Style


Line = tuple[Piece, ...]


class State(NamedTuple):
    """A state as glyph, word and style: any one of them tells it."""

    glyph: str
    word: str
    style: Style


def state_of(server: Server, glyphs: Glyphs) -> State:
    """What the balancer believes; the operator's wish stands above the probes' word, and that above the answers'."""
    if server.disabled:
        return State(glyphs.maintenance, "MAINT", "quiet")
    if server.draining:
        return State(glyphs.draining, "DRAINED" if server.drained else "DRAIN", "warn")
    if server.health == "down":
        return State(glyphs.down, "DOWN", "down")
    if server.health == "unchecked":
        return State(glyphs.unchecked, "UNCHECKED", "quiet")
    if server.ejected:
        return State(glyphs.ejected, "EJECT", "down")
    return State(glyphs.failing, "UP", "warn") if server.count else State(glyphs.up, "UP", "up")


def counter_of(server: Server) -> str:
    """How far the probes have come towards a change: "down 2/3", "up 1/2", or nothing."""
    return f"{server.towards} {server.count}/{server.needed}" if server.count and not server.disabled else ""


def names_of(scene: Scene, glyphs: Glyphs) -> dict[str, str]:
    """The server's names as shown: with the pool when there are several, with the weight when it is not 1."""
    several = len({server.pool for server in scene.servers.values()}) > 1
    return {
        label: (label if several else server.name) + ("" if server.weight == 1 else f" {glyphs.times}{server.weight:g}")
        for label, server in scene.servers.items()
    }


def truth_of(machine: OriginChanged | None, glyphs: Glyphs) -> str:
    """What is wrong with the machine itself, in a word or two; empty while it is well."""
    if machine is None:
        return ""
    if machine.fault == "slow":
        return f"{machine.amount:g}{glyphs.times} slower"
    if machine.fault == "error":
        return f"errs {machine.amount:.0%}"
    return {"crash": "crashed", "hang": "hangs", "refuse": "refuses"}.get(machine.fault, machine.fault)


class Faces:
    """Writes the lines of one layout; `bar_top` is how many requests in flight fill a server's bar."""

    def __init__(self, layout: Layout, glyphs: Glyphs) -> None:
        self._layout = layout
        self._glyphs = glyphs
        self._wordy = layout.form.name == "wide"
        self._small = layout.form.name == "small"

    def server(self, post: Post, scene: Scene, *, key: str, selected: bool, bar_top: int) -> list[Line]:
        """The lines of a server's panel: as many as the post has rows."""
        if len(post.members) > 1:
            return [self._group([scene.servers[label] for label in post.members])]
        server = scene.servers[post.label]
        name = names_of(scene, self._glyphs)[post.label]
        truth = truth_of(scene.machines.get(post.label), self._glyphs)
        head = self._head(name, server, selected=selected, short=self._small or post.rows == 1)
        load = self._load(server, key, bar_top, short=self._small or (bool(truth) and post.rows == 2))
        picked, failures = self._picked(server), self._failures(server)
        if post.rows == 1:
            troubles = _troubles(failures, truth)
            return [self._across(head, [*_joined(troubles, picked), *troubles, *picked])]
        if post.rows == 2:
            return [self._across(head, picked), self._across(load, _troubles(failures, truth))]
        machine = (Piece(f"  machine: {truth}", "warn"),) if truth else ()
        return [self._across(head, picked), self._across(load, failures), machine]

    def client(self, post: Post, number: int, unlisted: int) -> list[Line]:
        """A client's number and address, or how many share the place (with those that are not even listed)."""
        if len(post.members) > 1:
            count = len(post.members) + unlisted
            return [(Piece(f"+{count}" if self._small else f"+{count} more", "quiet"),)]
        name = Piece(f"c{number}" if self._small else f"client {number}", "text")
        lines: list[Line] = [(name,), (Piece("" if self._small else self._address(post.label), "quiet"),)]
        return lines[: post.rows]

    def server_lanes(self, post: Post, scene: Scene) -> tuple[Line, Line]:
        """In place of dots, out and back: what is under way to these servers, and what came back."""
        servers = [scene.servers[label] for label in post.members]
        in_flight = sum(len(server.open) for server in servers)
        ok, failed = sum(server.answered for server in servers), sum(server.failed for server in servers)
        probing = Piece(f" {self._glyphs.probe}" if any(server.probing for server in servers) else "", "probe")
        return (*self._outward(in_flight, "in flight", post), probing), self._homeward(ok, failed, post)

    def client_lanes(self, post: Post, scene: Scene) -> tuple[Line, Line]:
        """In place of dots, out and back: what these clients sent, and how it ended."""
        clients = [scene.clients[label] for label in post.members] + ([scene.others] if len(post.members) > 1 else [])
        ok, failed = sum(client.answered for client in clients), sum(client.failed for client in clients)
        return self._outward(sum(client.sent for client in clients), "sent", post), self._homeward(ok, failed, post)

    def _address(self, address: str) -> str:
        """Its end if it is too long: addresses differ there."""
        room = self._layout.form.clients - 1
        return address if len(address) <= room else self._glyphs.dots + address[1 - room :]

    def _head(self, name: str, server: Server, *, selected: bool, short: bool) -> Line:
        """Glyph, name, state and counter; the counter takes the word's place where there is no room for both."""
        state, counter, width = state_of(server, self._glyphs), counter_of(server), self._layout.names
        word = counter or state.word if short else f"{state.word:<5} {counter}".rstrip()
        shown = name if len(name) <= width else name[: width - 1] + self._glyphs.dots
        return (
            Piece(f"{state.glyph} ", state.style),
            Piece(shown, "selected" if selected else "text"),
            Piece(" " * (width - len(shown) + 1) + f"{word:<{_COUNTER_WIDTH}}", state.style),
        )

    def _load(self, server: Server, key: str, bar_top: int, *, short: bool) -> Line:
        cells = self._layout.form.bar
        in_flight = len(server.open)
        filled = min(cells, -(-in_flight * cells // bar_top))
        return (
            Piece(f"{key:<2}", "quiet"),
            Piece(self._glyphs.full * filled, "request"),
            Piece(self._glyphs.empty * (cells - filled), "wire"),
            Piece(f" {in_flight}" if short else f" {in_flight} in flight", "text"),
        )

    def _group(self, servers: Sequence[Server]) -> Line:
        """Several servers in one line: how many of them are available, and what they got together."""
        available = sum(server.available for server in servers)
        left = (
            Piece(f"+{len(servers)} more  ", "text"),
            Piece(f"{self._glyphs.up} {available} ", "up"),
            Piece(f"{self._glyphs.down} {len(servers) - available}", "down"),
        )
        return self._across(left, [(Piece(f"{sum(server.picked for server in servers)}", "text"),)])

    def _picked(self, server: Server) -> list[Line]:
        number = Piece(f"{server.picked}", "text")
        return [(number, Piece(" picked", "quiet")), (number,)] if self._wordy else [(number,)]

    def _failures(self, server: Server) -> list[Line]:
        if not server.failed:
            return []
        return [
            (Piece(f"{server.failed} failed", "failed"),),
            (Piece(f"{self._glyphs.failed}{server.failed}", "failed"),),
        ]

    def _across(self, left: Line, rights: Iterable[Line]) -> Line:
        """`left`, then the first of `rights` that fits, at the panel's right edge."""
        room = self._layout.panel_width - _width(left) - 1
        right = next((right for right in rights if _width(right) <= room), ())
        return (*left, Piece(" " * (room + 1 - _width(right)), "text"), *right) if right else left

    def _outward(self, count: int, what: str, post: Post) -> Line:
        arrow = self._glyphs.outward
        texts = (f"{arrow} {count} {what}", f"{arrow} {count}")
        return (Piece(_first_that_fits(texts, _room(post)), "request"),)

    def _homeward(self, ok: int, failed: int, post: Post) -> Line:
        arrow, cross = self._glyphs.homeward, self._glyphs.failed
        forms = (
            (f"{arrow} {ok} answered", f" {cross} {failed}"),
            (f"{arrow} {ok}", f" {cross} {failed}"),
            (f"{arrow}{ok}", f" {cross}{failed}"),
            ("", f"{cross}{failed}"),
        )
        pairs = ((answer, loss if failed else "") for answer, loss in forms)
        answer, loss = next((pair for pair in pairs if len("".join(pair)) <= _room(post)), ("", ""))
        return Piece(answer, "reply"), Piece(loss, "failed")


def _troubles(failures: Sequence[Line], truth: str) -> list[Line]:
    """Failures and the machine's true state in one place, from all words to the fewest."""
    if not truth:
        return list(failures)
    warning: Line = (Piece(f"! {truth}", "warn"),)
    return [*_joined(failures, [warning]), warning, (Piece("!", "warn"),)]


def _joined(firsts: Sequence[Line], seconds: Sequence[Line]) -> list[Line]:
    return [(*first, Piece("  ", "text"), *second) for first in firsts for second in seconds]


def _width(line: Line) -> int:
    return sum(len(piece.text) for piece in line)


def _room(post: Post) -> int:
    """Cells for the words of one way: half the lane when both ways share it."""
    return post.out.width // 2 if post.shared else post.out.width


def _first_that_fits(texts: Sequence[str], room: int) -> str:
    return next((text for text in texts if len(text) <= room), texts[-1][:room])
