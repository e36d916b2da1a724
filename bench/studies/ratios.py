"""What the samples of a study say: ratios of two arms, paired within rounds, with a verdict."""

from dataclasses import dataclass

import numpy as np

from ..analysis.statistics import Comparison, as_ratio, effect_of, enough_rounds, noise_floor, verdict
from .record import DUPLICATE, StudyRecord


@dataclass(frozen=True)
class Ratio:
    """The time of one arm over that of another.

    Args:
        time_s: median seconds per call of the first.
        verdict: of the first: "faster", "slower" or "indistinguishable".
    """

    one: str
    other: str
    time_s: float
    ratio: Comparison
    verdict: str


def floor_of(record: StudyRecord) -> float:
    """The noise floor of a study, as a fraction."""
    return noise_floor(_paired(record, DUPLICATE, record.baseline), len(set(record.process)))


def ratio_of(record: StudyRecord, one: str, other: str | None = None) -> Ratio:
    """Two arms of a study; the second is the baseline unless it is named."""
    other = other or record.baseline
    found = _paired(record, one, other)
    said = verdict(found, floor_of(record)) if enough_rounds(record.process) else "indistinguishable"
    return Ratio(one, other, float(np.median(record.time_s[one])), found, said)


def _paired(record: StudyRecord, one: str, other: str) -> Comparison:
    log_ratio = np.log(record.time_s[one]) - np.log(record.time_s[other])
    return as_ratio(effect_of(log_ratio, record.process))
