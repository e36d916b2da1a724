"""Faults in the fused kernel: in its forward pass, in its derivative, and between its chunks.

Each replaces one of the kernel's parts, or changes the arguments that the part is given.
"""

from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from typing import Any

import jax
import jax.numpy as jnp

from ...common.gru.fused import Parts, Weights, fused_scan
from ...common.gru.inputs import scan_inputs, start
from ...common.gru.kernels import fused_kernel
from ...common.gru.products import is_zero
from ..pure import PurePort, _promote
from .fault import Fault

RIGHT = Parts()


class _WithParts(PurePort):
    """Plain JAX on a kernel of these parts."""

    def __init__(self, kernel: str, parts: Parts):
        self._kernel, self._parts = kernel, parts

    def apply(self, model, x, carry=None, *, lengths=None, resets=None, reverse=False, time_major=False, **options):
        params, x, carry = _promote(model.dtype, model.params, x, carry)
        by_time = scan_inputs(x, lengths, resets, time_major=time_major)  # (T, *batch, ...)
        initial = start(params.initial_carry, by_time[0])  # (*batch, H)
        h = initial if carry is None else start(carry, by_time[0])
        kernel, weights = fused_kernel(self._kernel, remat=model.remat), Weights(*params[:4])
        options = {"reverse": reverse, "unroll": model.unroll, "kernel": kernel, "parts": self._parts}
        carry, outputs = fused_scan(weights, h, initial, *by_time, **options)
        return carry, jnp.moveaxis(outputs, 0, 0 if time_major else x.ndim - 2)


def _fault(
    name: str, what: str, check: str, part: str, kernel_name: str = "fused", /, wrong: Any = None, **changes: Any
) -> Fault:
    """A row: `wrong` in place of a part of the kernel, or the right one with some arguments changed on the way in."""
    wrong = wrong or _given(getattr(RIGHT, part), changes)
    port = _WithParts(kernel_name, replace(RIGHT, **{part: wrong}))
    return Fault(f"fused-{name}", f"{kernel_name}: {what}", check, port)


def _given(right: Callable[..., Any], changes: dict[str, Callable[[Any], Any]]) -> Callable[..., Any]:
    def wrong(*arguments: Any, **options: Any) -> Any:
        bound = signature(right).bind(*arguments, **options)
        bound.arguments |= {name: change(bound.arguments[name]) for name, change in changes.items()}
        return right(*bound.args, **bound.kwargs)

    return wrong


def _slopes(**wrong: Callable[..., Any]) -> Callable[..., Any]:
    """Some derivatives of a step, as functions of its h, r, z, n and a."""
    return lambda *step: RIGHT.slopes(*step)._replace(**{name: slope(*step) for name, slope in wrong.items()})


def _from_detached(advance):
    return lambda h, by_time: advance(jax.lax.stop_gradient(h), by_time)


def _bias_of_a(t_weights):
    H = t_weights.bias_n.shape[-1]
    return t_weights._replace(bias=t_weights.bias.at[2 * H :].set(t_weights.bias_n))


def _half(a):
    return a if is_zero(a) else a.astype("bfloat16").astype(a.dtype)


def _none(_):
    return None


SOME, CHUNKED, HOISTED = "fused@save=some", "fused@chunk=5", "fused@hoist=true"

FAULTS: tuple[Fault, ...] = (
    _fault("late-state", "dW_h takes the state after the step", "sequence", "states_multiplied",
           h=lambda h: jnp.roll(h, -1, axis=0)),
    _fault("r-slope", "σ' without (1 - r)", "sequence", "slopes", wrong=_slopes(r=lambda h, r, *_: r)),
    _fault("n-slope", "tanh' of the state, not of n", "sequence", "slopes", wrong=_slopes(n=lambda h, *_: 1 - h * h)),
    _fault("r-path", "no gradient through r", "sequence", "slopes", wrong=_slopes(n_by_r=lambda h, *_: 0 * h)),
    _fault("no-r-path-of-n", "b_hn's gradient without r", "sequence", "slopes",
           wrong=_slopes(n_by_a=lambda h, r, *_: jnp.ones_like(r))),
    _fault("z-path", "no gradient through z", "sequence", "slopes", wrong=_slopes(h_by_z=lambda h, *_: 0 * h)),
    _fault("bias-of-n", "the gradient of b_in is that of b_hn", "sequence", "outside", t_weights=_bias_of_a),
    _fault("no-start", "no gradient to the first state", "sequence", "scan_tangents", start=lambda h: 0 * h),
    _fault("x-detached", "inputs have no gradient", "sequence", "outside", t_x=_none),
    _fault("no-reset-in-rule", "a reset keeps the old state's tangent", "resets", "restart_tangent", reset=_none),
    _fault("reset-not-in-dw", "dW_h takes the state before a reset", "resets", "states_multiplied", reset=_none),
    _fault("padding-moves", "padding moves the tangent", "lengths", "pause_tangent", on=_none),
    _fault("padding-in-dy", "padding's outputs have a gradient", "lengths", "output_tangents", active=_none),
    _fault("other-forward", "other values unless differentiated", "inference", "outputs",
           after=lambda h: h * (1 + 1e-9)),
    _fault("reverse-shifted", "backwards, outputs are one step off", "reverse", "states_after",
           wrong=lambda states, last, reverse: states if reverse else RIGHT.states_after(states, last, reverse)),
    _fault("unroll-other-way", "unrolled, the tangent runs the other way", "unroll", "scan_tangents",
           how=lambda how: replace(how, reverse=how.reverse ^ (how.kernel.unroll > 1))),
    _fault("vmap-detached", "under vmap, weights have no gradient", "vmap", "times",
           x=lambda x: 0 * x if type(x).__name__ == "BatchTracer" else x),
    _fault("some-no-bias", "n computed again without its bias", "sequence", "candidate", SOME,
           weights=lambda weights: weights._replace(bias=0 * weights.bias)),
    _fault("some-no-b-hn", "a computed again without b_hn", "sequence", "candidate", SOME,
           weights=lambda weights: weights._replace(bias_n=0 * weights.bias_n)),
    _fault("chunk-cut", "the gradient ends at a chunk's start", "sequence", "over_chunks", CHUNKED,
           advance=_from_detached),
    _fault("chunk-rest", "the steps left over go on from the start", "sequence", "over_chunks", CHUNKED,
           wrong=lambda advance, carry, *rest: (carry, RIGHT.over_chunks(advance, carry, *rest)[1])),
    _fault("chunk-reverse", "backwards, the steps left over are the last", "reverse", "cut", CHUNKED,
           reverse=lambda _: False),
    _fault("hoist-detached", "hoisted, inputs' weights have no gradient", "hvp", "hoisted", HOISTED,
           kernel=jax.lax.stop_gradient),
    _fault("remat-other", "saving nothing, another backward pass", "remat", "recompute", fun=_from_detached),
    _fault("first-order", "the rule has no derivative of its own", "hvp", "slopes",
           **dict.fromkeys("rzna", jax.lax.stop_gradient)),
    _fault("half", "products of all steps in half precision", "sequence", "times", x=_half, kernel=_half),
)  # fmt: skip
