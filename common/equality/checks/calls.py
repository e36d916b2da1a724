"""Checks of what a call takes and what it refuses: good calls at the edge, and bad ones, each with an `InputError`."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...compat import enable_x64
from ...config import GRUConfig
from ...errors import DefectError, NotOfferedError
from ...parameters.record import GRUParams, random_params
from ...port.compilation import jit_without_optimization
from ...port.protocol import Port, WithKernel
from ...program import evaluate
from .. import oracle
from .check import (
    CARRY,
    CONFIG,
    LENGTHS,
    OF_READOUT,
    PARAMS,
    READOUT,
    REFUSED,
    RESETS,
    B,
    Case,
    H,
    T,
    X,
    require_cases,
)

Array = Any
BadCalls = dict[
    str, dict[str, Any]
]  # the arguments of a call that are changed, by what is wrong with them
BATCHES = ((), (B,), (2, B))  # the shapes for which the initial carry is handed out
#: Lengths, of which most are more steps than 16 bits count. The last is that of the sequence.
COUNTED = np.array([2**16 + 1, 2**15 + 1, 3, 2**16 + 2])
#: Carries that are not finite, each in all units of an example.
ENDLESS = np.broadcast_to(np.resize([np.inf, np.nan, -np.inf], B)[:, None], CARRY.shape)


def start(port: Port) -> Iterator[Case]:
    """The initial carry, in the dtype of the computation, for each batch."""
    call = partial(
        evaluate, lambda model: [port.initial_carry(model, batch) for batch in BATCHES]
    )
    for dtype in (None, "float32", "bfloat16"):
        run = partial(call, port.load(replace(CONFIG, dtype=dtype), PARAMS))
        expected = [
            np.tile(PARAMS.initial_carry, (*batch, 1)).astype(dtype or "float64")
            for batch in BATCHES
        ]
        yield Case(f"dtype={dtype!r}, by batch_shape {BATCHES}", run, expected)
    model, tiled = port.load(CONFIG, PARAMS), np.tile(PARAMS.initial_carry, (B, 1))
    cast = jax.tree.map(lambda p: p.astype("float32"), model)
    yield Case("outside of jit", partial(port.initial_carry, model, (B,)), tiled)
    yield Case(
        "of parameters that were cast",
        partial(port.initial_carry, cast, (B,)),
        tiled.astype("float32"),
    )


def held(port: Port) -> Iterator[Case]:
    """Carries that are not finite go through padding as they are."""
    model, expected = port.load(CONFIG, PARAMS), (ENDLESS, np.zeros((*X.shape[:2], H)))
    call = partial(
        evaluate, lambda model, x, carry, masks: port.apply(model, x, carry, **masks)
    )
    for what, resets in (("", None), (" with resets", RESETS)):
        run = partial(
            call,
            model,
            X,
            ENDLESS,
            {"lengths": np.zeros(B, np.int32), "resets": resets},
        )
        yield Case(f"lengths 0, carry and outputs{what}", run, expected, bound=None)


def counted(port: Port) -> Iterator[Case]:
    """The carry at a length is the output there of an example that goes on."""

    @jit_without_optimization
    def difference(model: Any, x: Array, lengths: Array) -> Array:
        carry, outputs = port.apply(
            model, jnp.repeat(x, len(lengths), axis=0), lengths=lengths
        )
        return carry[:-1] - outputs[-1, lengths[:-1] - 1]

    x = np.resize(X[:1], (1, COUNTED[-1], X.shape[-1]))
    run = partial(difference, port.load(CONFIG, PARAMS), x, COUNTED)
    yield Case(f"lengths {COUNTED}, carry", run, np.zeros((len(COUNTED) - 1, H)))


_WIDER = (
    ("longdouble",) if np.longdouble(0).itemsize > 8 else ()
)  # on some machines, it is float64
#: Dtypes that no argument of a kind has.
BAD_DTYPES: dict[str, tuple[str, ...]] = {
    "f": ("int32", "bool", "complex", "float8_e4m3fn", ">f8", *_WIDER),
    "i": ("float", "bool"),
    "b": ("float", "int32"),
}


def _bad_arrays(name: str, array: Any, **others: Any) -> BadCalls:
    """An argument that is nothing that JAX computes with, or of a dtype of another kind, or others that are bad."""
    bad = {
        "text": "x",
        "of another library": SimpleNamespace(
            shape=array.shape, ndim=array.ndim, dtype=f"torch.{array.dtype}"
        ),
        "without values": jax.ShapeDtypeStruct(array.shape, array.dtype),
        "with a mask": np.ma.array(array),
        "a list": array.tolist(),
        **{dtype: array.astype(dtype) for dtype in BAD_DTYPES[array.dtype.kind]},
        **{what.replace("_", " "): other for what, other in others.items()},
    }
    return {f"{name}: {what}": {name: wrong} for what, wrong in bad.items()}


_SEQUENCES, _FRAMES = (
    _bad_arrays(
        "x",
        x,
        none=None,
        one_feature_too_many=np.concatenate([x, x[..., :1]], -1),
        an_empty_batch=x[:0],
    )
    for x in (X, X[:, 0])
)
_SEQUENCES |= _bad_arrays("x", X, no_steps=X[:, :0], one_axis=X[0, 0])
_CARRIES = _bad_arrays(
    "carry",
    CARRY,
    of_one_example=CARRY[:1],
    of_other_units=np.ones((B, H + 1)),
    without_a_batch=np.ones(H),
)
_LENGTHS = _bad_arrays(
    "lengths",
    LENGTHS,
    of_another_batch=LENGTHS[1:],
    one_axis_too_many=LENGTHS[:, None],
    one_for_all=LENGTHS[1],
    times=np.ones(B, "m8[s]"),
)
BAD_APPLY: BadCalls = {
    **_SEQUENCES,
    **_LENGTHS,
    **_CARRIES,
    **_bad_arrays(
        "resets", RESETS, of_other_steps=RESETS[:, 1:], of_one_example=RESETS[0]
    ),
    **{
        f"{flag}={value!r}": {flag: value}
        for flag in ("reverse", "time_major")
        for value in (1, 0, None, np.True_)
    },
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
BAD_STEP: BadCalls = {
    **_FRAMES,
    **_CARRIES,
    **_bad_arrays("reset", RESETS[:, 0], of_another_batch=np.zeros(B + 1, bool)),
}
BAD_CLASSIFY = _SEQUENCES | _LENGTHS
#: Initializers of no initial carry.
BAD_INITIALIZERS: dict[str, Any] = {
    "an initializer that needs two axes": jax.nn.initializers.lecun_normal(),
    "an initializer that gives two axes": lambda key, shape, dtype: np.zeros(
        (1, *shape), dtype
    ),
    "an initializer that gives another size": lambda key, shape, dtype: np.zeros(
        shape[0] + 1, dtype
    ),
    "an initializer that gives another dtype": lambda key, shape, dtype: np.zeros(
        shape, np.float32
    ),
    "an initializer that raises an exception of its own": lambda key, shape, dtype: {}[
        shape
    ],
    "an initializer that takes no dtype": lambda key, shape: np.zeros(shape),
    "no initializer": 0.0,
}
#: Those with which a model is made outside of jit, too.
CONCRETE = (
    "an initializer that gives another size",
    "an initializer that gives another dtype",
)
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
_CHANGES: dict[str, Callable[[np.ndarray], Any]] = {
    "transposed, or with two axes": lambda p: p.T if p.ndim == 2 else p[None],
    "of another size": lambda p: p[:-1],
    "as one number": lambda p: p.ravel()[0],
    "in another dtype": lambda p: p.astype(np.float32),
    "as integers": lambda p: p.astype(np.int64),
    "as a list": lambda p: p.tolist(),
    "left out": lambda p: None,
}
BAD_LOAD: dict[str, Any] = {
    "a dict": PARAMS._asdict(),
    "a classifier's": OF_READOUT,
    "weight_ih of one input more": PARAMS._replace(
        weight_ih=np.ones((3 * H, X.shape[-1] + 1))
    ),
    "one matrix as weight_hh": PARAMS._replace(weight_hh=np.ones((H, H))),
    "initial_carry for each example": PARAMS._replace(initial_carry=CARRY),
    "all in another dtype": GRUParams(*(p.astype(np.float32) for p in PARAMS)),
    **{
        f"{name} {what}": PARAMS._replace(**{name: change(getattr(PARAMS, name))})
        for name in PARAMS._fields
        for what, change in _CHANGES.items()
    },
}

#: Lengths that look odd, and are good.
GOOD_LENGTHS = (
    np.array([2**40, 2**32 + 2, -1]),  # more than 32 bits hold
    np.array([2**63, 2**64 - 1, 2], np.uint64),  # more than int64 holds
    LENGTHS.astype("int4"),
)
#: Lengths beyond 32 bits, of which JAX keeps the lower ones without jax_enable_x64, and what they mean.
BEYOND, WITHIN = np.array([2**40, 2 - 2**32, 2**32 + 2]), np.array([T, 0, T])


def refusals(port: Port) -> Iterator[Case]:
    """Bad calls, and good ones at the edge."""
    model = port.load(CONFIG, PARAMS)
    for what, call in _bad_calls(port, model):
        yield Case(what, call, REFUSED)
    for lengths in GOOD_LENGTHS:
        run = partial(evaluate, partial(port.apply, x=X, lengths=lengths), model)
        expected = oracle.forward(PARAMS, X, lengths=lengths)[:2]
        yield Case(f"lengths {lengths} in {lengths.dtype}", run, expected)
    for x in (X[0], X[:, None]):
        run = partial(
            lambda x: evaluate(
                partial(port.classify, x=x), port.load(READOUT, OF_READOUT)
            ),
            x,
        )
        yield Case(
            f"classify, x of {x.ndim} axes",
            run,
            oracle.logits_of(OF_READOUT, oracle.forward(OF_READOUT, x)),
        )
    never = replace(
        CONFIG,
        carry_init=BAD_INITIALIZERS[
            "an initializer that raises an exception of its own"
        ],
    )
    yield Case(
        "load, which does not call carry_init",
        lambda: port.dump(port.load(never, PARAMS)),
        PARAMS,
        None,
    )
    for call, config in ((port.apply, CONFIG), (port.classify, READOUT)):
        yield Case(
            "lengths beyond 32 bits without jax_enable_x64",
            partial(_require_whole_lengths, port, call, config),
        )
    yield Case("without jax_enable_x64", partial(_require_narrow, port))


def _bad_calls(port: Port, model: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    key, apply = jax.random.key(0), partial(port.apply, model)

    def narrow(call: Callable[..., Any], *arguments: Any) -> Any:
        with enable_x64(False):
            return call(*arguments)

    calls = [
        ("apply", apply, X, BAD_APPLY),
        ("step", partial(port.step, model), X[:, 0], BAD_STEP),
    ]
    with suppress(NotOfferedError):
        calls.append(
            (
                "classify",
                partial(port.classify, port.load(READOUT, OF_READOUT)),
                X,
                BAD_CLASSIFY,
            )
        )
    for name, call, x, table in calls:
        for what, changed in table.items():
            yield f"{name}, {what}", partial(call, **{"x": x} | changed)
    for flag in ("reverse", "time_major"):
        traced: Any = jax.jit(lambda value, flag=flag: apply(X, **{flag: value}))
        yield f"apply, a traced {flag}", partial(traced, np.asarray(False))
    for shape in BAD_BATCH_SHAPES:
        yield (
            f"initial_carry, batch_shape={shape!r}",
            partial(port.initial_carry, model, shape),
        )
    for what, params in BAD_LOAD.items():
        yield f"load, {what}", partial(port.load, CONFIG, params)
    for what, init in BAD_INITIALIZERS.items():  # traced, which compiles no draws
        made = partial(
            lambda init, key: port.make(replace(CONFIG, carry_init=init), key), init
        )
        yield f"make, {what}", partial(jax.eval_shape, made, key)
        if what in CONCRETE:
            yield f"make outside of jit, {what}", partial(made, key)
    yield (
        "load, a GRU's parameters for a classifier",
        partial(port.load, READOUT, PARAMS),
    )
    yield (
        "load, float64 without jax_enable_x64",
        partial(narrow, port.load, CONFIG, PARAMS),
    )
    yield (
        "make, float64 without jax_enable_x64",
        partial(narrow, port.make, CONFIG, key),
    )
    if not isinstance(port, WithKernel):  # which has one kernel, whatever is asked for
        unknown = replace(CONFIG, kernel="no such kernel")
        yield "load, an unknown kernel", partial(port.load, unknown, PARAMS)
        yield (
            "make and apply, an unknown kernel",
            lambda: port.apply(port.make(unknown, key), X),
        )


def _require_whole_lengths(
    port: Port, call: Callable[..., Any], config: GRUConfig
) -> None:
    config = replace(config, param_dtype="float32")
    with enable_x64(False):
        model = port.load(config, random_params(config))
        beyond, within = (
            evaluate(partial(call, x=X.astype("float32"), lengths=n), model)
            for n in (BEYOND, WITHIN)
        )
    require_cases([Case("differs", lambda: beyond, within, bound=None)])


def _require_narrow(port: Port) -> None:
    """NumPy's 64-bit arrays are float32 without jax_enable_x64, and nothing warns but what JAX does by itself."""
    plain = replace(CONFIG, param_dtype="float32")
    x, resets, lengths = (
        X[0],
        RESETS[0],
        np.asarray(T, np.int64),
    )  # one example: jax.vmap may warn by itself

    def calls(model: Any) -> Any:
        applied = [
            port.apply(model, x, carry, lengths=lengths, resets=resets)
            for carry in (None, CARRY[0])
        ]
        return applied, [
            port.step(model, x[0], carry, reset=resets[0]) for carry in (None, CARRY[0])
        ]

    with enable_x64(False), warnings.catch_warnings():
        model = port.load(plain, random_params(plain))
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module=r"jax\b")
        dtypes = {
            str(array.dtype) for array in jax.tree.leaves(jax.eval_shape(calls, model))
        }
    if dtypes != {"float32"}:
        raise DefectError(f"results are {', '.join(sorted(dtypes))}, expected float32")
