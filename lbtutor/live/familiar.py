"""Heads that come again: what was read once and found sound need not be read a second time.

Both sides repeat themselves, byte for byte:

    who         says again                            and may say otherwise
    a client    its last request, if it had no body   the path
    a backend   one of its last heads                 the body, if that is as long

llhttp begins each message anew, and understands the same bytes as it did before. So where a message begins and all of
it is there, a comparison tells what llhttp and `heads` would say: of 14 us that a request took, that spares 6. Whatever
is not quite the same goes the long way, and so does a path in which there is a byte that llhttp might refuse.
"""

from __future__ import annotations

import re

from lbtutor.live.heads import AnswerHead, RequestHead

LONGEST = 2048
"""Bytes of a head; a longer one is not remembered, for each connection remembers one."""

MOST_ANSWERS = 64
"""Heads of answers that are remembered for one backend. The field `Date` alone makes for another each second."""

_PATH = re.compile(rb"/[0-9A-Za-z._~!$&'()*+,;=:@%/?-]*")


class Habit:
    """What a client says again and again on its connection: a head without body, with whatever path."""

    __slots__ = ("_ahead", "_behind", "_head", "_most", "_target")

    def __init__(self, head: RequestHead, target: bytes, behind: bytes, most: int) -> None:
        self._head = head
        self._target = target
        self._ahead = head.method.encode() + b" "
        self._behind = behind
        self._most = most

    def __repr__(self) -> str:
        return f"<Habit of {self._head!r}>"

    @classmethod
    def of(cls, head: RequestHead, target: bytes, behind: bytes, most: int) -> Habit | None:
        """The habit that begins with this head, if it is one to be remembered.

        `behind` is what was read behind the target. A head like it may have `most` bytes.
        """
        most = min(most, LONGEST)
        is_all = behind.find(b"\r\n\r\n") + 4 == len(behind) <= most
        return cls(head, target, behind, most) if is_all and _PATH.fullmatch(target) else None

    def repeated(self, data: bytes) -> RequestHead | None:
        """The head that `data` is, if it is that one again and nothing else."""
        if not (data.startswith(self._ahead) and data.endswith(self._behind)):
            return None
        target = data[len(self._ahead) : -len(self._behind)]
        if target == self._target:
            return self._head
        if len(data) > self._most or _PATH.fullmatch(target) is None:
            return None
        return self._head.asking(target)


class Repertoire:
    """How a backend begins its answers."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: dict[bytes, AnswerHead] = {}

    def __repr__(self) -> str:
        return f"<Repertoire of {len(self._heads)} heads>"

    def learn(self, said: bytes, head: AnswerHead) -> None:
        """A backend said this, of which `head` is the beginning, and can go on with another answer."""
        end = said.find(b"\r\n\r\n") + 4
        if head.length != len(said) - end or end > LONGEST:
            return
        if len(self._heads) >= MOST_ANSWERS:
            self._heads.clear()
        self._heads[said[:end]] = head

    def known(self, said: bytes) -> tuple[AnswerHead, bytes] | None:
        """Head and body, if the backend says a head that is known, and behind it its body and nothing else."""
        end = said.find(b"\r\n\r\n") + 4
        head = self._heads.get(said[:end])
        return (head, said[end:]) if head is not None and head.length == len(said) - end else None
