"""One comparison with something published: what is expected, how far off it may be, and what came of it."""

import dataclasses

import numpy as np

EXPECTED, DEVIATION, SKIPPED = "as expected", "deviation", "skipped"


@dataclasses.dataclass(frozen=True)
class Check:
    """What is compared.

    Attributes:
        name: "GROUP.WHAT", which no other check has.
        expected: a number, a tuple of numbers, text, or a tuple of texts.
        source: where it was published.
        how: how it is measured.
        tolerance: how far each number may be off; None of text, which has to be equal.
        why: why so far.
        relative: whether the tolerance is a share of each expected number.
    """

    name: str
    expected: object
    source: str
    how: str
    tolerance: float | None = None
    why: str = ""
    relative: bool = False

    def judged(self, measured, seconds=0.0, note=""):
        """Returns the Outcome of what was measured: as `expected`. What is not finite is a deviation."""
        if self.tolerance is None:
            holds = measured == self.expected
        else:
            wanted, found = np.float64(self.expected), np.float64(measured)
            limit = self.tolerance * (np.abs(wanted) if self.relative else 1.0)
            holds = found.shape == wanted.shape and bool((np.abs(found - wanted) <= limit).all())
        return Outcome(self, EXPECTED if holds else DEVIATION, measured, note, seconds)

    def failed(self, reason, seconds=0.0):
        """Returns the Outcome where nothing could be measured because of what the check is about."""
        return Outcome(self, DEVIATION, None, reason, seconds)

    def skipped(self, reason):
        """Returns the Outcome where it did not run, for a reason that is not its own."""
        return Outcome(self, SKIPPED, None, reason)

    def allowed(self):
        """Says how far off the numbers may be; "" of text."""
        if self.tolerance is None:
            return ""
        return f"within {100 * self.tolerance:.3g} %" if self.relative else f"within {self.tolerance:.3g}"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a Check.

    Attributes:
        check: the Check.
        status: EXPECTED, DEVIATION or SKIPPED.
        measured: as `Check.expected`; None if nothing was.
        note: why it deviates or was skipped, or what else there is to say.
        seconds: that it took.
    """

    check: Check
    status: str
    measured: object = None
    note: str = ""
    seconds: float = 0.0

    def __str__(self):
        status = self.status.upper() if self.status == DEVIATION else self.status
        return f"{status:<12} {self.check.name:<34} {self.details()}".rstrip()

    def details(self):
        """Says what was measured next to what was expected, and the note."""
        if self.measured is None:
            return self.note
        expected = shown(self.check.expected)
        if self.measured == self.check.expected:
            said = expected
        else:
            allowed = self.check.allowed()
            said = f"{shown(self.measured)} (expected {expected}{f', {allowed}' if allowed else ''})"
        return f"{said}; {self.note}" if self.note else said

    def record(self):
        """Returns plain numbers, strings and lists."""
        found = dataclasses.asdict(self)
        found["measured"] = _finite_or_text(self.measured)
        return {**found.pop("check"), **found, "seconds": round(self.seconds, 3)}


def _finite_or_text(value):
    """NaN and infinity, for which JSON has no number, as text; anything else as it is."""
    if isinstance(value, tuple | list):
        return tuple(map(_finite_or_text, value))
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def shown(value):
    """Returns a value of a check as text."""
    if isinstance(value, tuple | list):
        return ", ".join(map(shown, value))
    return value if isinstance(value, str) else f"{value:.9g}"
