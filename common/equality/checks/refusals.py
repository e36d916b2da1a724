"""The check of what is refused: every bad call with an `InputError`; and no good one at the edge.

A bad call is a row: the arguments that it changes. What a port does not offer, it need not refuse.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from ...compat import enable_x64
from ...config import GRUConfig
from ...errors import DefectError, InputError, NotOfferedError
from ...parameters.record import GRUParams, random_params
from ...port.protocol import Port, WithKernel
from ...program import evaluate
from .. import oracle
from .check import LEFT_OUT, Answers, Check

B, T, D, H, C = 3, 5, 4, 6, 2  # all different, so that no axis passes for another
CONFIG = GRUConfig(D, H, param_dtype="float64")
READOUT = replace(CONFIG, classes=C)
RNG = np.random.default_rng(0)
X, CARRY = RNG.normal(size=(B, T, D)), RNG.normal(size=(B, H))
X_BY_TIME = np.moveaxis(X, 1, 0)
RESETS = RNG.random((B, T)) < 0.3
#: How many calls that went through are named; then no more are tried, since each takes long.
NAMED = 3


class _Foreign:
    """An array of a library that JAX doesn't know, as a torch tensor."""

    def __init__(self, array: Any):
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, f"torch.{array.dtype}"


def _no_arrays(what: str, name: str, array: Any) -> dict[str, dict[str, Any]]:
    """Rows in which an argument has a shape and a dtype, and is nothing that JAX computes with."""
    return {
        f"{what} of another library": {name: _Foreign(array)},
        f"{what} without values": {name: jax.ShapeDtypeStruct(array.shape, array.dtype)},
        f"{what} with a mask": {name: np.ma.array(array)},
        f"{what} as a list": {name: array.tolist()},
    }


def _no_floats(what: str, name: str, array: Any) -> dict[str, dict[str, Any]]:
    """Rows in which an argument has a floating-point dtype that JAX lacks or does not promote."""
    rows = {
        f"{what} in float8": {name: array.astype("float8_e4m3fn")},
        f"{what} with bytes in another order": {name: array.astype(array.dtype.newbyteorder())},
    }
    wide = np.dtype(np.longdouble).itemsize > 8  # on some machines it is float64
    return rows | ({f"{what} in long double": {name: array.astype(np.longdouble)}} if wide else {})


