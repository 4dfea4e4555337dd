"""IP hash: right ones by different hashes and in both shapes, and wrong ones as people write them."""

import hashlib
import random
import zlib


class Offered:
    """Right: ours, CRC-32 modulo the number of servers."""

    def pick(self, request, backends):
        return backends[zlib.crc32(request.client.encode()) % len(backends)]


class Md5:
    """Right: MD5 over the sorted names of whoever is up."""

    def __init__(self, servers):
        self.servers = [name for name, weight in servers]
        self.down = set()

    def pick(self, client_ip):
        alive = sorted(s for s in self.servers if s not in self.down)
        if not alive:
            return None
        digest = hashlib.md5(client_ip.encode()).hexdigest()
        return alive[int(digest, 16) % len(alive)]

    def set_healthy(self, server, healthy):
        if healthy:
            self.down.discard(server)
        else:
            self.down.add(server)

    def add(self, server):
        if server not in self.servers:
            self.servers.append(server)

    def remove(self, server):
        if server in self.servers:
            self.servers.remove(server)
        self.down.discard(server)


class FirstThreeOctets:
    """Right: as NGINX does it, a polynomial over the first three octets; whose server is down is hashed on."""

    def __init__(self, backends):
        self.up = {}
        for name, _ in backends:
            self.up[name] = True

    def pick(self, client, now):
        names = list(self.up)
        if not any(self.up.values()):
            return None
        value = 89
        parts = client.split(".") if client.count(".") == 3 else [client]
        for part in parts[:3]:
            for byte in [int(part)] if part.isdigit() else part.encode():
                value = (value * 113 + byte) % 6271
        for _ in range(20):
            name = names[value % len(names)]
            if self.up[name]:
                return name
            value = (value * 113 + 7) % 6271
        return next(name for name in names if self.up[name])

    def started(self, name, now):
        pass

    def finished(self, name, now, latency, ok):
        pass

    def set_healthy(self, name, healthy):
        if name in self.up:
            self.up[name] = healthy

    def add(self, name, weight):
        self.up.setdefault(name, True)

    def remove(self, name):
        self.up.pop(name, None)


class Fnv:
    """Right: FNV-1a, and a walk from the client's place to the next server that is up."""

    def __init__(self, backends):
        self.names = [name for name, _ in backends]
        self.healthy = set(self.names)

    @staticmethod
    def hash(text):
        value = 0x811C9DC5
        for byte in text.encode("utf-8"):
            value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
        return value

    def pick(self, client, now):
        count = len(self.names)
        for step in range(count):
            name = self.names[(self.hash(client) + step) % count]
            if name in self.healthy:
                return name
        return None

    def set_healthy(self, name, up):
        if up and name in self.names:
            self.healthy.add(name)
        elif not up:
            self.healthy.discard(name)

    def add(self, name, weight=1):
        if name not in self.names:
            self.names.append(name)
            self.healthy.add(name)

    def remove(self, name):
        if name in self.names:
            self.names.remove(name)
            self.healthy.discard(name)


class OnlyAddresses(Md5):
    """Wrong: splits the address at its dots, so a host name or an IPv6 address raises."""

    def pick(self, client_ip):
        alive = [s for s in self.servers if s not in self.down]
        return alive[sum(int(part) for part in client_ip.split(".")) % len(alive)] if alive else None


class EmptyDivides(Md5):
    """Wrong: with nobody up it divides by zero."""

    def pick(self, client_ip):
        alive = [s for s in self.servers if s not in self.down]
        return alive[zlib.crc32(client_ip.encode()) % len(alive)]


class DeadIncluded(Md5):
    """Wrong: hashes over all servers, and takes whoever is hit, up or not."""

    def pick(self, client_ip):
        if len(self.down) == len(self.servers):
            return None
        return self.servers[zlib.crc32(client_ip.encode()) % len(self.servers)]


class NextOneOnly(Md5):
    """Wrong: whose server is down gets its neighbour, which may be down as well."""

    def pick(self, client_ip):
        if len(self.down) == len(self.servers):
            return None
        place = zlib.crc32(client_ip.encode())
        chosen = self.servers[place % len(self.servers)]
        return self.servers[(place + 1) % len(self.servers)] if chosen in self.down else chosen


class RecoveredGoLast(Md5):
    """Wrong: a server that recovers is appended, so every client's place means somebody else from then on."""

    def __init__(self, servers):
        super().__init__(servers)
        self.alive = list(self.servers)

    def pick(self, client_ip):
        return self.alive[zlib.crc32(client_ip.encode()) % len(self.alive)] if self.alive else None

    def set_healthy(self, server, healthy):
        if server in self.alive:
            self.alive.remove(server)
        if healthy and server in self.servers:
            self.alive.append(server)

    def add(self, server):
        if server not in self.servers:
            super().add(server)
            self.alive.append(server)

    def remove(self, server):
        super().remove(server)
        if server in self.alive:
            self.alive.remove(server)


class TurnInTheHash:
    """Wrong: the number of the request goes into the hash, so nobody finds their server again."""

    def __init__(self):
        self.requests = 0

    def pick(self, request, backends):
        self.requests += 1
        return backends[zlib.crc32(f"{request.client}{self.requests}".encode()) % len(backends)]


class Salted:
    """Wrong: a random salt for each balancer, so that two of them never agree."""

    def __init__(self):
        self.salt = random.getrandbits(64)

    def pick(self, request, backends):
        return backends[zlib.crc32(f"{self.salt}{request.client}".encode()) % len(backends)]


class BuiltinHash:
    """Wrong: Python's hash() of text, which is different in every process."""

    def pick(self, request, backends):
        return backends[hash(request.client) % len(backends)]


class OneByte(Md5):
    """Wrong: one byte of the hash, so that server 256 and those after it never get anybody."""

    def pick(self, client_ip):
        alive = [s for s in self.servers if s not in self.down]
        return alive[hashlib.md5(client_ip.encode()).digest()[0] % len(alive)] if alive else None


class LengthOfTheText:
    """Wrong: a hash that takes few values: how long the address is."""

    def pick(self, request, backends):
        return backends[len(request.client) % len(backends)]


class SpillsOver:
    """Wrong: whose server has two requests open is sent to the next one, so load decides where a client goes."""

    def __init__(self, backends):
        self.names = [name for name, _ in backends]
        self.down = set()
        self.open = {}

    def pick(self, client, now):
        up = [name for name in self.names if name not in self.down]
        if not up:
            return None
        index = zlib.crc32(client.encode()) % len(up)
        if self.open.get(up[index], 0) >= 2:
            index = (index + 1) % len(up)
        return up[index]

    def started(self, name, now):
        self.open[name] = self.open.get(name, 0) + 1

    def finished(self, name, now, latency, ok):
        self.open[name] = max(0, self.open.get(name, 0) - 1)

    def set_healthy(self, name, healthy):
        (self.down.discard if healthy else self.down.add)(name)

    def add(self, name, weight):
        if name not in self.names:
            self.names.append(name)

    def remove(self, name):
        if name in self.names:
            self.names.remove(name)
            self.down.discard(name)
