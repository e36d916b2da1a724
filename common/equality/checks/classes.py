"""The check of a port's own class, made with options as `ModelClass` describes it."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers

from ...compat import enable_x64
from ...config import GRUConfig
from ...errors import DefectError, NotOfferedError
from ...gru.kernels import (
    AUTO,
    ENOUGH_EXAMPLES,
    ENOUGH_STEPS,
    FUSED,
    STOCK,
    is_fused,
)
from ...parameters.record import random_params
from ...port.compilation import configured
from ...port.protocol import ModelClass, Port, WithKernel, class_of
from ...program import evaluate
from .. import oracle
from ..contract.named import other_kernels
from ..measurement import SAME_BOUND
from .check import (
    CARRY,
    DTYPES,
    LENGTHS,
    REFUSED,
    RESETS,
    B,
    D,
    H,
    T,
    Trial,
    X,
    require_trials,
    text_of,
)

Array = Any
Options = dict[str, Any]
SIZES: Options = {"input_size": D, "hidden_size": H}
#: What a class does where an option is left out, and sizes of NumPy's.
DEFAULTS: Options = {
    "input_size": np.int32(D),
    "hidden_size": np.int64(H),
    "carry_init": initializers.zeros,
    "dtype": None,
    "param_dtype": jnp.float32,
    "unroll": np.int64(1),
    "remat": False,
    "kernel": STOCK,
}
#: Values of options that no model has.
BAD_OPTIONS: dict[str, tuple[Any, ...]] = {
    "hidden_size": (0, -3, 2.0, True, "8", None),
    "input_size": (0,),
    "unroll": (0, 2.0, True, None),
    "remat": (1, None, np.True_),
    "kernel": (None, 1, "", "fast"),
    "dtype": ("int32", complex, "float8_e4m3fn"),
    "param_dtype": ("int32", complex, "float8_e4m3fn", None),
    "carry_init": (0.0, initializers.lecun_normal()),
}
#: Arrays that are drawn gate by gate, where a class does so.
_OF_GATES = ("weight_ih", "weight_hh", "bias")


@dataclass(frozen=True)
class Unlearned:
    """Dtypes of a model whose start is not learned, and the error that they allow."""

    params: str
    computation: str | None
    bound: float


UNLEARNED = (
    Unlearned("float64", None, SAME_BOUND),
    Unlearned("bfloat16", None, 0.1),
    Unlearned("bfloat16", "float32", 1e-4),
)


def of_class(port: Port) -> list[Trial]:
    """A port's class, made with good and bad options. A warning is wrong, too.

    Raises:
        NotOfferedError: the port lists none.
    """
    model_class = class_of(port)
    if model_class is None:
        raise NotOfferedError("the port lists no class of its own as `model_class`")

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if isinstance(port, WithKernel):
                require_trials(_of_kernel(port, model_class, port.kernel))
            else:
                require_trials(of_all_kernels(port, model_class))

    return [Trial("its class", run)]


def of_all_kernels(port: Port, model_class: ModelClass) -> Iterator[Trial]:
    """What stands for what, and bad options, which are refused before anything is
    computed; then each kernel.
    """
    alike = partial(_require_alike, port, model_class, {}, DEFAULTS)
    yield Trial("without options", alike)
    narrow = partial(_require_float32, model_class)
    yield Trial("float64 without jax_enable_x64", narrow)
    for what, call in _bad_options(port, model_class):
        yield Trial(what, call, REFUSED)
    yield from _of_kernel(port, model_class, STOCK)

    kernels = other_kernels(port)
    if FUSED in kernels:
        # whether a call has an axis of a batch, or jax.vmap maps one, is the port's
        many_steps = np.resize(X, (B, ENOUGH_STEPS, D))
        many_examples = np.resize(X, (ENOUGH_EXAMPLES, T, D))
        calls = [(many_steps, dtype) for dtype in DTYPES]
        calls.append((many_examples, "float32"))
        for inputs, dtype in calls:
            x = inputs.astype(dtype)
            kernel = FUSED if is_fused(AUTO, np.moveaxis(x, 1, 0)) else STOCK
            run = partial(_require_automatic, port, model_class, x, kernel)
            yield Trial(f"kernel={AUTO!r} in {dtype} of shape {x.shape}", run)
    for kernel in kernels:
        if model_class.assign is not None:
            run = partial(_require_assigned, port, model_class.assign, kernel)
            yield Trial(f"changed in place, kernel={kernel!r}", run)

        # what a kernel draws is what the stock one draws
        construct = partial(model_class.construct, kernel=kernel)
        run = partial(_require_unlearned, port, construct, UNLEARNED[0])
        yield Trial(f"kernel={kernel!r}, carry_init=None", run)


def _of_kernel(port: Port, model_class: ModelClass, kernel: str) -> Iterator[Trial]:
    """Initializers, and a start that is not learned."""
    construct = partial(model_class.construct, kernel=kernel)
    drawn = partial(_require_initializers, port, model_class, construct)
    yield Trial("initializers", drawn)
    for unlearned in UNLEARNED:
        run = partial(_require_unlearned, port, construct, unlearned)
        yield Trial(f"carry_init=None in {unlearned.params}", run)


def _shapes(
    model_class: ModelClass, options: Options, call: Callable[[Any], Any]
) -> Any:
    """The shapes and dtypes of a call of a model that is made with options: nothing is
    computed.
    """

    def made_and_called(key: Array) -> Any:
        return call(model_class.construct(key, **SIZES | options))

    return jax.eval_shape(made_and_called, jax.random.key(0))


def _same(model: Any) -> Any:
    return model


def _bad_options(
    port: Port, model_class: ModelClass
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Models that are made with a bad option, and called; by what is wrong."""

    def apply(model: Any) -> Any:
        return port.apply(model, X)

    def step(model: Any) -> Any:
        return port.step(model, X[:, 0])

    def start(model: Any) -> Any:
        return port.initial_carry(model, (B,))

    # a class that is not called does not see that inputs have another size
    calls = {"input_size": [_same], "dtype": [apply, step, start]}
    for name, values in BAD_OPTIONS.items():
        for value in values:
            for call in calls.get(name, [apply]):
                bad = {name: value}
                yield f"{name}={value!r}", partial(_shapes, model_class, bad, call)


