"""The stage: clients, the balancer and its servers, with every request that travels between them.

Each floor knows those above it, and only the last knows a terminal:

    journeys   who is on the way where, as a function of time
    scene      what the balancer believes and what is true at a moment: a fold of the trace
    layout     where everything stands at a given size
    faces      what is written there, in words, numbers and glyphs
    signs      each text with the cells that it owns
    paint      rows of styled cells, and the spans of them that changed
    widget     Textual
"""

from lbtutor.tui.widgets.stage.widget import Stage

__all__ = ["Stage"]
