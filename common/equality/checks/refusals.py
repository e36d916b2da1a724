"""The check of what is refused: every bad call with an `InputError`; and no good one at the edge.

A bad call is a row: the arguments that it changes. What a port does not offer, it need not refuse.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from ...compat import enable_x64
from ...config import GRUConfig
from ...errors import DefectError, NotOfferedError
from ...parameters.record import GRUParams, random_params
from ...port.protocol import Port, WithKernel
from ...program import evaluate
from .. import oracle
from ..cases import CARRY, CONFIG, LENGTHS, OF_READOUT, PARAMS, READOUT, RESETS, B, D, H, T, X
from .check import REFUSED, Case, part_of

X_BY_TIME = np.moveaxis(X, 1, 0)
#: The arguments of a call that are changed, by what is wrong with them.
BadCalls = dict[str, dict[str, Any]]


class _Foreign:
    """An array of a library that JAX doesn't know, as a torch tensor."""

    def __init__(self, array: Any):
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, f"torch.{array.dtype}"


def _bad_arrays(name: str, array: Any, **others: Any) -> BadCalls:
    """Rows in which an argument is nothing that JAX computes with, or has a dtype of another kind.

    Args:
        name: of the argument.
        array: a good one.
        others: further arrays that are bad, by what is wrong.
    """
    bad = {
        "text": "x",
        "of another library": _Foreign(array),
        "without values": jax.ShapeDtypeStruct(array.shape, array.dtype),
        "with a mask": np.ma.array(array),
        "a list": array.tolist(),
        "floating": array.astype(float),
        "integers": array.astype(np.int32),
        "truth values": array.astype(bool),
    }
    own = {"f": "floating", "i": "integers", "b": "truth values"}[array.dtype.kind]
    del bad[own]
    if own == "floating":
        bad |= {
            "complex": array.astype(complex),
            "float8": array.astype("float8_e4m3fn"),
            "bytes in another order": array.astype(array.dtype.newbyteorder()),
        }
        if np.dtype(np.longdouble).itemsize > 8:  # on some machines it is float64
            bad["long double"] = array.astype(np.longdouble)
    return {f"{name}: {what.replace('_', ' ')}": {name: value} for what, value in (bad | others).items()}


def _bad_inputs(x: Any) -> BadCalls:
    wider = np.concatenate([x, x[..., :1]], axis=-1)
    return _bad_arrays("x", x, none=None, one_feature_too_many=wider, an_empty_batch=x[:0])


_SEQUENCES = _bad_inputs(X) | _bad_arrays("x", X, no_steps=X[:, :0], one_axis=np.ones(D))
_CARRIES = _bad_arrays(
    "carry", CARRY, of_one_example=CARRY[:1], of_other_units=np.ones((B, H + 1)), without_a_batch=np.ones(H)
)
_LENGTHS = _bad_arrays(
    "lengths", LENGTHS, of_another_batch=LENGTHS[1:], one_axis_too_many=LENGTHS[:, None], one_for_all=LENGTHS[1],
    times=np.ones(B, "m8[s]"),
)  # fmt: skip
BAD_APPLY: BadCalls = {
    **_SEQUENCES,
    **_LENGTHS,
    **_CARRIES,
    **_bad_arrays("resets", RESETS, of_other_steps=RESETS[:, 1:], of_one_example=RESETS[0]),
    **{f"{flag}={value!r}": {flag: value} for flag in ("reverse", "time_major") for value in (1, 0, None, np.True_)},
    "time-major, a carry of as many states as steps before the batch": {"time_major": True, "carry": CARRY},
    "time-major, lengths of the other axis": {"time_major": True, "lengths": LENGTHS},
    "time-major, resets with the batch first": {"time_major": True, "x": X_BY_TIME, "resets": RESETS},
}
BAD_STEP: BadCalls = {
    **_bad_inputs(X[:, 0]),
    **_CARRIES,
    **_bad_arrays("reset", RESETS[:, 0], of_another_batch=np.zeros(B + 1, bool)),
}
BAD_CLASSIFY = _SEQUENCES | _LENGTHS
#: Initializers of no initial carry. In all ports alike they are told when a model is made.
BAD_INITIALIZERS: dict[str, Any] = {
    "an initializer that needs two axes": jax.nn.initializers.lecun_normal(),
    "an initializer that gives two axes": lambda key, shape, dtype: np.zeros((1, *shape), dtype),
    "an initializer that gives another size": lambda key, shape, dtype: np.zeros(shape[0] + 1, dtype),
    "an initializer that gives another dtype": lambda key, shape, dtype: np.zeros(shape, np.float32),
    "an initializer that raises an exception of its own": lambda key, shape, dtype: {}[shape],
    "an initializer that takes no dtype": lambda key, shape: np.zeros(shape),
    "no initializer": 0.0,
}
BAD_BATCH_SHAPES: tuple[Any, ...] = (B, "8", None, (1.5,), (-1,), (2**70,), (2, 0), (True,), np.ones((B, H)))
BAD_LOAD: dict[str, Any] = {
    "a dict": PARAMS._asdict(),
    "a classifier's": OF_READOUT,
    "inputs' weights transposed": PARAMS._replace(weight_ih=PARAMS.weight_ih.T),
    "inputs' weights of other inputs": PARAMS._replace(weight_ih=np.ones((3 * H, D + 1))),
    "one recurrent matrix": PARAMS._replace(weight_hh=np.ones((H, H))),
    "a bias of another size": PARAMS._replace(bias=np.ones(H)),
    "b_hn with two axes": PARAMS._replace(bias_n=np.ones((1, H))),
    "an initial carry for each example": PARAMS._replace(initial_carry=CARRY),
    "one number as initial carry": PARAMS._replace(initial_carry=np.zeros(())),
    "no b_hn": PARAMS._replace(bias_n=None),
    "a list": PARAMS._replace(bias_n=[0.0] * H),
    "another dtype": GRUParams(*(p.astype(np.float32) for p in PARAMS)),
    "one bias of another dtype": PARAMS._replace(bias=np.zeros(3 * H, np.float32)),
    "integers": PARAMS._replace(initial_carry=np.zeros(H, np.int64)),
}

