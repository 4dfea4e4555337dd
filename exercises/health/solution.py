"""The health state machine: one bad probe does not make a server ill, nor one good probe well."""


class Health:
    """Believes a change after `rise` successes in a row, or `fall` failures in a row."""

    def __init__(self, rise, fall):
        self.rise = rise
        self.fall = fall
        self.state = "up"
        self.against = 0  # how many probes in a row spoke against the state

    def on_probe(self, ok):
        """A probe succeeded (`ok` is True) or failed; answer what is believed now, "up" or "down"."""
        if ok == (self.state == "up"):
            self.against = 0
            return self.state
        self.against += 1
        if self.against == (self.rise if ok else self.fall):
            self.state = "up" if ok else "down"
            self.against = 0
        return self.state