_INPUTS: dict[str, dict[str, Any]] = {
    "None as inputs": {"x": None},
    "text as inputs": {"x": "x"},
    "inputs of one feature too many": {"x": np.ones((B, T, D + 1))},
    "integer inputs": {"x": np.ones((B, T, D), np.int32)},
    "boolean inputs": {"x": np.ones((B, T, D), bool)},
    "complex inputs": {"x": X.astype(complex)},
    "an empty batch": {"x": np.ones((0, T, D))},
    "no steps": {"x": np.ones((B, 0, D))},
    "inputs with one axis": {"x": np.ones(D)},
    **_no_arrays("inputs", "x", X),
    **_no_floats("inputs", "x", X),
}
_LENGTHS: dict[str, dict[str, Any]] = {
    "lengths of another batch": {"lengths": np.ones(B - 1, np.int32)},
    "lengths of one axis too many": {"lengths": np.ones((B, 1), np.int32)},
    "one length for all": {"lengths": np.asarray(3, np.int32)},
    "floating lengths": {"lengths": np.ones(B)},
    "boolean lengths": {"lengths": np.ones(B, bool)},
    "text as lengths": {"lengths": "3"},
    "times as lengths": {"lengths": np.ones(B, "m8[s]")},
    **_no_arrays("lengths", "lengths", np.ones(B, np.int32)),
}
BAD_APPLY: dict[str, dict[str, Any]] = {
    **_INPUTS,
    **_LENGTHS,
    "a carry of another batch": {"carry": np.ones((B + 1, H))},
    "one carry for all, as of one example": {"carry": np.ones((1, H))},
    "a carry of other units": {"carry": np.ones((B, H + 1))},
    "one carry for all": {"carry": np.ones(H)},
    "an integer carry": {"carry": np.ones((B, H), np.int32)},
    "a boolean carry": {"carry": np.ones((B, H), bool)},
    "a complex carry": {"carry": CARRY.astype(complex)},
    "text as carry": {"carry": "h"},
    **_no_arrays("a carry", "carry", CARRY),
    **_no_floats("a carry", "carry", CARRY),
    "resets of other steps": {"resets": np.ones((B, T - 1), bool)},
    "resets of one example": {"resets": np.ones(T, bool)},
    "integer resets": {"resets": np.ones((B, T), np.int32)},
    "floating resets": {"resets": np.ones((B, T))},
    **_no_arrays("resets", "resets", RESETS),
    "reverse=1": {"reverse": 1},
    "reverse=0": {"reverse": 0},
    "reverse=None": {"reverse": None},
    "a NumPy bool as reverse": {"reverse": np.True_},
    "time_major=1": {"time_major": 1},
    "time_major=0": {"time_major": 0},
    "a NumPy bool as time_major": {"time_major": np.False_},
    "time-major, a carry of as many states as steps before the batch": {"time_major": True, "carry": CARRY},
    "time-major, lengths of the other axis": {"time_major": True, "lengths": np.ones(B, np.int32)},
    "time-major, resets with the batch first": {"time_major": True, "x": X_BY_TIME, "resets": RESETS},
}
BAD_STEP: dict[str, dict[str, Any]] = {
    "None as inputs": {"x": None},
    "text as inputs": {"x": "x"},
    "inputs of one feature too many": {"x": np.ones((B, D + 1))},
    "integer inputs": {"x": np.ones((B, D), np.int32)},
    "complex inputs": {"x": np.ones((B, D), complex)},
    "an empty batch": {"x": np.ones((0, D))},
    "a carry of one example for a batch": {"carry": np.ones((1, H))},
    "a carry of other units": {"carry": np.ones((B, H + 1))},
    "one carry for all": {"carry": np.ones(H)},
    "an integer carry": {"carry": np.ones((B, H), np.int32)},
    "a complex carry": {"carry": CARRY.astype(complex)},
    "a reset of another batch": {"reset": np.zeros(B + 1, bool)},
    "an integer reset": {"reset": np.zeros(B, np.int32)},
    **_no_arrays("inputs", "x", X[:, 0]),
    **_no_floats("inputs", "x", X[:, 0]),
    **_no_arrays("a carry", "carry", CARRY),
    **_no_floats("a carry", "carry", CARRY),
    **_no_arrays("a reset", "reset", RESETS[:, 0]),
}
BAD_CLASSIFY = _INPUTS | _LENGTHS
#: Initializers of no initial carry. In all ports alike they are told when a model is made.
BAD_INITIALIZERS: dict[str, Any] = {
    "an initializer that needs two axes": jax.nn.initializers.lecun_normal(),
    "an initializer that gives two axes": lambda key, shape, dtype: np.zeros((1, *shape), dtype),
    "an initializer that gives another size": lambda key, shape, dtype: np.zeros(shape[0] + 1, dtype),
    "an initializer that gives another dtype": lambda key, shape, dtype: np.zeros(shape, np.float32),
    "no initializer": 0.0,
}
BAD_BATCH_SHAPES: dict[str, Any] = {
    "a number": B,
    "text": "8",
    "None": None,
    "a fraction": (1.5,),
    "a negative size": (-1,),
    "more than any array has": (2**70,),
    "an empty batch": (2, 0),
    "a truth value": (True,),
    "an array": np.ones((B, H)),
}
#: Fields that no `GRUConfig` has, since it refuses them: so models are asked, as somebody asks who calls their class.
BAD_FIELDS: dict[str, dict[str, Any]] = {
    "no units": {"hidden_size": 0},
    "half a unit": {"hidden_size": 6.5},
    "no step in an iteration": {"unroll": 0},
    "unroll=True": {"unroll": True},
    "remat=1": {"remat": 1},
    "integers as dtype": {"dtype": "int32"},
    "integers as param_dtype": {"param_dtype": "int32"},
    "an unknown kernel": {"kernel": "no such kernel"},
    "a kernel that is None": {"kernel": None},
}
#: What is done to a flag that is an argument of a jitted function.
TRACED_FLAGS = ("reverse", "time_major")
_PARAMS: GRUParams = random_params(CONFIG)
BAD_LOAD: dict[str, Any] = {
    "a dict": _PARAMS._asdict(),
    "a classifier's": random_params(READOUT),
    "inputs' weights transposed": _PARAMS._replace(weight_ih=_PARAMS.weight_ih.T),
    "inputs' weights of other inputs": _PARAMS._replace(weight_ih=np.ones((3 * H, D + 1))),
    "one recurrent matrix": _PARAMS._replace(weight_hh=np.ones((H, H))),
    "a bias of another size": _PARAMS._replace(bias=np.ones(H)),
    "b_hn with two axes": _PARAMS._replace(bias_n=np.ones((1, H))),
    "an initial carry for each example": _PARAMS._replace(initial_carry=CARRY),
    "one number as initial carry": _PARAMS._replace(initial_carry=np.zeros(())),
    "no b_hn": _PARAMS._replace(bias_n=None),
    "a list": _PARAMS._replace(bias_n=[0.0] * H),
    "another dtype": GRUParams(*(p.astype(np.float32) for p in _PARAMS)),
    "one bias of another dtype": _PARAMS._replace(bias=np.zeros(3 * H, np.float32)),
    "integers": _PARAMS._replace(initial_carry=np.zeros(H, np.int64)),
}