def _require_float32(model_class: ModelClass) -> None:
    """Require a model that is asked for in float64 to be in float32 where JAX has no
    float64.
    """
    with enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX says that it makes float32 of float64
        model = _shapes(model_class, {"param_dtype": "float64"}, _same)
    dtypes = {str(array.dtype) for array in jax.tree.leaves(model)}
    others = dtypes - {"float32"}
    if others:
        raise DefectError(f"a parameter is {min(others)}, expected float32")


def _require_assigned(
    port: Port, assign: Callable[[Any, Any], None], kernel: str
) -> None:
    """A model that is called outside of jit, given other parameters in place, and
    called again uses these.
    """
    config = GRUConfig(D, H, param_dtype="float64")
    with_kernel = WithKernel(port, kernel)
    model = with_kernel.load(config, random_params(config, seed=0))
    other = with_kernel.load(config, random_params(config, seed=1))
    with configured({"jax_disable_most_optimizations": True}):
        with_kernel.apply(model, X)
        assign(model, other)
        results = with_kernel.apply(model, X)
        expected = jax.tree.map(np.asarray, with_kernel.apply(other, X))
    require_trials([Trial("results", lambda: results, expected)])


def _require_automatic(
    port: Port, model_class: ModelClass, x: Array, kernel: str
) -> None:
    """A model with the kernel "auto" calls on inputs the program of the kernel that it
    stands for.
    """
    programs = set()
    for name in (AUTO, kernel):
        model = model_class.construct(
            jax.random.key(0), **SIZES, param_dtype=str(x.dtype), kernel=name
        )
        programs.add(text_of(jax.make_jaxpr(partial(port.apply, model))(x)))
    if len(programs) > 1:
        raise DefectError(
            f"a model with kernel={AUTO!r} calls another program than one with "
            f"kernel={kernel!r}, for which it stands"
        )


def _require_alike(
    port: Port, model_class: ModelClass, options: Options, others: Options
) -> None:
    """Some options stand for others: a model has one program with both, called in
    float32.
    """
    x = X.astype("float32")
    program = _program(port, model_class, options, x)
    if program != _program(port, model_class, others, x):
        raise DefectError(
            "a model has another program than with the options that these stand for, "
            f"among them kernel={others['kernel']!r}"
        )


def _program(port: Port, model_class: ModelClass, options: Options, x: Array) -> str:
    """The text of the program of a model that is made and called."""
    sizes = SIZES | options
    # NumPy's integers are sizes of a batch, too, wherever Python's are
    batch_size = type(sizes["hidden_size"])(B)

    def made_and_called(key: Array, x: Array) -> Any:
        model = model_class.construct(key, **sizes)
        return port.apply(model, x), port.initial_carry(model, (batch_size,))

    return text_of(jax.make_jaxpr(made_and_called)(jax.random.key(0), x))


