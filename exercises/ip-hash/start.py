"""IP hash: the same client address, the same server, in every process."""

import zlib


class IpHash:
    """Chooses by the client's address alone."""

    def pick(self, request, backends):
        """The one of `backends` for this client: `request.client` is its address, as text."""
        number = hash(request.client)  # the gap: in another process, this is another number
        return backends[number % len(backends)]