#: Calls that look odd, and are good.
GOOD_APPLY: dict[str, dict[str, Any]] = {
    "lengths in uint8": {"lengths": np.array([0, 5, 3], np.uint8)},
    "lengths in int64, negative and beyond the end": {"lengths": np.array([-4, 99, 2])},
    "lengths in int64, more than 32 bits hold": {"lengths": np.array([2**40, 2**32 + 2, 1])},
    "lengths in uint64, more than int64 holds": {"lengths": np.array([2**63, 2**64 - 1, 2], np.uint64)},
    "lengths of four bits": {"lengths": np.array([0, 5, 3], "int4")},
    "one step": {"x": X[:, :1]},
    "one example": {"x": X[:1], "carry": CARRY[:1], "lengths": np.array([4], np.int16)},
    "no reset": {"resets": np.zeros((B, T), bool)},
    "everything": {"carry": CARRY, "lengths": np.array([0, 5, 3], np.int32), "resets": RESETS, "reverse": True},
    "everything, time-major": {"x": X_BY_TIME, "carry": CARRY, "lengths": np.array([0, 5, 3], np.int32),
                               "resets": RESETS.T, "time_major": True},
}  # fmt: skip
#: Lengths beyond 32 bits, of which JAX keeps the lower ones without jax_enable_x64, and what they mean.
BEYOND, WITHIN = np.array([2**40, 2 - 2**32, 2**32 + 2]), np.array([T, 0, T])


def refusals_check(name: str, catches: str) -> Check:
    """Bad calls of `apply`, `step`, `classify`, `load` and `make`; and good ones, on NumPy arrays in every place."""

    def answer(port: Port) -> Answers:
        through: list[str] = []
        for what, call in _bad_calls(port):
            said = _let_through(call)
            if said:
                through.append(f"{what}: {said}")
            if len(through) == NAMED:
                break
        if through:
            raise DefectError(f"not refused by an InputError: {'; '.join(through)}.")
        trying = ""

        def good(model: Any, readout: Any) -> Answers:
            nonlocal trying
            found = {}
            for what, call in _good_calls(port, model, readout):
                trying = what
                with suppress(NotOfferedError):
                    found |= {f"{what}: {quantity}": array for quantity, array in call().items()}
            return found

        try:
            found = evaluate(good, port.load(CONFIG, _PARAMS), _readout_of(port))
        except InputError as error:
            raise DefectError(f"a good call on NumPy arrays is refused: {trying}: {error}") from error
        return dict.fromkeys(expect(), LEFT_OUT) | found | _without_x64(lambda: _moved_by_more_bits(port))

    def expect() -> Answers:
        found = {}
        for what, changed in GOOD_APPLY.items():
            options: dict[str, Any] = {"x": X} | changed
            tape = oracle.forward(_PARAMS, **options)
            found |= {f"{what}: carry": tape.carry, f"{what}: outputs": tape.outputs}
        step = oracle.forward(_PARAMS, X[:, :1], CARRY).carry
        logits = oracle.classify(random_params(READOUT), X, np.array([1, 5, 3]))
        found |= {"step: carry": step, "step: outputs": step, "classify: logits": logits}
        return found | {f"lengths beyond 32 bits: {name}": np.zeros(B) for name in ("carry", "logits")}

    return Check(name, catches, answer, expect)


def _good_calls(port: Port, model: Any, readout: Any) -> Iterator[tuple[str, Callable[[], Answers]]]:
    """Each good call with a description."""

    def apply(x: Any = X, carry: Any = None, **options: Any) -> Answers:
        return dict(zip(("carry", "outputs"), port.apply(model, x, carry, **options), strict=True))

    yield from ((what, lambda changed=changed: apply(**changed)) for what, changed in GOOD_APPLY.items())
    yield "step", lambda: dict(zip(("carry", "outputs"), port.step(model, X[:, 0], CARRY), strict=True))
    if readout is not None:
        yield "classify", lambda: {"logits": port.classify(readout, X, np.array([1, 5, 3], np.uint8))}


