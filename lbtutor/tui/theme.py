"""Colours: three themes whose marks people with any colour vision can tell apart.

The dark one takes the palette of Okabe and Ito ("Color Universal Design", 2008); the other two keep its hues and move
them until the same measure holds: in each theme the five marks stand out from the background, and any two of them
differ by at least 10 (CIEDE2000) for normal vision and for protanopes, deuteranopes and tritanopes. The stage names
colours only by their meaning, so every theme of Textual's works too.

| meaning | variable |
|---|---|
| request, and whatever has the focus | `primary` |
| reply, up | `success` |
| failed, down, ejected | `error` |
| failing, draining, what the balancer does not know | `warning` |
| probe | `secondary` |
"""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="lbtutor-dark",
    primary="#56b4e9",
    secondary="#cc79a7",
    accent="#56b4e9",
    success="#009e73",
    warning="#e69f00",
    error="#d55e00",
    foreground="#d7dce5",
    background="#0f1219",
    surface="#151a23",
    panel="#1d2430",
    dark=True,
)

LIGHT = Theme(
    name="lbtutor-light",
    primary="#0058b8",
    secondary="#96307a",
    accent="#0058b8",
    success="#007a55",
    warning="#996600",
    error="#7a1c00",
    foreground="#1b2230",
    background="#fafbfc",
    surface="#f0f2f5",
    panel="#e3e7ed",
    dark=False,
)

CONTRAST = Theme(
    name="lbtutor-contrast",
    primary="#58aaff",
    secondary="#ffaee0",
    accent="#58aaff",
    success="#2ef0a0",
    warning="#ffe24a",
    error="#ff7a30",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#1a1a1a",
    dark=True,
    variables={"text-muted": "#d0d0d0"},
)

THEMES: tuple[Theme, ...] = (DARK, LIGHT, CONTRAST)
"""All our themes; the first is the default."""
