"""A script that runs one failed row alone."""

from ...gru.kernels import STOCK
from ..measurement import Measurement
from .factors import whole_row

_SCRIPT = '''"""{message}."""

import jax
import numpy as np
from trigru.common.equality.contract.data import data_of
from trigru.common.equality.contract.programs import answers_of
from trigru.common.equality.contract.reference import expect
from trigru.common.port.protocol import WithKernel
from trigru.impls import get_port

jax.config.update("jax_enable_x64", {wide})
jax.config.update("jax_default_matmul_precision", "highest")

port = {port}
row = {row}
data = data_of(row)
data = data.of_set([values.name for values in data.values].index("{values}"))
(found,) = answers_of(row, port, data)  # port.apply, port.step, port.classify or a call style
for name, (want,) in expect(row, data, np.float64).items():
    got = np.asarray(found.get(name, np.nan)).astype(np.float64)
    if got.shape != want.shape:
        print(f"{{name}}: shape {{got.shape}}, expected {{want.shape}}")
        continue
    print(f"{{name}}: largest difference {{np.abs(got - want).max():.1e}}, largest value {{np.abs(want).max():.1e}}")
'''


def script_of(failed: Measurement) -> str:
    """The text of a script for a row's measurement; it prints how far each answer is from the oracle's."""
    row = whole_row(failed.levels or {})
    port = f'get_port("{failed.port}")'
    return _SCRIPT.format(
        message=str(failed).replace('"', "'").replace("\\", "/"),
        wide=row["dtype"] == "float64",
        port=port if failed.kernel == STOCK else f'WithKernel({port}, "{failed.kernel}")',
        row=row,
        values=failed.quantity.partition(" of ")[2] or "usual values",
    )
