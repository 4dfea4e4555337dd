"""Slow start: a server that has just come in grows into its weight."""


class SlowStart:
    """In a straight line, from a tenth of its weight to all of it, within `window` seconds."""

    def __init__(self, window):
        self.window = window

    def weight(self, full, since, now):
        """What it weighs now, if its whole weight is `full` and it has been in since `since` (seconds).

        Clocks are set back at times: `since` may lie in the future.
        """
        share = (now - since) / self.window
        return full * share  # the gap: below a tenth it gets next to nothing, and above 1 there is no more to get
