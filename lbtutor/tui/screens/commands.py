"""The command palette: the same table of keys, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Provider

from lbtutor.tui.keymap import GROUPS, Key


class KeyCommands(Provider):
    """Every row of the screen's table that stands for one action."""

    async def discover(self) -> AsyncIterator[DiscoveryHit]:
        for name, run, says in self._commands():
            yield DiscoveryHit(name, run, help=says)

    async def search(self, query: str) -> AsyncIterator[Hit]:
        matcher = self.matcher(query)
        for name, run, says in self._commands():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), run, help=says)

    def _commands(self) -> Iterator[tuple[str, Callable[[], Any], str]]:
        groups: Mapping[str, tuple[Key, ...]] = getattr(self.screen, "KEYS", GROUPS)
        for group, rows in groups.items():
            for row in rows:
                for one in row.each or ("",):
                    subject = group.removeprefix("The ")
                    name = f"{subject}: {row.says.replace('that server', f'server {one}').partition(';')[0]}"
                    if row.each == "abcd":
                        name = f"{subject}: answer {one}"
                    key = one or row.shown
                    yield name, partial(self.screen.run_action, row.action.replace("*", one)), f"key {key}"
