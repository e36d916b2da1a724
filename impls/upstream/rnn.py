"""Where Flax's two RNNs, linen's and NNX's, depart alike."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .departure import Departure, lacks

X = np.linspace(-1, 1, 3 * 7 * 4, dtype="f4").reshape(3, 7, 4)  # (B, T, D)
LENGTHS = np.array([0, 7, 3], "i4")
MASKED = ("golden", "resets", "mesh")
HALF = ("draws",)
Run = Callable[..., tuple[Any, Any]]


def departures_of_both(
    part: str, rnn: Any, run: Run, gradient: Callable[[Any, Any], Any], draw: Callable[[Any], Any]
) -> tuple[Departure, ...]:
    """The departures of one of them.

    Args:
        part: the framework's name for it.
        rnn: its class.
        run: (x, dtype=..., **options of a call) -> (carry, outputs), of 4 inputs and 8 units.
        gradient: (x, lengths) -> that of the sum of the final carry.
        draw: (dtype) -> parameters of that dtype.
    """
    return tuple(
        Departure(name, part, "flax", what, partial(evidence, given), checks)
        for name, what, evidence, given, checks in (
            ("no-resets", "has no episode resets", _no_resets, rnn, MASKED),
            (
                "length-zero",
                "seq_lengths 0 returns the padded end's carry",
                _length_0,
                run,
                ("lengths", "held", "training"),
            ),
            (
                "padding-runs-on",
                "outputs past a length are not zero",
                _padding_runs_on,
                run,
                ("lengths", "held", "counted"),
            ),
            ("padding-gradients", "NaN in the padding reaches gradients", _padding_gradients, gradient, ("lengths",)),
            ("two-batch-axes", "seq_lengths with two batch axes", _two_batch_axes, run, ()),
            ("bare-carry", "an unbatched carry is not broadcast", _bare_carry, run, ()),
            ("dtype", "dtype gives way to the carry's", _dtype_of_the_carry, run, ("carry", "life")),
            ("half-parameters", "parameters in half precision can't be made", _half, draw, HALF),
            ("any-inputs", "takes integers as inputs; no bad call is refused", _any_inputs, run, ("refusals",)),
        )
    )


def _no_resets(rnn: Any) -> str | None:
    return lacks("resets", rnn.__call__)()


def _length_0(run: Run) -> str | None:
    carry, _ = run(X, seq_lengths=LENGTHS)
    seen = np.abs(np.asarray(carry[0])).max()
    return f"length 0 from a carry of zeros returns entries up to {seen:.2g}" if seen else None


def _padding_runs_on(run: Run) -> str | None:
    _, outputs = run(X, seq_lengths=LENGTHS)
    seen = np.abs(np.asarray(outputs[2, 3:])).max()
    return f"outputs up to {seen:.2g} past the length" if seen else None


def _padding_gradients(gradient: Callable[[Any, Any], Any]) -> str | None:
    lengths = np.array([2, 7, 3], "i4")
    x = np.where((np.arange(7) >= lengths[:, None])[..., None], np.float32(np.nan), X)
    leaves = jax.tree.leaves(gradient(x, lengths))
    bad = sum(not np.isfinite(leaf).all() for leaf in leaves)
    return f"NaN in the padding makes {bad} of {len(leaves)} gradients of the final carry NaN" if bad else None


def _two_batch_axes(run: Run) -> str | None:
    try:
        carry, _ = run(np.stack([X] * 3), seq_lengths=np.stack([LENGTHS] * 3))
    except Exception as error:
        return f"batch (3, 3): {type(error).__name__}"
    return None if carry.shape == (3, 3, 8) else f"batch (3, 3), 8 units: a carry of shape {carry.shape}"


def _bare_carry(run: Run) -> str | None:
    try:
        run(X, initial_carry=np.zeros(8, "f4"))
    except Exception as error:
        return f"a carry of shape (8,) on batch 3: {type(error).__name__} from the scan's body"
    return None


def _dtype_of_the_carry(run: Run) -> str | None:
    _, outputs = run(X, dtype=jnp.bfloat16)
    return None if outputs.dtype == jnp.bfloat16 else f"dtype=bfloat16 without a carry gives {outputs.dtype} outputs"


def _any_inputs(run: Run) -> str | None:
    try:
        _, outputs = run(X.astype("i4"))
    except Exception:
        return None
    return f"int32 inputs give {outputs.dtype} outputs"


def _half(draw: Callable[[Any], Any]) -> str | None:
    try:
        draw(jnp.bfloat16)
    except (TypeError, NotImplementedError) as error:  # of QR, in one JAX and in another
        return f"param_dtype=bfloat16: {type(error).__name__}, no QR in bfloat16"
    return None
