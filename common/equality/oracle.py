r"""The model in NumPy: the forward pass by the equations, the gradients by hand. It does not use JAX.

For input x_t and state h, gates in the order r, z, n:

    r   = sigmoid(W_ir x + b_ir + W_hr h)
    z   = sigmoid(W_iz x + b_iz + W_hz h)
    n   = tanh(W_in x + b_in + r * (W_hn h + b_hn))
    h'  = (1 - z) * n + z * h

Before step t, where `resets` is true, h becomes the initial carry; at and past an example's length, h stays
and the output is zero. In reverse, steps run from the last to the first, and outputs stay beside their inputs.
This is the cell of Cho et al. (2014), https://arxiv.org/abs/1406.1078, in the "reset after" form of cuDNN and torch.

Everything is computed in the dtype of its arguments: float64 gives the reference, float32 shows what
rounding alone does to a plain evaluation of the same equations. In complex128 it gives directional derivatives: the
imaginary part of f(p + i ε v) / ε is the derivative of f along v to the last digit, without a finite difference
(the complex step of Squire and Trapp, 1998, https://doi.org/10.1137/S003614459631241X), for gradients as for values.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from ..parameters.record import ClassifierParams, GRUParams, ReadoutParams

Array = np.ndarray
Params = GRUParams | ClassifierParams


class ForwardPass(NamedTuple):
    """A forward pass: its results and what `backward` needs."""

    carry: Array  # (*batch, H)
    outputs: Array  # (*batch, T, H)
    frames: Array  # (T, *batch, D)
    steps: list[
        tuple[Any, ...]
    ]  # in the order in which they ran, as `forward` appends them
    carry_passed: bool


class Gradients(NamedTuple):
    """The gradients of a scalar with respect to all inputs."""

    params: Any  # as those of the forward pass
    x: Array  # (*batch, T, D)
    carry: (
        Array | None
    )  # (*batch, H); None when the sequence began from the initial carry


def forward(
    params: Params,
    x: Array,
    carry: Array | None = None,
    lengths: Array | None = None,
    resets: Array | None = None,
    *,
    reverse: bool = False,
) -> ForwardPass:
    """Run the GRU over a sequence.

    Args:
        params: canonical parameters, D inputs and H units; of a classifier, those of its GRU.
        x: inputs (*batch, T, D).
        carry: starting state (*batch, H); None starts from `params.initial_carry`.
        lengths: valid steps (*batch), integers; None means all.
        resets: (*batch, T) booleans; None means none.
    """
    W_i, W_h, b, b_n, h_0 = (
        params.gru if isinstance(params, ClassifierParams) else params
    )
    frames = np.moveaxis(x, -2, 0)  # (T, *batch, D)
    T, *batch, _ = frames.shape
    resets = (
        np.zeros((T, *batch), bool)
        if resets is None
        else np.moveaxis(np.asarray(resets), -1, 0)
    )
    active = np.ones((T, *batch), bool)
    if lengths is not None:
        active = np.moveaxis(
            np.arange(T) < np.asarray(lengths)[..., None], -1, 0
        )  # (T, *batch)
    resets = resets & active
    frames = np.where(active[..., None], frames, np.zeros((), x.dtype))

    h = np.broadcast_to(h_0 if carry is None else carry, (*batch, h_0.shape[0]))
    steps, outputs = [], np.zeros((T, *h.shape), h.dtype)
    for t in reversed(range(T)) if reverse else range(T):
        on, reset = active[t, ..., None], resets[t, ..., None]
        h = np.where(reset, h_0, h)
        gi_r, gi_z, gi_n = np.split(
            _product(frames[t], W_i.T) + b, 3, axis=-1
        )  # each (*batch, H)
        gh_r, gh_z, gh_n = np.split(_product(h, W_h.T), 3, axis=-1)
        gh_n = gh_n + b_n
        r = _sigmoid(gi_r + gh_r)
        z = _sigmoid(gi_z + gh_z)
        n = np.tanh(gi_n + r * gh_n)
        steps.append(
            (t, h, r, z, n, gh_n, reset, on)
        )  # (*batch, H), h after a reset; of the masks (*batch, 1)
        h = np.where(on, (1 - z) * n + z * h, h)
        outputs[t] = np.where(on, h, np.zeros((), h.dtype))
    return ForwardPass(h, np.moveaxis(outputs, 0, -2), frames, steps, carry is not None)


def backward(
    params: Params,
    result: ForwardPass,
    d_values: Array,
    d_carry: Array | None = None,
    *,
    each: int = 0,
) -> Gradients:
    """Backpropagate through time.

    Args:
        d_values: gradient of a scalar with respect to the outputs, (*batch, T, H), or to logits, (*batch, C).
        d_carry: gradient with respect to the final carry, (*batch, H); None means zero. Not of a classifier.
        each: how many of the first batch axes the gradients of the parameters keep, instead of being summed over them.
            Those of a classifier's readout are summed over the last batch axis alone, whatever `each` is.
    """
    if isinstance(params, ClassifierParams):
        d_carry = _product(d_values, params.readout.weight)
        found = backward(
            params.gru, result, np.zeros_like(result.outputs), d_carry, each=each
        )
        readout = ReadoutParams(
            _product(np.swapaxes(d_values, -1, -2), result.carry), d_values.sum(-2)
        )
        return found._replace(params=ClassifierParams(found.params, readout))
    W_i, W_h, _, _, h_0 = params
    H, kept = h_0.shape[0], result.carry.shape[:each]
    dW_i, dW_h, db, db_n, dh_0 = (np.zeros((*kept, *p.shape), p.dtype) for p in params)
    dx = np.zeros_like(result.frames)
    d_outputs = np.moveaxis(d_values, -2, 0)  # (T, *batch, H)
    dh = np.zeros_like(result.carry) if d_carry is None else d_carry

    def sum_batch(a: Array) -> Array:
        return a.reshape(*kept, -1, a.shape[-1]).sum(-2)

    def outer(a: Array, b: Array) -> Array:
        a, b = (array.reshape(*kept, -1, array.shape[-1]) for array in (a, b))
        return _product(np.swapaxes(a, -1, -2), b)

    for t, h, r, z, n, gh_n, reset, on in reversed(result.steps):
        dh_new = np.where(
            on, dh + d_outputs[t], np.zeros((), dh.dtype)
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
        dx[t] = _product(d_gi, W_i)
        dh = np.where(on, dh_new * z + _product(d_gh, W_h), dh)
        dh_0 += sum_batch(np.where(reset, dh, np.zeros((), dh.dtype)))
        dh = np.where(reset, np.zeros((), dh.dtype), dh)

    if not result.carry_passed:
        dh_0 += sum_batch(dh)
    d_params = GRUParams(dW_i, dW_h, db, db_n, dh_0)
    return Gradients(
        d_params, np.moveaxis(dx, 0, -2), dh if result.carry_passed else None
    )


def logits_of(params: ClassifierParams, result: ForwardPass) -> Array:
    """Logits (*batch, C) from the final carry of a forward pass."""
    return _product(result.carry, params.readout.weight.T) + params.readout.bias


def loss_and_grad(
    params: Params, x: Array, targets: Array, lengths: Array | None = None
) -> tuple[Any, Any]:
    """A loss and its gradients: mean squared error of all outputs against targets (*batch, T, H).

    Of a classifier, mean softmax cross-entropy of the logits (B, C) against labels (B,) in [0, C).
    """
    result = forward(params, x, lengths=lengths)
    if isinstance(params, ClassifierParams):
        logits = logits_of(params, result)
        logits = logits - logits.max(-1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        one_hot = np.eye(log_p.shape[-1], dtype=log_p.dtype)[targets]
        loss = -np.mean((log_p * one_hot).sum(-1))
        d_values = (np.exp(log_p) - one_hot) / log_p.dtype.type(len(targets))  # (B, C)
    else:
        error = result.outputs - targets
        loss, d_values = np.mean(error**2), 2 * error / error.dtype.type(error.size)
    return loss, backward(params, result, d_values).params


_operand_bits: int | None = (
    None  # significant bits of what goes into a matrix product; None for all
)


@contextmanager
def operands_rounded(bits: int | None) -> Iterator[None]:
    """Within this context, what goes into a matrix product is rounded, as accelerators do that are asked for speed.

    So many significant bits are kept: 11 as in TF32, 8 as in bfloat16. None keeps all.
    """
    global _operand_bits
    before, _operand_bits = _operand_bits, bits
    try:
        yield
    finally:
        _operand_bits = before


def _product(a: Array, b: Array) -> Array:
    """A matrix product in the dtype of its arguments: of bfloat16, NumPy's would be float32."""
    dtype, bits = a.dtype, _operand_bits
    if (
        bits is not None
    ):  # each number to the nearest with so many significant bits, ties to even
        parts = [np.frexp(operand) for operand in (a, b)]
        a, b = (
            np.ldexp(np.round(np.ldexp(fraction, bits)), exponent - bits)
            for fraction, exponent in parts
        )
    return (a @ b).astype(dtype, copy=False)


def _sigmoid(a: Array) -> Array:
    if a.dtype in (np.float32, np.float64):
        return expit(a)
    e = np.exp(np.where(np.real(a) > 0, -a, a))  # does not overflow
    return np.where(np.real(a) > 0, np.ones((), a.dtype), e) / (1 + e)
