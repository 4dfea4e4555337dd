"""A program: `slow.py ADDRESS EVERY HEADS BODIES READERS` lets so many clients of each kind take their time.

    heads      never come to the end of their request's head (slowloris)
    bodies     promise a body and send a byte of it now and then
    readers    ask for much, and read nothing of it before a line comes on stdin

Those who say something say a byte every `EVERY` seconds. The program prints `ready` when all are there, and at the end
what they were told, as JSON: for each kind, how many were told which status, or `cut` where that was not all of an
answer.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from contextlib import suppress
from socket import SO_RCVBUF, SOL_SOCKET, socket

_HEAD = b"GET /r/0 HTTP/1.1\r\nHost: lab\r\nX-Slow: "
_BODY = b"POST /r/0 HTTP/1.1\r\nHost: lab\r\nContent-Length: 100000\r\n\r\n"
_MUCH = b"GET /big HTTP/1.1\r\nHost: lab\r\n\r\n"

_FEW = 16_384
"""Bytes that the kernel keeps for a slow client, and that it reads ahead."""


class Slow:
    """One client that takes its time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def come(cls, address: str, first: bytes) -> Slow:
        """Connect, and say this for a beginning."""
        host, _, port = address.rpartition(":")
        sock = socket()
        sock.setsockopt(SOL_SOCKET, SO_RCVBUF, _FEW)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
        reader, writer = await asyncio.open_connection(sock=sock, limit=_FEW)
        writer.write(first)
        return cls(reader, writer)

    async def trickle(self, every: float, hurried: asyncio.Event) -> str:
        """A byte now and then, until an answer comes or the connection goes."""
        answer = asyncio.ensure_future(self._reader.readline())
        while not answer.done():
            await asyncio.wait([answer], timeout=every)
            self._writer.write(b"x")
        line = b"" if answer.exception() is not None else answer.result()
        return line.split()[1].decode() if line.startswith(b"HTTP/") else "cut"

    async def read_late(self, every: float, hurried: asyncio.Event) -> str:
        """Read nothing for long, and then look whether it is all there."""
        await hurried.wait()
        answer = b""
        with suppress(OSError):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            while data := await self._reader.read(65_536):
                answer += data
            if length is not None and len(answer) == int(length[1]):
                return "200"
        return "cut"


_KINDS = {"heads": (_HEAD, Slow.trickle), "bodies": (_BODY, Slow.trickle), "readers": (_MUCH, Slow.read_late)}


async def main(address: str, every: float, numbers: list[int]) -> None:
    """Be that many clients of each kind."""
    hurried = asyncio.Event()
    clients = {}
    for (kind, (first, be_slow)), number in zip(_KINDS.items(), numbers, strict=True):
        here = [await Slow.come(address, first) for _ in range(number)]
        clients[kind] = [asyncio.ensure_future(be_slow(client, every, hurried)) for client in here]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    hurried.set()
    print(json.dumps({kind: Counter(await asyncio.gather(*told)) for kind, told in clients.items()}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), [int(word) for word in sys.argv[3:6]]))
