"""A case that fails: the fewest levels with which it still does, and a script that runs
it.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from time import monotonic

from ..measurement import Measurement
from .cases import FLOAT64, Case
from .space import Space

#: How many cases are asked at most to make one smaller.
MOST_ASKED = 60
#: For how long one may begin.
LONGEST_S = 90.0


def smallest(
    case: Case,
    space: Space,
    fails: Callable[[Case], bool],
    clock: Callable[[], float] = monotonic,
) -> Case:
    """The case with as many usual levels as it can have and still fail."""
    begun_s, asked = clock(), 0
    before = None
    while case != before:
        before = case
        for field in reversed(fields(case)):
            simpler = replace(case, **{field.name: field.default})
            if simpler == case or not space.allows(simpler):
                continue
            if asked == MOST_ASKED or clock() - begun_s >= LONGEST_S:
                return case
            asked += 1
            if fails(simpler):
                case = simpler
    return case


_SCRIPT = '''"""{message}."""

import jax
import numpy as np
from trigru.common.equality.contract.arrays import arrays_of
from trigru.common.equality.contract.calling import answers_of
from trigru.common.equality.contract.cases import Case
from trigru.common.equality.contract.expected import answers_to
from trigru.impls import get_port

jax.config.update("jax_enable_x64", {wide})
jax.config.update("jax_default_matmul_precision", "highest")

port = get_port("{port}")
case = Case.from_levels({levels})
arrays = arrays_of(case)
names = [values.name for values in arrays.values]
arrays = arrays.of_set(names.index("{values}"))
(answers,) = answers_of(case, port, arrays)  # port.apply, port.step or a call style
for name, (want,) in answers_to(case, arrays, np.float64).items():
    got = np.asarray(answers.get(name, np.nan)).astype(np.float64)
    off = np.abs(got - want).max() if got.shape == want.shape else np.nan
    shapes = f"shape {{got.shape}}, expected {{want.shape}}"
    largest = f"largest value {{np.abs(want).max():.1e}}"
    print(f"{{name}}: largest difference {{off:.1e}}, {{largest}}, {{shapes}}")
'''


def script_of(failed: Measurement) -> str:
    """The text of a script for a case's measurement; it prints how far each answer is
    from the oracle's.
    """
    assert failed.levels is not None
    levels = {"kernel": failed.kernel, **failed.levels}
    _, _, values = failed.quantity.partition(" of ")
    return _SCRIPT.format(
        message=str(failed).replace('"', "'").replace("\\", "/"),
        wide=Case.from_levels(levels).dtypes == FLOAT64,
        port=failed.port,
        levels=levels,
        values=values or "usual values",
    )
