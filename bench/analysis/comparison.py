"""How long an arm takes beside another one, and the word for it."""

from typing import Literal

from msgspec import Struct

#: Of an arm beside another, or beside itself before.
Verdict = Literal["faster", "slower", "indistinguishable"]


class TimeComparison(Struct, frozen=True):
    """The time of an arm over that of another, per call, with its 95 % interval."""

    ratio: float
    low: float
    high: float

    @property
    def turned(self) -> "TimeComparison":
        """The time of the other over that of this one."""
        return TimeComparison(1 / self.ratio, 1 / self.high, 1 / self.low)
