r"""The model in NumPy: the forward pass by the equations, the gradients by hand. It
does not use JAX.

For input x_t and state h, gates in the order r, z, n:

    r   = sigmoid(W_ir x + b_ir + W_hr h)
    z   = sigmoid(W_iz x + b_iz + W_hz h)
    n   = tanh(W_in x + b_in + r * (W_hn h + b_hn))
    h'  = (1 - z) * n + z * h

Before step t, where `resets` is true, h becomes the initial carry; at and past an
example's length, h stays and the output is zero. In reverse, steps run from the last to
the first, and outputs stay beside their inputs. This is the cell of Cho et al. (2014),
https://arxiv.org/abs/1406.1078, in the "reset after" form of cuDNN and torch.

Everything is computed in the dtype of its arguments: float64 gives the reference,
float32 shows what rounding alone does to a plain evaluation of the same equations. In
complex128 it gives directional derivatives: the imaginary part of f(p + i ε v) / ε is
the derivative of f along v to the last digit, without a finite difference (the complex
step of Squire and Trapp, 1998, https://doi.org/10.1137/S003614459631241X), for
gradients as for values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from ..parameters.record import GRUParams

Array = np.ndarray
Product = Callable[[Array, Array], Array]


class Step(NamedTuple):
    """What one step leaves behind for `backward`."""

    time: int
    h: Array  # before the step, after a reset (*batch, H)
    r: Array  # (*batch, H)
    z: Array  # (*batch, H)
    n: Array  # (*batch, H)
    gh_n: Array  # W_hn h + b_hn (*batch, H)
    is_reset: Array  # (*batch, 1)
    is_valid: Array  # (*batch, 1)


@dataclass(frozen=True)
class ForwardPass:
    """A forward pass: its results and what `backward` needs."""

    carry: Array  # (*batch, H)
    outputs: Array  # (*batch, T, H)
    frames: Array  # (T, *batch, D)
    steps: list[Step]  # in the order in which they ran
    carry_passed: bool
    product: Product


class Gradients(NamedTuple):
    """The gradients of a scalar with respect to all inputs."""

    params: GRUParams
    x: Array  # (*batch, T, D)
    carry: (
        Array | None
    )  # (*batch, H); None when the sequence began from the initial carry


def forward(
    params: GRUParams,
    x: Array,
    carry: Array | None = None,
    lengths: Array | None = None,
    resets: Array | None = None,
    *,
    reverse: bool = False,
    operand_bits: int | None = None,
) -> ForwardPass:
    """Run the GRU over a sequence.

    Args:
        params: canonical parameters, D inputs and H units.
        x: inputs (*batch, T, D).
        carry: starting state (*batch, H); None starts from `params.initial_carry`.
        lengths: valid steps (*batch), integers; None means all.
        resets: (*batch, T) booleans; None means none.
        reverse: whether steps run from the last to the first.
        operand_bits: how many significant bits of what goes into a matrix product are
            kept, here and in `backward`, as accelerators do that are asked for speed:
            11 as in TF32, 8 as in bfloat16. None keeps all.
    """
    W_i, W_h, b, b_n, h_0 = params
    product = partial(_product, bits=operand_bits)
    frames = np.moveaxis(x, -2, 0)  # (T, *batch, D)
    T, *batch, _ = frames.shape
    is_valid = np.ones((T, *batch), bool)
    if lengths is not None:
        is_valid = np.arange(T) < np.asarray(lengths)[..., None]  # (*batch, T)
        is_valid = np.moveaxis(is_valid, -1, 0)  # (T, *batch)
    is_reset = np.zeros((T, *batch), bool)
    if resets is not None:
        is_reset = np.moveaxis(np.asarray(resets), -1, 0) & is_valid
    frames = np.where(is_valid[..., None], frames, np.zeros((), x.dtype))

    start = h_0 if carry is None else carry
    h = np.broadcast_to(start, (*batch, h_0.shape[0]))
    steps: list[Step] = []
    outputs = np.zeros((T, *h.shape), h.dtype)
    for t in reversed(range(T)) if reverse else range(T):
        on, reset = is_valid[t, ..., None], is_reset[t, ..., None]
        h = np.where(reset, h_0, h)
        gi = product(frames[t], W_i.T) + b  # (*batch, 3H)
        gi_r, gi_z, gi_n = np.split(gi, 3, axis=-1)  # each (*batch, H)
        gh_r, gh_z, gh_n = np.split(product(h, W_h.T), 3, axis=-1)
        gh_n = gh_n + b_n
        r = _sigmoid(gi_r + gh_r)
        z = _sigmoid(gi_z + gh_z)
        n = np.tanh(gi_n + r * gh_n)
        steps.append(Step(t, h, r, z, n, gh_n, reset, on))
        h = np.where(on, (1 - z) * n + z * h, h)
        outputs[t] = np.where(on, h, np.zeros((), h.dtype))
    by_step = np.moveaxis(outputs, 0, -2)  # (*batch, T, H)
    return ForwardPass(h, by_step, frames, steps, carry is not None, product)


def backward(
    params: GRUParams,
    result: ForwardPass,
    d_outputs: Array,
    d_carry: Array | None = None,
    *,
    kept_axes: int = 0,
) -> Gradients:
    """Backpropagate through time.

    Args:
        params: those of the forward pass.
        result: what `forward` returned.
        d_outputs: gradient of a scalar with respect to the outputs (*batch, T, H).
        d_carry: gradient with respect to the final carry, (*batch, H); None means zero.
        kept_axes: how many of the first batch axes the gradients of the parameters
            keep, instead of being summed over them.
    """
    W_i, W_h, _, _, h_0 = params
    H, kept, product = h_0.shape[0], result.carry.shape[:kept_axes], result.product
    dW_i, dW_h, db, db_n, dh_0 = (np.zeros((*kept, *p.shape), p.dtype) for p in params)
    dx = np.zeros_like(result.frames)
    d_outputs = np.moveaxis(d_outputs, -2, 0)  # (T, *batch, H)
    dh = np.zeros_like(result.carry) if d_carry is None else d_carry
    zero = np.zeros((), dh.dtype)

    def sum_batch(a: Array) -> Array:
        return a.reshape(*kept, -1, a.shape[-1]).sum(-2)

    def outer(a: Array, b: Array) -> Array:
        a = a.reshape(*kept, -1, a.shape[-1])
        b = b.reshape(*kept, -1, b.shape[-1])
        return product(np.swapaxes(a, -1, -2), b)

    for t, h, r, z, n, gh_n, reset, on in reversed(result.steps):
        dh_new = np.where(
            on, dh + d_outputs[t], zero
        )  # into h', where the step counted
        dn = dh_new * (1 - z) * (1 - n * n)  # (*batch, H), before tanh
        dz = dh_new * (h - n) * z * (1 - z)  # before sigmoid
        dr = dn * gh_n * r * (1 - r)  # before sigmoid
        d_gi = np.concatenate([dr, dz, dn], axis=-1)  # (*batch, 3H)
        d_gh = np.concatenate([dr, dz, dn * r], axis=-1)  # (*batch, 3H)
        dW_i += outer(d_gi, result.frames[t])
        dW_h += outer(d_gh, h)
        db += sum_batch(d_gi)
        db_n += sum_batch(d_gh[..., 2 * H :])
        dx[t] = product(d_gi, W_i)
        dh = np.where(on, dh_new * z + product(d_gh, W_h), dh)
        dh_0 += sum_batch(np.where(reset, dh, zero))
        dh = np.where(reset, zero, dh)

    if not result.carry_passed:
        dh_0 += sum_batch(dh)
    d_params = GRUParams(dW_i, dW_h, db, db_n, dh_0)
    d_start = dh if result.carry_passed else None
    return Gradients(d_params, np.moveaxis(dx, 0, -2), d_start)


def loss_and_grad(
    params: GRUParams,
    x: Array,
    targets: Array,
    lengths: Array | None = None,
    *,
    operand_bits: int | None = None,
) -> tuple[Any, GRUParams]:
    """The mean squared error of all outputs against targets (*batch, T, H), and its
    gradient.

    Outputs past an example's length are zero, and count as such.
    """
    result = forward(params, x, lengths=lengths, operand_bits=operand_bits)
    error = result.outputs - targets
    d_outputs = 2 * error / error.dtype.type(error.size)
    return np.mean(error**2), backward(params, result, d_outputs).params


def _product(a: Array, b: Array, bits: int | None) -> Array:
    """A matrix product in the dtype of its arguments: of bfloat16, NumPy's would be
    float32.
    """
    dtype = a.dtype
    if bits is not None:
        a, b = _rounded(a, bits), _rounded(b, bits)
    return (a @ b).astype(dtype, copy=False)


def _rounded(a: Array, bits: int) -> Array:
    """Each number to the nearest with so many significant bits, ties to even."""
    fraction, exponent = np.frexp(a)
    return np.ldexp(np.round(np.ldexp(fraction, bits)), exponent - bits)


def _sigmoid(a: Array) -> Array:
    if a.dtype in (np.float32, np.float64):
        return expit(a)
    is_positive = np.real(a) > 0
    e = np.exp(np.where(is_positive, -a, a))  # does not overflow
    return np.where(is_positive, np.ones((), a.dtype), e) / (1 + e)
