"""Where everything stands: from a size and the names on stage to columns, rows and lanes.

    client  lane ───  │balancer   next▶│ ─── lane   panel of a server
                      └ the box ───────┘

Columns come from the width in three forms, rows from the height in three: with room, a server has two lanes and a
third line of text; with less, two lanes; with one row each, both ways share it; and what has no row of its own shares
the last one ("+5 more"). Client lanes are half as long as server lanes, as the time on them is half as long, so
everybody walks at one speed. One column stays free at either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from lbtutor.tui.widgets.stage.journeys import Road, Side


@dataclass(frozen=True, slots=True)
class Form:
    """The widths of one form, in cells; `panel` is without the server's name, `names` its least and greatest width."""

    name: Literal["wide", "middle", "small"]
    least: int
    clients: int
    box: int
    panel: int
    names: tuple[int, int]
    bar: int


FORMS = (
    Form("wide", least=110, clients=16, box=21, panel=33, names=(6, 24), bar=10),
    Form("middle", least=66, clients=10, box=14, panel=25, names=(5, 12), bar=6),
    Form("small", least=0, clients=4, box=10, panel=15, names=(5, 8), bar=4),
)
"""From wide to narrow; the first whose `least` width is there is taken."""

_TALLEST_POST = 7
_TEXT_ROWS = 3


@dataclass(frozen=True, slots=True)
class Lane:
    """A run of cells in one row; `homeward` lanes are walked from right to left."""

    row: int
    left: int
    width: int
    homeward: bool

    def cell(self, share: float) -> int:
        """The column of a traveller that has covered `share` of the way."""
        steps = min(int(share * self.width), self.width - 1)
        return self.left + (self.width - 1 - steps if self.homeward else steps)


@dataclass(frozen=True, slots=True)
class Post:
    """A client's or a server's place: `members` are several when they share the last row."""

    members: tuple[str, ...]
    top: int
    rows: int
    out: Lane
    back: Lane

    @property
    def label(self) -> str:
        return self.members[0]

    @property
    def shared(self) -> bool:
        """Both ways run in one row."""
        return self.out.row == self.back.row


@dataclass(frozen=True, slots=True)
class Box:
    """The balancer: `top` and `height` are of its inside; `lid` when there are rows for its upper and lower edge."""

    left: int
    width: int
    top: int
    height: int
    lid: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """One arrangement; `names` is the width of a server's name, `legend` the row of the legend, if there is one."""

    width: int
    height: int
    form: Form
    names: int
    panel_left: int
    panel_width: int
    box: Box
    clients: tuple[Post, ...]
    servers: tuple[Post, ...]
    legend: int | None
    _lanes: dict[Road, Lane] = field(default_factory=dict, compare=False)

    def lane(self, road: Road) -> Lane | None:
        """Where a road runs; None when there is no such place (any more). Unknown clients take the shared place."""
        return self._lanes.get(road) or self._lanes.get(Road(road.side, "", road.way))

    def server_at(self, row: int) -> str | None:
        """The server whose rows include this one."""
        return next((post.label for post in self.servers if post.top <= row < post.top + post.rows), None)


def arrange(width: int, height: int, servers: Sequence[str], clients: Sequence[str], longest_name: int = 0) -> Layout:
    """Find everybody's place; never fails, but below about 44 x 6 there is little to see.

    `servers` and `clients` are labels from top to bottom; `longest_name` is the width of the longest server's name.
    """
    form = next(form for form in FORMS if width >= form.least)
    least, most = form.names
    names = max(least, min(longest_name, most))
    panel_width = min(form.panel + names, width // 2)
    panel_left = max(0, width - panel_width - 1)
    client_left = 1 + form.clients
    to_share = max(0, panel_left - 1 - form.box - client_left)
    client_lane, server_lane = to_share // 3, to_share - to_share // 3

    legend, box_rows = _rows(height, len(servers), len(clients))
    top, inside, lid = box_rows
    box = Box(client_left + client_lane, form.box, top, inside, lid)
    client_posts = _posts(clients, top, inside, client_left, client_lane)
    server_posts = _posts(servers, top, inside, box.left + box.width, server_lane)
    return Layout(
        width,
        height,
        form,
        names,
        panel_left,
        panel_width,
        box,
        client_posts,
        server_posts,
        legend,
        {**_roads("client", client_posts), **_roads("server", server_posts)},
    )


def _rows(height: int, servers: int, clients: int) -> tuple[int | None, tuple[int, int, bool]]:
    """The row of the legend, and of the box: first row of its inside, how many, and whether it has edges.

    Two lanes a server come first, then the box's edges, then the legend.
    """
    legend = height - 1 if height >= 9 and _pitch(servers, height - 3) >= 2 else None
    body = height if legend is None else height - 1
    lid = body >= 5 and min(_pitch(servers, body - 2), 2) == min(_pitch(servers, body), 2)
    room = body - 2 if lid else body
    inside = min(room, max(_span(servers, room), _span(clients, room), 3))
    return legend, ((body - inside) // 2, inside, lid)


def _pitch(count: int, rows: int) -> int:
    """Rows from one post to the next, at most `_TALLEST_POST`; 0 when they cannot have a row each."""
    fitting = (pitch for pitch in range(_TALLEST_POST, 0, -1) if _height(count, pitch) <= rows)
    return next(fitting, 0)


def _height(count: int, pitch: int) -> int:
    return (count - 1) * pitch + min(pitch, _TEXT_ROWS) if count else 0


def _span(count: int, rows: int) -> int:
    pitch = _pitch(count, rows)
    return _height(count, pitch) if pitch else rows


def _posts(labels: Sequence[str], top: int, inside: int, left: int, width: int) -> tuple[Post, ...]:
    """Stand them one below the other, in the middle of the box's rows; the surplus shares the last row."""
    if not labels or inside <= 0:
        return ()
    pitch = _pitch(len(labels), inside)
    alone = labels if pitch else labels[: inside - 1]
    groups = [(label,) for label in alone] + ([] if pitch else [tuple(labels[inside - 1 :])])
    pitch = pitch or 1
    first = top + (inside - _height(len(groups), pitch)) // 2
    return tuple(_post(group, first + place * pitch, pitch, left, width) for place, group in enumerate(groups))


def _post(members: tuple[str, ...], top: int, pitch: int, left: int, width: int) -> Post:
    out = Lane(top, left, width, homeward=False)
    back = Lane(top if pitch == 1 else top + 1, left, width, homeward=True)
    return Post(members, top, min(pitch, _TEXT_ROWS), out, back)


def _roads(side: Side, posts: Sequence[Post]) -> dict[Road, Lane]:
    """The lane of each member's two roads, and for clients that are not listed, those of the shared post."""
    placed = [(member, post) for post in posts for member in post.members]
    if side == "client" and posts and len(posts[-1].members) > 1:
        placed.append(("", posts[-1]))
    out = {Road(side, member, "out"): post.out for member, post in placed}
    return out | {Road(side, member, "back"): post.back for member, post in placed}
