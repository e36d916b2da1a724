"""Faults in the fused kernel: in its way there, in its derivative, and between its chunks.

Each is a piece of `common/gru/fused.py` written otherwise, and the module compiled again with it.
"""

import inspect
from functools import cache
from types import ModuleType
from typing import Any

import jax.numpy as jnp

from ...common.gru import fused
from ...common.gru.inputs import scan_inputs
from ...common.gru.kernels import fused_kernel
from ..pure import PurePort, _promote, _start
from .fault import Fault

__all__ = ["FAULTS"]


class _Rewritten(PurePort):
    """Plain JAX on a faulty kernel: `line`, which its source has once, replaced by `fault`."""

    def __init__(self, line: str, fault: str, kernel: str):
        self._line, self._fault, self._kernel = line, fault, kernel

    def apply(self, model, x, carry=None, *, lengths=None, resets=None, reverse=False, time_major=False, **options):
        x, params = _promote(model.dtype, jnp.asarray(x), model.params)
        by_time = scan_inputs(x, lengths, resets, time_major=time_major)  # (T, *batch, ...)
        batch = by_time[0].shape[1:-1]
        initial = _start(params, batch)  # (*batch, H)
        h = initial if carry is None else _start(params, batch, carry)
        carry, outputs = _rewritten(self._line, self._fault).fused_scan(
            fused.Weights(*params[:4]), h, initial, *by_time,
            reverse=reverse, unroll=model.unroll, kernel=fused_kernel(self._kernel, remat=model.remat),
        )  # fmt: skip
        return carry, jnp.moveaxis(outputs, 0, 0 if time_major else x.ndim - 2)


@cache
def _rewritten(line: str, fault: str) -> Any:
    source = inspect.getsource(fused)
    assert source.count(line) == 1, f"common/gru/fused.py has {line!r} {source.count(line)} times, expected once"
    module = ModuleType(fused.__name__)
    module.__package__ = fused.__package__
    exec(compile(source.replace(line, fault), fused.__file__, "exec"), vars(module))
    return module


def _mutant(name: str, fault: str, check: str, line: str, instead: str, kernel: str = "fused") -> Fault:
    return Fault(f"fused-{name}", f"{kernel}: {fault}", check, _Rewritten(line, instead, kernel))


CHUNKED = "fused@chunk=5"

FAULTS: tuple[Fault, ...] = (
    _mutant("late-state", "dW_h takes the state after the step", "sequence", "_times(before, ", "_times(after, "),
    _mutant("r-slope", "σ' without (1 - r)", "sequence", "r * (1 - r) * t_r", "r * t_r"),
    _mutant("n-slope", "tanh' of the state, not of n", "sequence", "(1 - n * n)", "(1 - h * h)"),
    _mutant("r-path", "no gradient through r", "sequence", "u_n + t_r * a + r * t_a", "u_n + r * t_a"),
    _mutant("no-r-path-of-n", "b_hn's gradient without r", "sequence", "t_r * a + r * t_a", "t_r * a + t_a"),
    _mutant("z-path", "no gradient through z", "sequence", " + (h - n) * t_z", " + 0 * t_z"),
    _mutant(
        "bias-of-n",
        "the gradient of b_in is that of b_hn",
        "sequence",
        "u_n = u_i[..., 2 * H :]",
        "u_n = u[..., 2 * H :] - u_h[..., 2 * H :]",
    ),
    _mutant(
        "no-start", "no gradient to the first state", "sequence", "scan(advance, t_h, by", "scan(advance, 0 * t_h, by"
    ),
    _mutant("x-detached", "inputs have no gradient", "sequence", "_times(t_x, weights", "_times(None, weights"),
    _mutant("no-reset-in-rule", "a reset keeps the old state's tangent", "resets", "(t_initial, t_h))", "(t_h, t_h))"),
    _mutant(
        "reset-not-in-dw", "dW_h takes the state before a reset", "resets", "states if resets is None", "states if True"
    ),
    _mutant("padding-moves", "padding moves the tangent", "lengths", "t_next if on is None", "t_next if True"),
    _mutant(
        "padding-in-dy",
        "padding's outputs have a gradient",
        "lengths",
        "_outputs(t_after, active)",
        "_outputs(t_after, None)",
    ),
    _mutant(
        "other-forward",
        "other values unless differentiated",
        "inference",
        "return last, _outputs(after, active)",
        "return last, _outputs(after * (1 + 1e-9), active)",
    ),
    _mutant(
        "reverse-shifted",
        "backwards, outputs are one step off",
        "reverse",
        "[last[None], states[:-1]]",
        "[states[:1], states[:-1]]",
    ),
    _mutant(
        "unroll-other-way",
        "unrolled, the tangent runs the other way",
        "unroll",
        "reverse=how.reverse, unroll=how.unroll)\n    return (last",
        "reverse=how.reverse ^ (how.unroll > 1), unroll=how.unroll)\n    return (last",
    ),
    _mutant(
        "vmap-detached",
        "under vmap, weights have no gradient",
        "vmap",
        "return _product_p.bind(x, kernel, precision=precision), x_axis",
        "return _product_p.bind(0 * x, kernel, precision=precision), x_axis",
    ),
    _mutant(
        "some-no-bias",
        "n computed again without its bias",
        "sequence",
        "weights.bias[2 * H :], gi.shape",
        "0 * weights.bias[2 * H :], gi.shape",
        "fused@save=some",
    ),
    _mutant(
        "some-no-b-hn",
        "a computed again without b_hn",
        "sequence",
        "a = a + jnp.broadcast_to(weights.bias_n",
        "a = a + 0 * jnp.broadcast_to(weights.bias_n",
        "fused@save=some",
    ),
    _mutant(
        "chunk-cut",
        "the gradient ends at a chunk's start",
        "sequence",
        "return _loop(how, weights, h, ",
        "return _loop(how, weights, jax.lax.stop_gradient(h), ",
        CHUNKED,
    ),
    _mutant(
        "chunk-rest",
        "the steps left over go on from the start",
        "sequence",
        "carry, last = again(advance)(carry, left)",
        "carry, last = again(advance)(initial, left)",
        CHUNKED,
    ),
    _mutant(
        "chunk-reverse",
        "backwards, the steps left over are the last",
        "reverse",
        "first = rest if reverse else 0",
        "first = 0",
        CHUNKED,
    ),
    _mutant(
        "hoist-detached",
        "hoisted, inputs' weights have no gradient",
        "hvp",
        "gi = _times(x, weights.kernel_i) if",
        "gi = _times(x, jax.lax.stop_gradient(weights.kernel_i)) if",
        "fused@hoist=true",
    ),
    _mutant(
        "remat-other",
        "saving nothing, another way back",
        "remat",
        "    by_time = (x, resets, active)\n    again",
        '    if kernel.save == "none":\n'
        "        weights = weights._replace(bias_n=jax.lax.stop_gradient(weights.bias_n))\n"
        "    by_time = (x, resets, active)\n    again",
    ),
    _mutant(
        "first-order",
        "the rule has no derivative of its own",
        "hvp",
        "r, z, n, a = saved if",
        "saved = jax.lax.stop_gradient(saved)\n        r, z, n, a = saved if",
    ),
    _mutant(
        "half",
        "products of all steps in half precision",
        "sequence",
        "    return jnp.matmul(x, kernel, precision=precision)",
        "    return jnp.matmul(x.astype('bfloat16'), kernel.astype('bfloat16')).astype(x.dtype)",
    ),
)
