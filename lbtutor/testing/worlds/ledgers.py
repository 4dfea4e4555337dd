"""How many requests a server has open, in every way of counting that is right.

There is one truth as long as servers stay. When one leaves with requests open and returns, some count on, some start
from zero; and who starts from zero and counts by names takes the end of an old request for that of a new one, as far
as zero. All of these are right, and no law may choose among them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


class Ledgers:
    """The same requests, counted in four ways.

    objects     each return is a new server; an end of earlier times is nothing to it (so the core does)
    on          by names, and never forgotten
    afresh      by names, from zero after each return, never below it
    replaced    the same, and from zero as well when one that is there is added once more
    """

    def __init__(self) -> None:
        self._objects: Counter[int] = Counter()
        self._on: Counter[str] = Counter()
        self._afresh: Counter[str] = Counter()
        self._replaced: Counter[str] = Counter()

    def started(self, name: str, uid: int) -> None:
        """A request starts there."""
        self._objects[uid] += 1
        for ledger in (self._on, self._afresh, self._replaced):
            ledger[name] += 1

    def ended(self, name: str, uid: int) -> None:
        """It ends."""
        self._objects[uid] -= 1
        self._on[name] -= 1
        for ledger in (self._afresh, self._replaced):
            ledger[name] = max(0, ledger[name] - 1)

    def left(self, name: str) -> None:
        """That server is gone."""
        self._afresh[name] = self._replaced[name] = 0

    def added_again(self, name: str) -> None:
        """That server, which is there, is added once more."""
        self._replaced[name] = 0

    def read(self, members: Iterable[tuple[str, int]]) -> tuple[dict[str, int], ...]:
        """What each says of these, given by name and uid: `objects` first, and none twice."""
        members = list(members)
        books = [{name: self._objects[uid] for name, uid in members}]
        for ledger in (self._on, self._afresh, self._replaced):
            book = {name: ledger[name] for name, _ in members}
            if book not in books:
                books.append(book)
        return tuple(books)
