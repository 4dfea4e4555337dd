"""Passive ejection: who fails again and again is left alone for a while, but never too many at once."""


class Ejection:
    """Throws a server out after `fails` failures in a row, for `eject` seconds."""

    def __init__(self, names, fails, eject, max_ejected):
        self.fails = fails
        self.eject = eject
        self.max_ejected = (
            max_ejected  # the largest share of the servers that may be out, such as 0.5; one may always be
        )
        self.row = {name: 0 for name in names}  # failures in a row
        self.until = {}  # when a server that is out comes back

    def finished(self, name, ok, now):
        """A request ended on that server, well (`ok`) or badly; `now` in seconds."""
        if name not in self.row or self.is_out(name, now):
            return
        self.row[name] = 0 if ok else self.row[name] + 1
        if self.row[name] >= self.fails and self.may_eject(now):
            self.row[name] = 0
            self.until[name] = now + self.eject

    def may_eject(self, now):
        """Whether one more may be out, besides those who are."""
        out = sum(self.is_out(name, now) for name in self.row)
        return out + 1 <= max(1, int(self.max_ejected * len(self.row)))

    def is_out(self, name, now):
        """Whether that server is out now."""
        return now < self.until.get(name, now)

    def available(self, now):
        """The names of all that are not out."""
        return [name for name in self.row if not self.is_out(name, now)]