#: Calls that look odd, and are good. All others are in rows of the contract.
GOOD_LENGTHS = {
    "in int64, more than 32 bits hold": np.array([2**40, 2**32 + 2, -1]),
    "in uint64, more than int64 holds": np.array([2**63, 2**64 - 1, 2], np.uint64),
    "of four bits": LENGTHS.astype("int4"),
}
#: Lengths beyond 32 bits, of which JAX keeps the lower ones without jax_enable_x64, and what they mean.
BEYOND, WITHIN = np.array([2**40, 2 - 2**32, 2**32 + 2]), np.array([T, 0, T])


def _cases(port: Port) -> Iterator[Case]:
    for what, call in _bad_calls(port):
        yield Case(what, call, REFUSED)
    model = port.load(CONFIG, PARAMS)
    for what, lengths in GOOD_LENGTHS.items():
        tape = oracle.forward(PARAMS, X, lengths=lengths)
        run = partial(evaluate, partial(port.apply, x=X, lengths=lengths), model)
        yield Case(f"lengths {what}", run, (tape.carry, tape.outputs))
    for config in (CONFIG, READOUT):
        what = "apply" if config.classes is None else "classify"
        yield Case(f"{what}, lengths beyond 32 bits", partial(_beyond_32_bits, port, config), np.zeros(B))
    yield Case("without jax_enable_x64", partial(_require_narrow, port))


def _bad_calls(port: Port) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each bad call with a description."""
    model, key = port.load(CONFIG, PARAMS), jax.random.key(0)

    def traced(flag: str) -> Any:
        return jax.jit(lambda value: port.apply(model, X, **{flag: value}))(np.asarray(False))

    def narrow(call: Callable[..., Any], *arguments: Any) -> Any:
        with enable_x64(False):
            return call(*arguments)

    tables: dict[str, tuple[Callable[..., Any], Any, BadCalls]] = {
        "apply": (partial(port.apply, model), X, BAD_APPLY),
        "step": (partial(port.step, model), X[:, 0], BAD_STEP),
    }
    with suppress(NotOfferedError):
        tables["classify"] = partial(port.classify, port.load(READOUT, OF_READOUT)), X, BAD_CLASSIFY
    for name, (call, x, table) in tables.items():
        for what, changed in table.items():
            yield f"{name}, {what}", partial(call, **{"x": x} | changed)
    for flag in ("reverse", "time_major"):
        yield f"apply, a traced {flag}", partial(traced, flag)
    for shape in BAD_BATCH_SHAPES:
        yield f"initial_carry, batch_shape={shape!r}", partial(port.initial_carry, model, shape)
    for what, params in BAD_LOAD.items():
        yield f"load, {what}", partial(port.load, CONFIG, params)
    for what, init in BAD_INITIALIZERS.items():
        yield f"make, {what}", lambda init=init: port.make(replace(CONFIG, carry_init=init), key)
    yield "load, a GRU's parameters for a classifier", partial(port.load, READOUT, PARAMS)
    yield "load, float64 without jax_enable_x64", partial(narrow, port.load, CONFIG, PARAMS)
    yield "make, float64 without jax_enable_x64", partial(narrow, port.make, CONFIG, key)
    if not isinstance(port, WithKernel):  # which has one kernel, whatever is asked for
        unknown = replace(CONFIG, kernel="no such kernel")
        yield "load, an unknown kernel", partial(port.load, unknown, PARAMS)
        yield "make and apply, an unknown kernel", lambda: port.apply(port.make(unknown, key), X)


def _beyond_32_bits(port: Port, config: GRUConfig) -> Any:
    """By how much each example's answers differ where its length has more than 32 bits, without jax_enable_x64."""
    x, config = X.astype("float32"), replace(config, param_dtype="float32")

    def answers(model: Any) -> list[jax.Array]:
        if config.classes:
            return [port.classify(model, x, lengths) for lengths in (BEYOND, WITHIN)]
        return [port.apply(model, x, lengths=lengths)[0] for lengths in (BEYOND, WITHIN)]

    with enable_x64(False):
        beyond, within = evaluate(answers, port.load(config, random_params(config)))
    return np.float64(abs(beyond - within).max(-1))


def _require_narrow(port: Port) -> None:
    """NumPy's 64-bit arrays are float32 without jax_enable_x64, and nothing warns but what JAX does by itself."""
    plain = replace(CONFIG, param_dtype="float32")
    x, resets, lengths = X[0], RESETS[0], np.asarray(T, np.int64)  # one example: jax.vmap may warn by itself

    def calls(model: Any) -> Any:
        applied = [port.apply(model, x, carry, lengths=lengths, resets=resets) for carry in (None, CARRY[0])]
        return applied, [port.step(model, x[0], carry, reset=resets[0]) for carry in (None, CARRY[0])]

    with enable_x64(False), warnings.catch_warnings():
        model = port.load(plain, random_params(plain))
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module=r"jax\b")
        dtypes = {str(array.dtype) for array in jax.tree.leaves(jax.eval_shape(calls, model))}
    if dtypes != {"float32"}:
        raise DefectError(f"results are {', '.join(sorted(dtypes))}, expected float32")


PARTS = (part_of(_cases),)