def _readout_of(port: Port, config: GRUConfig = READOUT) -> Any:
    """A classifier, or None where the port has none."""
    with suppress(NotOfferedError):
        return port.load(config, random_params(config))
    return None


def _moved_by_more_bits(port: Port) -> Answers:
    """By how much each example's answers differ where its length has more than 32 bits."""
    plain, readout = (replace(config, param_dtype="float32") for config in (CONFIG, READOUT))

    def answers(model: Any, readout: Any, lengths: np.ndarray) -> dict[str, jax.Array]:
        found = {"carry": port.apply(model, X.astype("float32"), lengths=lengths)[0]}
        return found | ({} if readout is None else {"logits": port.classify(readout, X.astype("float32"), lengths)})

    models = port.load(plain, random_params(plain)), _readout_of(port, readout)
    beyond, within = evaluate(
        lambda gru, readout: tuple(answers(gru, readout, lengths) for lengths in (BEYOND, WITHIN)), *models
    )
    return {f"lengths beyond 32 bits: {name}": np.float64(abs(beyond[name] - within[name]).max(-1)) for name in within}


def _bad_calls(port: Port) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each bad call with a description."""
    model, readout = port.load(CONFIG, _PARAMS), _readout_of(port)

    def apply(x: Any = X, carry: Any = None, **options: Any) -> Any:
        return port.apply(model, x, carry, **options)

    def step(x: Any = X[:, 0], carry: Any = None, **options: Any) -> Any:
        return port.step(model, x, carry, **options)

    def classify(x: Any = X, lengths: Any = None) -> Any:
        return port.classify(readout, x, lengths)

    def traced(flag: str) -> Any:
        return jax.jit(lambda value: apply(**{flag: value}))(np.asarray(False))

    for name, call, table in (
        ("apply", apply, BAD_APPLY),
        ("step", step, BAD_STEP),
        ("classify", classify, {} if readout is None else BAD_CLASSIFY),
    ):  # fmt: skip
        yield from ((f"{name}, {what}", lambda call=call, row=row: call(**row)) for what, row in table.items())
    yield from ((f"apply, a traced {flag}", lambda flag=flag: traced(flag)) for flag in TRACED_FLAGS)
    yield from (
        (f"initial_carry, {what} as batch_shape", lambda row=row: port.initial_carry(model, row))
        for what, row in BAD_BATCH_SHAPES.items()
    )
    yield from ((f"load, {what}", lambda row=row: port.load(CONFIG, row)) for what, row in BAD_LOAD.items())
    yield from (
        (f"make, {what}", lambda init=init: port.make(replace(CONFIG, carry_init=init), _key()))
        for what, init in BAD_INITIALIZERS.items()
    )
    yield "load, a GRU's parameters for a classifier", lambda: port.load(READOUT, _PARAMS)
    yield "load, float64 without jax_enable_x64", lambda: _without_x64(lambda: port.load(CONFIG, _PARAMS))
    yield "make, float64 without jax_enable_x64", lambda: _without_x64(lambda: port.make(CONFIG, _key()))
    if not isinstance(port, WithKernel):  # which has one kernel, whatever is asked for
        other = replace(CONFIG, kernel="no such kernel")
        yield "load, an unknown kernel", lambda: port.load(other, _PARAMS)
        yield from (
            (f"make and apply, {what}", lambda row=row: port.apply(port.make(_unchecked(row), _key()), X))
            for what, row in BAD_FIELDS.items()
        )


def _unchecked(fields: dict[str, Any]) -> GRUConfig:
    config = copy(CONFIG)
    for name, value in fields.items():
        object.__setattr__(config, name, value)
    return config


def _key() -> Any:
    return jax.random.key(0)


def _without_x64(call: Callable[[], Any]) -> Any:
    with enable_x64(False):
        return call()


def _let_through(call: Callable[[], Any]) -> str | None:
    """The result or exception that came instead of an InputError, or None. Something not offered counts as refused."""
    try:
        call()
    except (InputError, NotOfferedError):
        return None
    except Exception as error:  # whatever comes from inside a framework
        return type(error).__name__
    return "a result"
