"""The path router: right ones in different styles, and wrong ones as people write them."""

import re


class Sorted:
    """Right: rules sorted once, the first that matches wins."""

    def __init__(self, rules):
        self.rules = sorted(rules, key=self.order)

    def order(self, rule):
        host, prefix, headers, _ = rule
        kind = 2 if host is None else 1 if host.startswith("*.") else 0
        return (kind, -len(host or "") if kind == 1 else 0, -len(self.parts(prefix)), -len(headers or {}))

    def parts(self, path):
        return [part for part in path.split("?")[0].split("#")[0].split("/") if part]

    def host_fits(self, pattern, host):
        host = host.split(":")[0].lower()
        if pattern is None:
            return True
        pattern = pattern.lower()
        return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern

    def path_fits(self, prefix, path):
        wanted = self.parts(prefix)
        return self.parts(path)[: len(wanted)] == wanted

    def headers_fit(self, wanted, headers):
        have = {name.lower(): value for name, value in headers.items()}
        return all(have.get(name.lower()) == value for name, value in (wanted or {}).items())

    def match(self, host, path, headers):
        for pattern, prefix, wanted, target in self.rules:
            if self.host_fits(pattern, host) and self.path_fits(prefix, path) and self.headers_fit(wanted, headers):
                return target
        return None


class Best:
    """Right: all rules are scored, the best score wins; a wildcard stands for one label."""

    def __init__(self, rules):
        self.rules = list(rules)

    def score(self, rule, host, path, headers):
        pattern, prefix, wanted, _ = rule
        if pattern is None:
            host_score = 0
        elif pattern.lower() == host:
            host_score = 1000
        elif pattern[:2] == "*." and host.partition(".")[2] == pattern[2:].lower():
            host_score = len(pattern)
        else:
            return None
        stem = prefix.rstrip("/")
        if path != stem and not path.startswith(stem + "/"):
            return None
        for name in wanted or ():
            if headers.get(name.lower()) != wanted[name]:
                return None
        return host_score, stem.count("/"), 1 if wanted else 0

    def match(self, host, path, headers):
        host = host.lower().partition(":")[0]
        path = re.split(r"[?#]", path)[0]
        headers = {name.lower(): value for name, value in headers.items()}
        best, target = None, None
        for rule in self.rules:
            score = self.score(rule, host, path, headers)
            if score is not None and (best is None or score > best):
                best, target = score, rule[3]
        return target


class Compiled:
    """Right: every rule becomes a regular expression for host and path."""

    def __init__(self, rules):
        self.compiled = []
        for number, (host, prefix, headers, target) in enumerate(rules):
            where = r"[^/]*" if host is None else re.escape(host).replace(r"\*\.", r"[^/]+\.")
            stem = re.escape(prefix.rstrip("/"))
            expression = re.compile(f"(?i:{where})(?::[0-9]+)?{stem}(?:[/?#].*)?")
            wild = host is not None and host[0] == "*"
            rank = (host is not None, not wild, len(host or "") if wild else 0, stem.count("/"), bool(headers), -number)
            needed = {name.lower(): value for name, value in (headers or {}).items()}
            self.compiled.append((rank, expression, needed, target))
        self.compiled.sort(key=lambda entry: entry[0], reverse=True)

    def match(self, host, path, headers):
        present = {(name.lower(), value) for name, value in headers.items()}
        for _, expression, needed, target in self.compiled:
            if expression.fullmatch(host + path) and present >= set(needed.items()):
                return target
        return None


class NoHeaders(Sorted):
    """Wrong: takes a rule without headers for one with an empty table, and raises."""

    def headers_fit(self, wanted, headers):
        return super().headers_fit(dict(wanted.items()), headers)


class PlainPrefix(Sorted):
    """Wrong: /x takes /xy as well: a plain prefix, as in NGINX's and Traefik's."""

    def path_fits(self, prefix, path):
        return ("/" + "/".join(self.parts(path))).startswith("/" + "/".join(self.parts(prefix)))


class AnyHeader(Sorted):
    """Wrong: one of the headers is enough."""

    def headers_fit(self, wanted, headers):
        return not wanted or any(super(AnyHeader, self).headers_fit({name: wanted[name]}, headers) for name in wanted)


class WildcardTakesAll(Sorted):
    """Wrong: *.a.com takes a.com itself and xa.com."""

    def host_fits(self, pattern, host):
        if pattern and pattern.startswith("*."):
            return host.split(":")[0].lower().endswith(pattern[2:].lower())
        return super().host_fits(pattern, host)


class NoValues(Sorted):
    """Wrong: a header has to be there, whatever its value."""

    def headers_fit(self, wanted, headers):
        return {name.lower() for name in wanted or {}} <= {name.lower() for name in headers}


class CaseMatters(Sorted):
    """Wrong: A.COM is not a.com."""

    def host_fits(self, pattern, host):
        host = host.split(":")[0]
        if pattern is None:
            return True
        return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


class PortStays(Sorted):
    """Wrong: compares the Host header with its port."""

    def host_fits(self, pattern, host):
        return super().host_fits(pattern, host.replace(":", "!"))


class QueryStays(Sorted):
    """Wrong: the query is taken for a part of the path."""

    def parts(self, path):
        return [part for part in path.split("/") if part]


class HeaderCaseMatters(Sorted):
    """Wrong: header names are compared letter by letter."""

    def headers_fit(self, wanted, headers):
        return all(headers.get(name) == value for name, value in (wanted or {}).items())


class HostDecides(Sorted):
    """Wrong: looks only among the rules of the best host, as NGINX and Envoy do, and never at those for any."""

    def match(self, host, path, headers):
        fitting = [rule for rule in self.rules if self.host_fits(rule[0], host)]
        best = [rule for rule in fitting if (rule[0] or "").lower() == (fitting[0][0] or "").lower()]
        for _, prefix, wanted, target in best:
            if self.path_fits(prefix, path) and self.headers_fit(wanted, headers):
                return target
        return None


class FirstMatch(Sorted):
    """Wrong: the first rule in the list wins, however little it asks for."""

    def order(self, rule):
        return 0


class PathBeforeHost(Sorted):
    """Wrong: a longer path wins over a more exact host."""

    def order(self, rule):
        kind, wild, segments, headers = super().order(rule)
        return segments, kind, wild, headers


class HeadersDoNotCount(Sorted):
    """Wrong: a rule with headers does not win over one without."""

    def order(self, rule):
        return super().order(rule)[:3]
