"""`Transcript`: a trace as lines of text in fixed columns, one an event.

       0.250  r2     < GET / from 127.0.1.2
       0.250  r2     > srv-2: its turn, after srv-1
       0.271  r2     < srv-2: answered 200 in 21 ms
       4.000         = srv-2 crashes: its connections break and new ones are refused (the balancer is not told)

Scenario seconds, the request, a sign, and the text. The signs are those of the balancer: `<` came in, `>` went out, `=`
is now so. A screen reader, a log and a test's golden file read the same lines.
"""

from __future__ import annotations

from lbtutor.core.events import Event
from lbtutor.trace.narrate import Narrator


class Transcript:
    """Writes events as lines; the arguments are those of `Narrator`."""

    def __init__(
        self,
        ascii: bool = False,  # noqa: A002 - the word that everybody uses for it
        backends_qualified: bool | None = None,
    ) -> None:
        self._narrator = Narrator(ascii, backends_qualified)

    def line(self, event: Event) -> str:
        """One event as one line, without its end."""
        told = self._narrator.tell(event)
        request = "" if told.request is None else f"r{told.request}"
        return f"{event.at:9.3f}  {request:<6} {told.sign} {told.text}"