def _require_initializers(
    port: Port, model_class: ModelClass, construct: Callable[..., Any]
) -> None:
    """Each initializer is called for its arrays, with a key for each, and the arrays
    have what it drew.
    """
    fields = {"carry_init": ("initial_carry",), **model_class.initializers}
    calls: dict[str, set[tuple[Any, str]]] = {name: set() for name in fields}

    def coded(shape: Any, name: str) -> np.ndarray:
        """Numbers of which each tells its place, and the initializer that drew it."""
        number = 1 + list(fields).index(name)
        return 10.0 * number + np.arange(np.prod(shape)).reshape(shape) / 100

    def draw(name: str, key: Array, shape: Any, dtype: Any = None) -> Array:
        calls[name].add((tuple(shape), str(jnp.dtype(dtype or float))))
        offset = jax.random.uniform(key, (), jnp.float64)  # one for the key
        return coded(shape, name) + offset.astype(dtype)

    drawing = {name: partial(draw, name) for name in fields}
    make = partial(construct, input_size=D, hidden_size=H, param_dtype="float64")
    model = evaluate(partial(make, **drawing), jax.random.key(0))
    params = port.dump(model)

    offsets = []
    for name, arrays in fields.items():
        expected = set()
        for field in arrays:
            is_split = model_class.gates_apart and field in _OF_GATES
            array = np.asarray(getattr(params, field))
            for block in np.split(array, 3 if is_split else 1):
                expected.add((block.T.shape, "float64"))
                off = block - coded(block.T.shape, name).T
                if not np.ptp(off) <= SAME_BOUND or not 0 <= off.mean() <= 1:
                    raise DefectError(f"what {name} draws is not {field}")
                offsets.append(off.mean())
        if calls[name] != expected:
            raise DefectError(
                f"{name} is called with {sorted(calls[name])}, expected "
                f"{sorted(expected)}"
            )
    if np.diff(np.sort(offsets)).min(initial=1) < SAME_BOUND:
        raise DefectError("two arrays are drawn by one key")


def _require_unlearned(
    port: Port, construct: Callable[..., Any], dtypes: Unlearned
) -> None:
    """A start that is not learned is no parameter; it is zeros, in the dtype of the
    parameters or that is asked for.
    """
    require_trials(_of_unlearned(port, construct, dtypes))


def _of_unlearned(
    port: Port, construct: Callable[..., Any], dtypes: Unlearned
) -> Iterator[Trial]:
    make = partial(
        construct,
        input_size=D,
        hidden_size=H,
        param_dtype=dtypes.params,
        dtype=dtypes.computation,
        carry_init=None,
    )
    model = _filled(jax.eval_shape(make, jax.random.key(0)))
    params: Any = port.dump(model)
    start = np.zeros(H, dtypes.params)
    yield Trial("the dumped start", lambda: params.initial_carry, start, 0.0)

    x, carry = X.astype(dtypes.params), CARRY.astype(dtypes.params)

    def call(model: Any, x: Array) -> Any:
        results = [port.initial_carry(model, (B,))]
        for state in (None, carry):
            results += port.apply(model, x, state, lengths=LENGTHS, resets=RESETS)
            results += port.step(model, x[:, 0], state, reset=RESETS[:, 0])
        return results

    exact, x_64 = jax.tree.map(_in_float64, params), _in_float64(x)
    exactly = [np.zeros((B, H))]
    for state in (None, _in_float64(carry)):
        whole = oracle.forward(exact, x_64, state, LENGTHS, RESETS)
        first = oracle.forward(exact, x_64[:, :1], state, None, RESETS[:, :1])
        exactly += [whole.carry, whole.outputs, first.carry, first.carry]
    dtype = dtypes.computation or dtypes.params
    expected = [array.astype(dtype) for array in exactly]
    run = partial(evaluate, call, model, x)
    what = "the start; a sequence and a step, from it and from a carry"
    yield Trial(what, run, expected, dtypes.bound)

    if dtypes.params == "float64":

        def sum_outputs(model: Any) -> Any:
            arguments = {"carry": CARRY, "lengths": LENGTHS, "resets": RESETS}
            _, outputs = port.apply(model, x, **arguments)
            return outputs.sum()

        _, (gradient,) = evaluate(port.value_and_grad(sum_outputs), model)
        d_params: Any = port.dump(gradient)
        d_start = np.zeros(H)
        yield Trial(
            "the gradient of the start", lambda: d_params.initial_carry, d_start, 0.0
        )


def _in_float64(array: Array) -> Array:
    return array.astype("float64")


def _filled(shapes: Any) -> Any:
    """Random numbers in every array of a model, of which shapes and dtypes are
    known.
    """
    rng = np.random.default_rng(1)

    def draw(array: Any) -> Array:
        return rng.normal(size=array.shape).astype(array.dtype)

    return jax.tree.map(draw, shapes)
