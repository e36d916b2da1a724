"""The measurement of a check, and what passes.

Records and tables import it without JAX, the oracle and SciPy.
"""

from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from ..errors import InputError
from ..gru.kernels import STOCK

NOT_OFFERED = "not offered"
#: How far an answer may be from the oracle's: by rounding in float64, and by NumPy's
#: own error in a working dtype.
SAME_BOUND = 1e-12
ACCURACY_FACTOR = 4
ACCURACY_ULPS = 4


@dataclass(frozen=True)
class Measurement:
    """One quantity of one check, in one dtype.

    Args:
        port: its name.
        check: its name, or the names of the levels with which a row failed.
        quantity: what was compared, and where.
        dtype: of the port's computation.
        style: the call style, if one was asked.
        error: of the quantity, relative to the magnitude of the reference; None where
            there is none.
        bound: the largest error that passes.
        problem: why there is no error to compare, or None.
        kernel: that of the port's models, as users write it.
        levels: of a row of the contract, those that are not the usual ones, by factor;
            of one that failed, those that were found to be needed for that. None where
            no row was asked.
        place: the line at which the program of a row that failed parts from plain
            JAX's, where that was found.
    """

    port: str
    check: str
    style: str | None
    quantity: str
    dtype: str
    error: float | None
    bound: float
    problem: str | None = None
    kernel: str = STOCK
    levels: dict[str, str] | None = field(default=None, hash=False)
    place: str | None = None

    def __post_init__(self) -> None:
        if (self.error is None and self.problem is None) or min(
            self.error or 0.0, self.bound
        ) < 0:
            given = f"error is {self.error} with a bound of {self.bound}"
            raise InputError(
                f"{given}, expected numbers from 0, or a problem instead of an error."
            )

    @property
    def offered(self) -> bool:
        """Whether the port has what the check is about."""
        return self.problem is None or not self.problem.startswith(NOT_OFFERED)

    @property
    def passed(self) -> bool:
        """Whether the error was measured and is within the bound."""
        return (
            self.problem is None and self.error is not None and self.error <= self.bound
        )

    def __str__(self) -> str:
        where = (
            f"{self.port}[{self.style}]" if self.style else self.port
        ) + f":{self.kernel}" * (self.kernel != STOCK)
        what = (
            self.problem or f"error {self.error:.1e}, at most {self.bound:.1e} allowed"
        )
        levels = ", ".join(
            f"{name}={level}" for name, level in (self.levels or {}).items()
        )
        only = (
            f"; with {levels}, all else as usual; without one of them it passes"
            if levels
            else ""
        )
        place = f"; it parts from plain JAX at {self.place}" if self.place else ""
        return (
            f"{where}: {self.check}: {self.quantity} in {self.dtype}: "
            f"{what}{only}{place}"
        )


def relative_error(got: Any, reference: Any) -> float:
    """The largest difference, relative to the largest reference magnitude (or absolute,
    where that is 0).
    """
    reference = np.asarray(reference, np.float64)
    difference = np.abs(np.asarray(got, np.float64) - reference).max()
    return float(difference / (np.abs(reference).max() or 1.0))


def accuracy_bound(
    in_dtype: Any, reference: Any, dtype: str, operand_bits: int | None = None
) -> float:
    """The bound in a working dtype: 4 times the error of NumPy's answer in it, plus 4
    units in the last place.

    Operand bits are the significant bits to which what goes into a matrix product is
    rounded; None where it is not.
    """
    last_place = max(
        float(ml_dtypes.finfo(dtype).eps),
        0.0 if operand_bits is None else 2.0 ** (1 - operand_bits),
    )
    return (
        ACCURACY_FACTOR * relative_error(in_dtype, reference)
        + ACCURACY_ULPS * last_place
    )
