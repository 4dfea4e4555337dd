"""Slow start: right ones in different styles, and wrong ones as people write them."""


class Linear:
    """Right: a straight line from a tenth of the weight."""

    def __init__(self, window):
        self.window = window

    def weight(self, full, since, now):
        return full * self.part(now - since)

    def part(self, age):
        return min(1.0, max(0.1, age / self.window))


class SlowStartConfig:
    """Right: Envoy's formula, with its parameters."""

    def __init__(self, slow_start_window, min_weight_percent=0.1, aggression=2.0):
        self.slow_start_window = slow_start_window
        self.min_weight_percent = min_weight_percent
        self.aggression = aggression

    def factor(self, started_at, now):
        elapsed = max(now - started_at, 1.0)
        if elapsed >= self.slow_start_window:
            return 1.0
        time_factor = elapsed / self.slow_start_window
        return max(self.min_weight_percent, time_factor ** (1 / self.aggression))


class WholeNumbers:
    """Right: weights are whole numbers, and 1 at least, as a table of turns wants them."""

    def __init__(self, window):
        self.window = window

    def weight(self, full, since, now):
        return max(1, round(full * min(1, max(0, now - since) / self.window)))


class Steps:
    """Right: ten steps, asked for the age, from nothing as in NGINX."""

    def __init__(self, seconds):
        self.step = seconds / 10

    def effective_weight(self, w, elapsed):
        steps = int(elapsed / self.step + 1e-9) + 1 if elapsed > 0 else 0
        return w * min(steps, 10) / 10


class ComplexPower(Linear):
    """Wrong: the square root of a negative age is a complex number, when the clock is set back."""

    def part(self, age):
        return min(1.0, (age / self.window) ** 0.5)


class Logarithm(Linear):
    """Wrong: it divides by the age, which is 0 in the beginning."""

    def part(self, age):
        return 0.1 if age < 0 else min(1.0, 1 / (self.window / age))


class Negative(Linear):
    """Wrong: when the clock is set back, the weight is below 0."""

    def part(self, age):
        return min(1.0, age / self.window)


class NothingForLong(Linear):
    """Wrong: it is rounded down to whole numbers, so a server of weight 1 gets nothing until the end."""

    def weight(self, full, since, now):
        return int(full * min(1.0, max(0.0, (now - since) / self.window)))


class AllAtOnce(Linear):
    """Wrong: ten percent is written as 10, so everybody starts with everything."""

    def part(self, age):
        return min(1.0, max(10, age / self.window))


class OnlyTheFirstTime(Linear):
    """Wrong: it remembers when the server came in first, so who is back after a failure is flooded."""

    def __init__(self, window):
        super().__init__(window)
        self.began = None

    def weight(self, full, since, now):
        self.began = since if self.began is None else self.began
        return full * self.part(now - self.began)


class NeverDone(Linear):
    """Wrong: it approaches the whole weight and never gets there."""

    def part(self, age):
        age = max(age, 0)
        return max(0.1, age / (age + self.window / 10))


class TooHeavy(Linear):
    """Wrong: the line goes on after the window, and the server outweighs all the others."""

    def part(self, age):
        return max(0.1, age / self.window)


class LastSecond(Linear):
    """Wrong: it keeps the least weight all the time, and gets everything at once in the end."""

    def part(self, age):
        return 0.1 if age < self.window else 1.0


class SecondsOfTheMinute(Linear):
    """Wrong: of the age it sees only the seconds of the minute, so in a long window it falls back each minute."""

    def part(self, age):
        if age >= self.window:
            return 1.0
        return max(0.1, max(age, 0) % 60 / self.window)


class TwoCurves(Linear):
    """Wrong: a straight line for the first half and a square for the second, and they do not meet."""

    def part(self, age):
        part = super().part(age)
        return part if part < 0.5 else part * part


class OneEachSecond(Linear):
    """Wrong: the weight grows by so much a second, whatever the whole is, so the heavy stay small for long."""

    def weight(self, full, since, now):
        age = now - since
        if age >= self.window:
            return full
        return min(full, max(full / 10, 20 * age / self.window))


class WeightInTheExponent(Linear):
    """Wrong: the exponent has the weight in it where the aggression belongs, so the heavy are quick."""

    def weight(self, full, since, now):
        part = min(1.0, max(0.0, (now - since) / self.window))
        return full * part ** (10 / full)
