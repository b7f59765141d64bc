"""When frames are shown: clocks that jump, frames without a time, and how many seconds each stands for."""

from fractions import Fraction

JUMP = 10  # seconds forward in the clock of a transport or program stream that are a new clock, as for `ffmpeg`
BACK = Fraction(1, 10)  # seconds backward that are one


def fraction(number):
    """A rational number of PyAV, whose type depends on its version, as a Fraction; None and 0 / 0 as None."""
    return Fraction(number.numerator, number.denominator) if number and number.denominator else None


class Clock:
    """Makes one clock of the several that the packets of a transport or program stream may have.

    Such streams are cut and put together without new times: the clock starts again, or stands elsewhere. Packets are
    put right after those before them, by the rule of the `ffmpeg` command line (`dts_delta_threshold`). A packet to be
    shown that long before or after it is decoded has a damaged time, and takes the other.

    Args:
        nominal: seconds of a packet that does not say how long it lasts.

    Attributes:
        jumps: how many there were.
    """

    def __init__(self, nominal):
        self.nominal = nominal
        self.jumps = 0
        self._offset = Fraction(0)  # seconds to add
        self._last = self._expected = None

    def correct(self, packet):
        """Sets the times of a packet, which comes after those before it in the file."""
        base = fraction(packet.time_base)
        if packet.dts is not None:
            time = packet.dts * base + self._offset
            if self._last is not None and (abs(time - self._expected) > JUMP or time + BACK < self._last):
                self._offset += self._expected - time
                time = self._expected
                self.jumps += 1
            self._last = self._expected = time
            if packet.pts is not None and abs(packet.pts - packet.dts) * base > JUMP:
                packet.pts = packet.dts
        if self._expected is not None:
            self._expected += packet.duration * base if packet.duration else self.nominal
        if self._offset:
            ticks = round(self._offset / base)
            packet.dts = None if packet.dts is None else packet.dts + ticks
            packet.pts = None if packet.pts is None else packet.pts + ticks


def growing(decoded):
    """Yields (seconds, duration in seconds, frame) from (frame, time base, duration, nominal duration).

    The seconds are exact fractions that only grow, whatever the file says.
    """
    latest = step = None
    for frame, base, duration, nominal in decoded:
        time = None if frame.pts is None else frame.pts * base
        if time is None:
            time = Fraction(0) if latest is None else latest + step
        elif latest is not None and time <= latest:
            time = latest + nominal
        latest, step = time, duration
        yield time, duration, frame
