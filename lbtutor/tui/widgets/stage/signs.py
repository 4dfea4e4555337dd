"""Everything on stage that is text, each with the cells it owns: names, counters, wires, the marker of who is next.

A sign owns its cells alone, so that it can be written again without looking at its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.widgets.stage.faces import Faces, Line, Piece, Style
from lbtutor.tui.widgets.stage.layout import Lane, Layout, Post
from lbtutor.tui.widgets.stage.scene import Scene

_TITLE = "balancer"
_LEAST_BAR = 8
_LAST_KEY = 9


class Sign(NamedTuple):
    """A text that owns `width` cells."""

    row: int
    left: int
    width: int
    line: Line


class Signs:
    """Writes all signs of one layout."""

    def __init__(self, layout: Layout, glyphs: Glyphs) -> None:
        self._layout = layout
        self._glyphs = glyphs
        self._faces = Faces(layout, glyphs)
        self._bar_top = _LEAST_BAR

    def scenery(self) -> Iterator[Sign]:
        """What never changes: the balancer's box and the legend."""
        box, glyphs = self._layout.box, self._glyphs
        top_left, top_right, bottom_right, bottom_left, across, down = tuple(glyphs.box)
        inner = box.width - 2
        if box.lid:
            title = f"{across} {_TITLE} {across}" if inner > len(_TITLE) + 2 else _TITLE
            yield self._edge(box.top - 1, f"{top_left}{title:{across}<{inner}}{top_right}")
            yield self._edge(box.top + box.height, f"{bottom_left}{across * inner}{bottom_right}")
        else:
            yield from self._title_inside()
        for row in range(box.top, box.top + box.height):
            yield Sign(row, box.left, 1, (Piece(down, "box"),))
            yield Sign(row, box.left + box.width - 1, 1, (Piece(down, "box"),))
        if box.lid and self._layout.form.name != "wide":
            heading = f"{'picked':>{self._layout.panel_width}}"
            yield Sign(box.top - 1, self._layout.panel_left, self._layout.panel_width, (Piece(heading, "quiet"),))
        if self._layout.legend is not None:
            yield Sign(self._layout.legend, 1, self._layout.width - 1, self._legend())

    def now(self, scene: Scene, selected: str | None, *, next_hint: bool) -> Iterator[Sign]:
        """What the scene says at this moment."""
        self._stretch_bars(scene)
        numbers = {client: number for number, client in enumerate(scene.clients, 1)}
        keys = {label: f"{key}" for key, label in enumerate(scene.servers, 1) if key <= _LAST_KEY}
        due = {scene.next_in(server.pool) for server in scene.servers.values()} if next_hint else set()
        for post in self._layout.clients:
            yield from self._client(post, numbers.get(post.label, 0), scene)
        for post in self._layout.servers:
            if all(member in scene.servers for member in post.members):
                yield from self._server(post, scene, keys.get(post.label, ""), selected == post.label)
                yield self._marker(post, not due.isdisjoint(post.members))

    def _client(self, post: Post, number: int, scene: Scene) -> Iterator[Sign]:
        lines = self._faces.client(post, number, len(scene.other_clients))
        for row, line in enumerate(lines, post.top):
            yield Sign(row, 1, self._layout.form.clients, line)
        yield from self._lanes(post, self._faces.client_lanes(post, scene) if scene.still else None)

    def _server(self, post: Post, scene: Scene, key: str, selected: bool) -> Iterator[Sign]:
        lines = self._faces.server(post, scene, key=key, selected=selected, bar_top=self._bar_top)
        for row, line in enumerate(lines, post.top):
            yield Sign(row, self._layout.panel_left, self._layout.panel_width, line)
        yield from self._lanes(post, self._faces.server_lanes(post, scene) if scene.still else None)

    def _lanes(self, post: Post, words: tuple[Line, Line] | None) -> Iterator[Sign]:
        """Wires for dots to travel on, or words where nothing moves."""
        if words is None:
            for lane in (post.out,) if post.shared else (post.out, post.back):
                yield Sign(lane.row, lane.left, lane.width, (Piece(self._wire(lane, post), "wire"),))
        elif post.shared:
            half = post.out.width // 2
            yield Sign(post.out.row, post.out.left, half, words[0])
            yield Sign(post.out.row, post.out.left + half, post.out.width - half, words[1])
        else:
            yield Sign(post.out.row, post.out.left, post.out.width, words[0])
            yield Sign(post.back.row, post.back.left, post.back.width, words[1])

    def _wire(self, lane: Lane, post: Post) -> str:
        """A wire with its head where it leads; one that is walked both ways has none."""
        wire = self._glyphs.wire * lane.width
        if post.shared or not wire:
            return wire
        return self._glyphs.back + wire[1:] if lane.homeward else wire[1:] + self._glyphs.out

    def _marker(self, post: Post, due: bool) -> Sign:
        """Who is next, at the balancer's edge where that server's lane begins."""
        box = self._layout.box
        text = f"next{self._glyphs.pointer}"
        left = box.left + box.width - 1 - len(text)
        return Sign(post.out.row, left, len(text), (Piece(text if due else "", "next"),))

    def _title_inside(self) -> Iterator[Sign]:
        """The title of a box without edges: in the middle, but in no row where the marker may come."""
        box = self._layout.box
        taken = {post.out.row for post in self._layout.servers}
        free = [row for row in range(box.top, box.top + box.height) if row not in taken]
        for row in free[len(free) // 2 :][:1]:
            yield Sign(row, box.left + 1, box.width - 2, (Piece(f"{_TITLE:^{box.width - 2}}", "box"),))

    def _edge(self, row: int, text: str) -> Sign:
        return Sign(row, self._layout.box.left, len(text), (Piece(text, "box"),))

    def _legend(self) -> Line:
        glyphs = self._glyphs
        entries: tuple[tuple[str, Style, str], ...] = (
            (glyphs.request, "request", "request   "),
            (glyphs.reply, "reply", "reply   "),
            (glyphs.failed, "failed", "failed   "),
            (glyphs.probe, "probe", "probe, "),
            (glyphs.probe_passed, "probe", "passed, "),
            (glyphs.probe_failed, "probe", "failed"),
        )
        return tuple(
            piece for glyph, style, word in entries for piece in (Piece(f"{glyph} ", style), Piece(word, "quiet"))
        )

    def _stretch_bars(self, scene: Scene) -> None:
        """One scale for all bars, doubled when somebody outgrows it and never shrunk: bars must stay comparable."""
        busiest = max((len(server.open) for server in scene.servers.values()), default=0)
        while self._bar_top < busiest:
            self._bar_top *= 2
