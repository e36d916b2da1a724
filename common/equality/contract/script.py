"""A script that runs one failed row alone."""

from ...gru.kernels import STOCK
from ..measurement import Measurement
from .factors import NO_STYLE, Row
from .shrinking import whole_row

#: What is run by the port's own call, and not by the harness.
_DIRECT = {
    "entry": ("whole",),
    "phase": ("forward", "gradient"),
    "transform": ("jit", "eager"),
    "style": (NO_STYLE,),
    "carry": ("none", "passed", "other dtype"),
    "time-major": ("no",),
    "arrays": ("device",),
}

_HEAD = '''"""{said}."""

import jax
import numpy as np
from trigru.common.equality.contract.data import config_of, data_of
from trigru.common.equality.contract.programs import answers_of
from trigru.common.equality.contract.reference import expect
from trigru.common.parameters.record import leaves
from trigru.common.port.protocol import WithKernel
from trigru.impls import get_port

jax.config.update("jax_enable_x64", {wide})
jax.config.update("jax_default_matmul_precision", "highest")

port = {port}
row = {row}
data = data_of(row)
data = data.of_set([values.name for values in data.values].index("{values}"))
'''

_CALL = """
x, carry, lengths, resets = (a if a is None else a[0] for a in (data.x, data.carry, data.lengths, data.resets))
model = port.load(config_of(row), data.params)


def run(model, x, carry):
    carry, outputs = port.apply(model, x, carry, lengths=lengths, resets=resets{flags})
    return (outputs * data.weights[0]).sum() + (carry * data.d_carry[0]).sum(), {{"carry": carry, "outputs": outputs}}


{body}
"""

_FORWARD = "_, found = {jit}(run)(model, x, carry)"
_GRADIENT = """def of_own(model, x, *carry):
    return run(model, x, carry[0] if carry else None)


own = (x,) if carry is None else (x, carry)
(_, found), (of_model, *others) = {jit}(port.value_and_grad(of_own, has_aux=True))(model, *own)
found |= {{f"d {{name}}": a for name, a in leaves(port.dump(of_model)).items()}}
found |= {{f"d {{name}}": a for name, a in zip(("x", "carry"), others)}}"""

_HARNESS = """
(found,) = answers_of(row, port, data)
"""

_TAIL = """
for name, (want,) in expect(row, data, np.float64).items():
    got = np.asarray(found.get(name, np.nan)).astype(np.float64)
    if got.shape != want.shape:
        print(f"{name}: shape {got.shape}, expected {want.shape}")
        continue
    print(f"{name}: largest difference {np.abs(got - want).max():.1e}, largest value {np.abs(want).max():.1e}")
"""


def script_of(failed: Measurement) -> str:
    """The text of a script for a row's measurement; it prints how far each answer is from the oracle's."""
    row = whole_row(failed.levels or {})
    values = failed.quantity.partition(" of ")[2] or "usual values"
    port = f'get_port("{failed.port}")'
    if failed.kernel != STOCK:
        port = f'WithKernel({port}, "{failed.kernel}")'
    head = _HEAD.format(
        said=str(failed).replace('"', "'").replace("\\", "/"),
        wide=row["dtype"] == "float64",
        port=port,
        row=row,
        values=values,
    )
    return head + (_direct_call(row) if _is_direct(row) else _HARNESS) + _TAIL


def _is_direct(row: Row) -> bool:
    return all(row.get(name, "default") in levels for name, levels in _DIRECT.items())


def _direct_call(row: Row) -> str:
    flags = ", reverse=True" if row["reverse"] == "yes" else ""
    jit = "jax.jit" if row["transform"] == "jit" else ""
    body = (_FORWARD if row["phase"] == "forward" else _GRADIENT).format(jit=jit)
    return _CALL.format(flags=flags, body=body)
