"""The check of what a call refuses: bad calls, each with an `InputError`, and good ones
that look odd.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from ...compat import enable_x64
from ...errors import DefectError
from ...parameters.record import GRUParams, random_params
from ...port.protocol import Port, WithKernel
from ...program import evaluate
from .. import oracle
from .check import (
    CARRY,
    CONFIG,
    LENGTHS,
    PARAMS,
    REFUSED,
    RESETS,
    B,
    H,
    T,
    Trial,
    X,
    require_trials,
)

Array = Any
BadCalls = dict[str, dict[str, Any]]  # changed arguments of a call, by what is wrong
#: Wider than float64, where there is such a dtype.
_LONGDOUBLE = ("longdouble",) if np.longdouble(0).itemsize > 8 else ()
#: Dtypes that no argument of a kind has.
BAD_DTYPES: dict[str, tuple[str, ...]] = {
    "f": ("int32", "bool", "complex", "float8_e4m3fn", ">f8", *_LONGDOUBLE),
    "i": ("float", "bool"),
    "b": ("float", "int32"),
}


def _bad_arrays(name: str, array: Array, others: Mapping[str, Any]) -> BadCalls:
    """An argument that is nothing that JAX computes with, or of a dtype of another
    kind, or others that are bad.
    """
    foreign = SimpleNamespace(
        shape=array.shape, ndim=array.ndim, dtype=f"torch.{array.dtype}"
    )
    bad = {
        "text": "x",
        "of another library": foreign,
        "without values": jax.ShapeDtypeStruct(array.shape, array.dtype),
        "with a mask": np.ma.array(array),
        "a list": array.tolist(),
        **others,
    }
    for dtype in BAD_DTYPES[array.dtype.kind]:
        bad[dtype] = array.astype(dtype)
    return {f"{name}: {what}": {name: wrong} for what, wrong in bad.items()}


def _bad_inputs(x: Array) -> dict[str, Any]:
    return {
        "none": None,
        "one feature too many": np.concatenate([x, x[..., :1]], -1),
        "an empty batch": x[:0],
    }


_CARRIES = _bad_arrays(
    "carry",
    CARRY,
    {
        "of one example": CARRY[:1],
        "of other units": np.ones((B, H + 1)),
        "without a batch": np.ones(H),
    },
)
_LENGTHS = _bad_arrays(
    "lengths",
    LENGTHS,
    {
        "of another batch": LENGTHS[1:],
        "one axis too many": LENGTHS[:, None],
        "one for all": LENGTHS[1],
        "times": np.ones(B, "m8[s]"),
    },
)
_RESETS = _bad_arrays(
    "resets",
    RESETS,
    {"of other steps": RESETS[:, 1:], "of one example": RESETS[0]},
)
BAD_APPLY: BadCalls = {
    **_bad_arrays("x", X, _bad_inputs(X)),
    "x: no steps": {"x": X[:, :0]},
    "x: one axis": {"x": X[0, 0]},
    **_LENGTHS,
    **_CARRIES,
    **_RESETS,
    "time-major, a carry of as many states as steps before the batch": {
        "time_major": True,
        "carry": CARRY,
    },
    "time-major, lengths of the other axis": {"time_major": True, "lengths": LENGTHS},
    "time-major, resets with the batch first": {
        "time_major": True,
        "x": X.swapaxes(0, 1),
        "resets": RESETS,
    },
}
for _flag in ("reverse", "time_major"):
    for _value in (1, 0, None, np.True_):
        BAD_APPLY[f"{_flag}={_value!r}"] = {_flag: _value}
BAD_STEP: BadCalls = {
    **_bad_arrays("x", X[:, 0], _bad_inputs(X[:, 0])),
    **_CARRIES,
    **_bad_arrays("reset", RESETS[:, 0], {"of another batch": np.zeros(B + 1, bool)}),
}
BAD_BATCH_SHAPES: tuple[Any, ...] = (
    B,
    "8",
    None,
    (1.5,),
    (-1,),
    (2**70,),
    (2, 0),
    (True,),
    np.ones((B, H)),
)


def _with_two_axes(key: Array, shape: Any, dtype: Any) -> Array:
    return np.zeros((1, *shape), dtype)


def _of_another_size(key: Array, shape: Any, dtype: Any) -> Array:
    return np.zeros(shape[0] + 1, dtype)


def _of_another_dtype(key: Array, shape: Any, dtype: Any) -> Array:
    return np.zeros(shape, np.float32)


def _raising(key: Array, shape: Any, dtype: Any) -> Array:
    raise KeyError(shape)


def _without_dtype(key: Array, shape: Any) -> Array:
    return np.zeros(shape)


#: Those with which a model is made outside of jit, too.
BAD_INITIALIZERS_IN_PYTHON: dict[str, Any] = {
    "an initializer that gives another size": _of_another_size,
    "an initializer that gives another dtype": _of_another_dtype,
}
#: Initializers of no initial carry.
BAD_INITIALIZERS: dict[str, Any] = {
    **BAD_INITIALIZERS_IN_PYTHON,
    "an initializer that needs two axes": jax.nn.initializers.lecun_normal(),
    "an initializer that gives two axes": _with_two_axes,
    "an initializer that raises an exception of its own": _raising,
    "an initializer that takes no dtype": _without_dtype,
    "no initializer": 0.0,
}


def _changes_of(array: np.ndarray) -> dict[str, Any]:
    """What is no parameter of a shape and dtype, by what is wrong with it."""
    return {
        "transposed, or with two axes": array.T if array.ndim == 2 else array[None],
        "of another size": array[:-1],
        "as one number": array.ravel()[0],
        "in another dtype": array.astype(np.float32),
        "as integers": array.astype(np.int64),
        "as a list": array.tolist(),
        "left out": None,
    }


BAD_LOAD: dict[str, Any] = {
    "a dict": PARAMS._asdict(),
    "weight_ih of one input more": PARAMS._replace(
        weight_ih=np.ones((3 * H, X.shape[-1] + 1))
    ),
    "one matrix as weight_hh": PARAMS._replace(weight_hh=np.ones((H, H))),
    "initial_carry for each example": PARAMS._replace(initial_carry=CARRY),
    "all in another dtype": GRUParams(*(p.astype(np.float32) for p in PARAMS)),
}
for _name, _array in PARAMS._asdict().items():
    for _what, _changed in _changes_of(_array).items():
        BAD_LOAD[f"{_name} {_what}"] = PARAMS._replace(**{_name: _changed})

#: Lengths that look odd, and are good.
GOOD_LENGTHS = (
    np.array([2**40, 2**32 + 2, -1]),  # more than 32 bits hold
    np.array([2**63, 2**64 - 1, 2], np.uint64),  # more than int64 holds
    LENGTHS.astype("int4"),
    LENGTHS.astype("int16"),
    LENGTHS.astype("uint16"),
    LENGTHS.astype("uint32"),
)
#: Lengths beyond 32 bits, of which JAX keeps the lower ones without jax_enable_x64, and
#: what they mean.
BEYOND, WITHIN = np.array([2**40, 2 - 2**32, 2**32 + 2]), np.array([T, 0, T])


def refusals(port: Port) -> Iterator[Trial]:
    """Bad calls, and good ones at the edge."""
    model = port.load(CONFIG, PARAMS)
    for bad_calls in (
        _bad_calls(port, model),
        _bad_models(port),
        _unknown_kernel(port),
    ):
        for what, call in bad_calls:
            yield Trial(what, call, REFUSED)
    for lengths in GOOD_LENGTHS:
        run = partial(evaluate, partial(port.apply, x=X, lengths=lengths), model)
        result = oracle.forward(PARAMS, X, lengths=lengths)
        expected = result.carry, result.outputs
        yield Trial(f"lengths {lengths} in {lengths.dtype}", run, expected)

    never_called = replace(CONFIG, carry_init=_raising)

    def load_and_dump() -> Any:
        return port.dump(port.load(never_called, PARAMS))

    yield Trial("load, which does not call carry_init", load_and_dump, PARAMS, None)
    yield Trial(
        "lengths beyond 32 bits without jax_enable_x64",
        partial(_require_whole_lengths, port),
    )
    yield Trial("without jax_enable_x64", partial(_require_narrow, port))


BadCall = tuple[
    str, Callable[[], Any]
]  # what is wrong, and a call that has to be refused


def _bad_calls(port: Port, model: Any) -> Iterator[BadCall]:
    """Calls of a model."""
    apply, step = partial(port.apply, model), partial(port.step, model)
    for what, changed in BAD_APPLY.items():
        yield f"apply, {what}", partial(apply, **{"x": X} | changed)
    for what, changed in BAD_STEP.items():
        yield f"step, {what}", partial(step, **{"x": X[:, 0]} | changed)
    for flag in ("reverse", "time_major"):

        def call(value: Array, flag: str = flag) -> Any:
            return apply(X, **{flag: value})

        yield f"apply, a traced {flag}", partial(jax.jit(call), np.asarray(False))
    for shape in BAD_BATCH_SHAPES:
        run = partial(port.initial_carry, model, shape)
        yield f"initial_carry, batch_shape={shape!r}", run


def _bad_models(port: Port) -> Iterator[BadCall]:
    """Models that are loaded from bad parameters, or made with bad options."""
    key = jax.random.key(0)
    for what, params in BAD_LOAD.items():
        yield f"load, {what}", partial(port.load, CONFIG, params)
    for what, initializer in BAD_INITIALIZERS.items():

        def make(key: Array, initializer: Any = initializer) -> Any:
            return port.make(replace(CONFIG, carry_init=initializer), key)

        # traced, which compiles no draws
        yield f"make, {what}", partial(jax.eval_shape, make, key)
        if what in BAD_INITIALIZERS_IN_PYTHON:
            yield f"make outside of jit, {what}", partial(make, key)

    def narrow(call: Callable[..., Any], argument: Any) -> Any:
        with enable_x64(False):
            return call(CONFIG, argument)

    load, make_narrow = (
        partial(narrow, port.load, PARAMS),
        partial(narrow, port.make, key),
    )
    yield "load, float64 without jax_enable_x64", load
    yield "make, float64 without jax_enable_x64", make_narrow


def _unknown_kernel(port: Port) -> Iterator[BadCall]:
    if isinstance(port, WithKernel):  # which has one kernel, whatever is asked for
        return
    unknown = replace(CONFIG, kernel="no such kernel")

    def make_and_apply() -> Any:
        return port.apply(port.make(unknown, jax.random.key(0)), X)

    yield "load, an unknown kernel", partial(port.load, unknown, PARAMS)
    yield "make and apply, an unknown kernel", make_and_apply


def _require_whole_lengths(port: Port) -> None:
    config, x = replace(CONFIG, param_dtype="float32"), X.astype("float32")
    with enable_x64(False):
        model = port.load(config, random_params(config))
        beyond = evaluate(partial(port.apply, x=x, lengths=BEYOND), model)
        within = evaluate(partial(port.apply, x=x, lengths=WITHIN), model)
    require_trials([Trial("differs", lambda: beyond, within, bound=None)])


def _require_narrow(port: Port) -> None:
    """NumPy's 64-bit arrays are float32 without jax_enable_x64, and nothing warns but
    what JAX does by itself.
    """
    config = replace(CONFIG, param_dtype="float32")
    # one example: jax.vmap may warn by itself
    x, resets, lengths = X[0], RESETS[0], np.asarray(T, np.int64)

    def calls(model: Any) -> Any:
        results = []
        for carry in (None, CARRY[0]):
            results.append(port.apply(model, x, carry, lengths=lengths, resets=resets))
            results.append(port.step(model, x[0], carry, reset=resets[0]))
        return results

    with enable_x64(False), warnings.catch_warnings():
        model = port.load(config, random_params(config))
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module=r"jax\b")
        results = jax.tree.leaves(jax.eval_shape(calls, model))
    dtypes = {str(array.dtype) for array in results}
    if dtypes != {"float32"}:
        names = ", ".join(sorted(dtypes))
        raise DefectError(f"results are {names}, expected float32")
