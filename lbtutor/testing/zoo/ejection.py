"""Passive ejection: right ones in different styles, and wrong ones as people write them."""

import time


class Counted:
    """Right: a counter and a time for each server, out for as long as it has been out so often."""

    def __init__(self, names, fails, eject, max_ejected):
        self.fails = fails
        self.eject = eject
        self.max_ejected = max_ejected
        self.row = {name: 0 for name in names}
        self.until = {}
        self.times = {name: 0 for name in names}

    def finished(self, name, ok, now):
        if name not in self.row or self.is_out(name, now):
            return
        self.row[name] = 0 if ok else self.row[name] + 1
        if self.row[name] >= self.fails and self.may_eject(now):
            self.throw_out(name, now)

    def may_eject(self, now):
        out = sum(self.is_out(name, now) for name in self.row)
        return out + 1 <= max(1, int(self.max_ejected * len(self.row)))

    def throw_out(self, name, now):
        self.row[name] = 0
        self.times[name] += 1
        self.until[name] = now + self.eject * self.times[name]

    def is_out(self, name, now):
        return name in self.until and now < self.until[name]

    def available(self, now):
        return [name for name in self.row if not self.is_out(name, now)]

    def add(self, name):
        self.row.setdefault(name, 0)
        self.times.setdefault(name, 0)

    def remove(self, name):
        self.row.pop(name, None)
        self.until.pop(name, None)
        self.times.pop(name, None)


class Host:
    def __init__(self, address):
        self.address = address
        self.errors = 0
        self.ejected_at = None


class OutlierDetector:
    """Right: objects, always the same time, asked for the ejected; after Envoy, in another vocabulary."""

    def __init__(self, hosts, consecutive_5xx=5, base_ejection_time=30.0, max_ejection_percent=10):
        self.hosts = {address: Host(address) for address in hosts}
        self.consecutive_5xx = consecutive_5xx
        self.base_ejection_time = base_ejection_time
        self.max_ejection_percent = max_ejection_percent

    def _sweep(self, now):
        for host in self.hosts.values():
            if host.ejected_at is not None and now - host.ejected_at >= self.base_ejection_time:
                host.ejected_at = None
                host.errors = 0

    def record_success(self, host, now):
        self._sweep(now)
        if host in self.hosts:
            self.hosts[host].errors = 0

    def record_failure(self, host, now):
        self._sweep(now)
        entry = self.hosts.get(host)
        if entry is None:
            return
        entry.errors += 1
        if entry.errors < self.consecutive_5xx or entry.ejected_at is not None:
            return
        out = [h for h in self.hosts.values() if h.ejected_at is not None]
        if not out or 100 * (len(out) + 1) <= self.max_ejection_percent * len(self.hosts):
            entry.ejected_at = now

    def ejected(self, now):
        self._sweep(now)
        return [address for address, host in self.hosts.items() if host.ejected_at is not None]

    def add_host(self, host):
        self.hosts[host] = Host(host)

    def remove_host(self, host):
        self.hosts.pop(host, None)


class Breakers:
    """Right: a list of the last results for each server, asked one by one, doubling; no members come or go."""

    def __init__(self, servers, threshold, base, max_share):
        self.last = {server: [] for server in servers}
        self.threshold = threshold
        self.base = base
        self.most = max(1, int(len(servers) * max_share))
        self.out = {}
        self.count = {server: 0 for server in servers}

    def report(self, server, success, timestamp):
        if self.is_ejected(server, timestamp) or server not in self.last:
            return
        results = self.last[server]
        results.append(success)
        del results[: -self.threshold]
        out_now = [s for s in self.out if self.is_ejected(s, timestamp)]
        if len(results) == self.threshold and not any(results) and len(out_now) < self.most:
            self.out[server] = timestamp + self.base * 2 ** self.count[server]
            self.count[server] += 1
            results.clear()

    def is_ejected(self, server, timestamp):
        return self.out.get(server, timestamp) > timestamp


class UnknownRaises(Counted):
    """Wrong: a late answer of a server that has left raises KeyError, in the middle of serving."""

    def finished(self, name, ok, now):
        self.row[name]
        super().finished(name, ok, now)


class LateAnswerRevives(Counted):
    """Wrong: a late answer enters a server that has left again (a defaultdict does that, too)."""

    def finished(self, name, ok, now):
        self.row.setdefault(name, 0)
        self.times.setdefault(name, 0)
        super().finished(name, ok, now)


class ListsWhoLeft(Counted):
    """Wrong: the list that it answers with is made once and only grows."""

    def __init__(self, names, fails, eject, max_ejected):
        super().__init__(names, fails, eject, max_ejected)
        self.names = list(names)

    def available(self, now):
        return [name for name in self.names if not self.is_out(name, now)]

    def add(self, name):
        super().add(name)
        self.names.append(name)


class NeverForgives(Counted):
    """Wrong: failures are counted, but a success does not break the row."""

    def finished(self, name, ok, now):
        if not ok:
            super().finished(name, ok, now)


class CountsTogether(Counted):
    """Wrong: one counter for all servers, so the failures of one throw out another."""

    def finished(self, name, ok, now):
        if name in self.row and not self.is_out(name, now):
            most = max(self.row.values())
            self.row = dict.fromkeys(self.row, most)
        super().finished(name, ok, now)


class KeepsItsRow(Counted):
    """Wrong: the count is not set back, so the first failure after the return throws it out again."""

    def throw_out(self, name, now):
        super().throw_out(name, now)
        self.row[name] = self.fails


class OneTooLate(Counted):
    """Wrong: it takes one failure more than it should (`>` for `>=`)."""

    def __init__(self, names, fails, eject, max_ejected):
        super().__init__(names, fails + 1, eject, max_ejected)


class LeftHoldsItsPlace(Counted):
    """Wrong: who leaves while it is out is counted among the ejected for ever."""

    def may_eject(self, now):
        out = sum(now < until for until in self.until.values())
        return out + 1 <= max(1, int(self.max_ejected * len(self.row)))

    def remove(self, name):
        self.row.pop(name, None)
        self.times.pop(name, None)


class LimitComparesBefore(Counted):
    """Wrong: it compares who is out before this one, so one more is out than may be (Envoy did so before 1.21)."""

    def may_eject(self, now):
        out = sum(self.is_out(name, now) for name in self.row)
        return out <= max(1, int(self.max_ejected * len(self.row)))


class NoLimit(Counted):
    """Wrong: there is no limit, and when all fail nobody is left."""

    def may_eject(self, now):
        return True


class ProlongsItself(Counted):
    """Wrong: failures that were under way when it was thrown out begin its time anew."""

    def finished(self, name, ok, now):
        if name in self.until and self.is_out(name, now) and not ok:
            self.until[name] = max(self.until[name], now + self.eject)
        super().finished(name, ok, now)


class SuccessReadmits(Counted):
    """Wrong: a late success ends the ejection before its time."""

    def finished(self, name, ok, now):
        if ok:
            self.until.pop(name, None)
        super().finished(name, ok, now)


class NeverComesBack(Counted):
    """Wrong: once out, out for ever."""

    def is_out(self, name, now):
        return name in self.until


class AnotherClock(Counted):
    """Wrong: it looks at its own clock for the end, and is told the present by another."""

    def throw_out(self, name, now):
        super().throw_out(name, now)
        self.until[name] += time.monotonic() + 1
