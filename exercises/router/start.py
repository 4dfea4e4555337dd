"""The router: of all rules that match a request, the most specific one says where it goes."""


class Router:
    """A rule is `(host, prefix, headers, target)`; None in it means "any"."""

    def __init__(self, rules):
        self.rules = rules

    def match(self, host, path, headers):
        """The target of the best rule that matches, or None. `headers` is a dictionary."""
        host = host.split(":")[0].lower()
        path = path.split("?")[0].split("#")[0]
        sent = {name.lower(): value for name, value in headers.items()}
        matching = [rule for rule in self.rules if self.matches(rule, host, path, sent)]
        return max(matching, key=self.rank)[3] if matching else None

    def matches(self, rule, host, path, sent):
        """Whether a rule applies to that request."""
        of_host, prefix, headers, _ = rule
        wanted = {name.lower(): value for name, value in (headers or {}).items()}
        return (
            self.host_matches(of_host, host)
            and self.path_matches(prefix, path)
            and all(sent.get(name) == value for name, value in wanted.items())
        )

    def host_matches(self, pattern, host):
        """Whether the host is the rule's, or below it if that is written `*.name`."""
        if pattern is None:
            return True
        pattern = pattern.lower()
        return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern

    def path_matches(self, prefix, path):
        """Whether the path begins with the prefix, by whole segments: `/api` matches `/api/x`, and not `/apix`.

        A slash at the end of the prefix means nothing: `/api/` matches what `/api` does.
        """
        return path.startswith(prefix)  # the gap: what may follow the prefix?

    def rank(self, rule):
        """Exact hosts before wildcards, longer ones first; then more segments of the path; then more headers."""
        host, prefix, headers, _ = rule
        exact = 0 if host is None else 1 if host.startswith("*.") else 2
        return exact, len(host or ""), len([part for part in prefix.split("/") if part]), len(headers or ())
