"""`Stage`: the picture in Textual, drawn a row at a time.

The Line API with one cached `Strip` a row: a frame costs what changed in it, not what there is to see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events as textual_events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lbtutor.core.events import Event
from lbtutor.tui.glyphs import SETS, Glyphs, detect
from lbtutor.tui.widgets.stage.faces import names_of
from lbtutor.tui.widgets.stage.journeys import TRAVEL
from lbtutor.tui.widgets.stage.layout import arrange
from lbtutor.tui.widgets.stage.paint import Picture
from lbtutor.tui.widgets.stage.scene import Scene


class Stage(Widget, can_focus=True):
    """Clients, the balancer and its servers, with every request and probe that travels between them.

    Hand it the trace with `take` and call `advance` once a frame. Backends are labelled "pool/name" throughout.
    `travel` is how many scenario seconds a dot takes from the balancer to a server; `glyphs` names a set of
    `lbtutor.tui.glyphs` (None: what this terminal can show).
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "stage--text",
        "stage--quiet",
        "stage--wire",
        "stage--box",
        "stage--next",
        "stage--selected",
        "stage--up",
        "stage--warn",
        "stage--down",
        "stage--request",
        "stage--reply",
        "stage--failed",
        "stage--probe",
    }
    DEFAULT_CSS = """
    Stage {
        border: round $panel-lighten-2;
        border-title-color: $text;
        border-subtitle-color: $text-muted;
        background: $background;
        &:focus { border: round $primary; }
        & > .stage--text { color: $foreground; }
        & > .stage--quiet { color: $text-muted; }
        & > .stage--wire { color: $foreground 30%; }
        & > .stage--box { color: $foreground 60%; }
        & > .stage--next { color: $warning; text-style: bold; }
        & > .stage--selected { color: $foreground; text-style: bold reverse; }
        & > .stage--up { color: $success; }
        & > .stage--warn { color: $warning; }
        & > .stage--down { color: $error; }
        & > .stage--request { color: $primary; }
        & > .stage--reply { color: $success; }
        & > .stage--failed { color: $error; text-style: bold; }
        & > .stage--probe { color: $secondary; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "select(-1)", "select the server above", show=False),
        Binding("down", "select(1)", "select the server below", show=False),
    ]

    selected: reactive[str | None] = reactive(None, repaint=False, init=False)
    """The selected backend's label; up, down and a click change it."""
    next_hint: reactive[bool] = reactive(default=True, repaint=False, init=False)
    """Whether the balancer shows who is next in turn (switch it off while the learner is to predict that)."""
    reduced_motion: reactive[bool] = reactive(default=False, repaint=False, init=False)
    """Nothing moves: the lanes say what is under way and what came back."""

    class Selected(Message):
        """Another backend was selected, or none."""

        def __init__(self, stage: Stage, backend: str | None) -> None:
            super().__init__()
            self.stage = stage
            self.backend = backend

        @property
        def control(self) -> Stage:
            return self.stage

    def __init__(
        self,
        *,
        glyphs: str | None = None,
        travel: float = TRAVEL,
        name: str | None = None,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._glyphs: Glyphs = detect() if glyphs is None else SETS[glyphs]
        self._scene = Scene(travel)
        self._picture = Picture(arrange(0, 0, (), ()), self._glyphs)
        self._cast: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self._strips: dict[int, Strip] = {}
        self._styles: dict[str, RichStyle] = {}

    # -- what the lesson screen calls -------------------------------------------------------------------------------

    def take(self, events: Iterable[Event]) -> None:
        """Hand over what happened, in order; nothing is drawn before `advance`."""
        self._scene.take(events)

    def advance(self, now: float) -> None:
        """Call once a frame with the run's scenario time, paused or not; repaints only what changed."""
        if self._scene.advance(now):
            self._show()

    def reset(self, clients: Sequence[str] = ()) -> None:
        """Empty the stage for a new run; `clients` are addresses that will come, so that nothing moves when they do."""
        self._scene = Scene(self.travel, clients)
        self._scene.still = self.reduced_motion
        self._rebuild()

    def backends(self) -> list[str]:
        """Labels in the order of the number keys: the first is key 1."""
        return list(self._scene.servers)

    @property
    def next_backend(self) -> str | None:
        """Who is next in turn as far as the picture shows; None when no algorithm on stage takes turns."""
        pools = dict.fromkeys(server.pool for server in self._scene.servers.values())
        return next((due for pool in pools if (due := self._scene.next_in(pool))), None)

    @property
    def shown_at(self) -> float:
        """The scenario time that the picture shows: a moment before `now`, so that a request can be seen coming.

        While the clock stands still it catches up with `now`. A list of events keeps in step by ending here.
        """
        return self._scene.shown

    @property
    def travel(self) -> float:
        """Scenario seconds from the balancer to a server, for all journeys that begin from now on."""
        return self._scene.journeys.travel

    @travel.setter
    def travel(self, seconds: float) -> None:
        self._scene.journeys.travel = seconds

    # -- painting ---------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        if not 0 <= y < self._picture.layout.height or self._picture.layout.width != self.size.width:
            return Strip.blank(self.size.width, self.rich_style)
        strip = self._strips.get(y)
        if strip is None:
            segments = [Segment(text, self._style(style)) for text, style in self._picture.runs(y)]
            strip = self._strips[y] = Strip(segments, self.size.width)
        return strip

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()
        self._strips.clear()

    def on_resize(self, event: textual_events.Resize) -> None:
        self._rebuild()

    def _style(self, name: str) -> RichStyle:
        style = self._styles.get(name)
        if style is None:
            style = self._styles[name] = self.get_component_rich_style(f"stage--{name}")
        return style

    def _show(self) -> None:
        """Bring the screen up to date with the scene: all of it when somebody came or went, else what changed."""
        if self._cast != self._who():
            self._rebuild()
            return
        spans = self._picture.paint(self._scene, selected=self.selected, next_hint=self.next_hint)
        for span in spans:
            self._strips.pop(span.row, None)
        if spans:
            self.refresh(*(Region(span.left, span.row, span.right - span.left, 1) for span in spans))
        self._note()

    def _rebuild(self) -> None:
        self._cast = self._who()
        if self.selected not in self._scene.servers:
            self.selected = None
        names = names_of(self._scene, self._glyphs).values()
        layout = arrange(*self.size, *self._cast, max(map(len, names), default=0))
        self._picture = Picture(layout, self._glyphs)
        self._picture.paint(self._scene, selected=self.selected, next_hint=self.next_hint)
        self._strips.clear()
        self._note()
        self.refresh()

    def _who(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return tuple(self._scene.servers), tuple(self._scene.clients)

    def _note(self) -> None:
        """Say in the lower border what the picture leaves out."""
        one_in, missed = self._scene.journeys.one_in, self._scene.missed
        notes = [f"1 request in {one_in} drawn"] if one_in > 1 and not self._scene.still else []
        notes += [f"{missed} events missed"] if missed else []
        note = ", ".join(notes)
        if self.border_subtitle != note:
            self.border_subtitle = note

    # -- selection --------------------------------------------------------------------------------------------------

    def action_select(self, step: int) -> None:
        """Select the backend so many places further down; from none, the first or the last."""
        backends = self.backends()
        if not backends:
            return
        if self.selected in backends:
            self.selected = backends[(backends.index(self.selected) + step) % len(backends)]
        else:
            self.selected = backends[0 if step > 0 else -1]

    def on_click(self, event: textual_events.Click) -> None:
        offset = event.get_content_offset(self)
        server = None if offset is None else self._picture.layout.server_at(offset.y)
        if server is not None:
            self.selected = server

    def watch_selected(self) -> None:
        self._show()
        self.post_message(self.Selected(self, self.selected))

    def watch_next_hint(self) -> None:
        self._show()

    def watch_reduced_motion(self) -> None:
        self._scene.still = self.reduced_motion
        self._rebuild()
