"""Real sequences that ship with the package."""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np


class Utterances(NamedTuple):
    """Labelled sequences of unequal length, zero-padded to the longest."""

    inputs: np.ndarray  # (N, 29, 12) float32
    lengths: np.ndarray  # (N,) int32, 7 to 29
    labels: np.ndarray  # (N,) int32, speaker 0 to 8


@cache
def japanese_vowels(split: str = "train") -> Utterances:
    """Nine speakers saying "ae" as 12 cepstrum coefficients a frame.

    Args:
        split: "train" (270 utterances) or "test" (370).

    Source: Kudo, Toyama and Shimbo, UCI Machine Learning Repository,
    https://doi.org/10.24432/C5NS47, CC BY 4.0.

    >>> japanese_vowels().inputs.shape
    (270, 29, 12)
    """
    with np.load(
        str(files("trigru.common") / "data" / "japanese_vowels.npz"), allow_pickle=False
    ) as archive:
        return Utterances(
            *(archive[f"{split}_{field}"] for field in Utterances._fields)
        )
