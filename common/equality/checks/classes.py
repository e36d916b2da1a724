"""The check of a port's own class, made with options as `ModelClass` describes it."""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers

from ...compat import enable_x64
from ...config import GRUConfig
from ...errors import DefectError, NotOfferedError
from ...gru.kernels import AUTO, FUSED, STOCK, is_fused
from ...parameters.record import random_params
from ...port.compilation import configured
from ...port.protocol import ModelClass, Port, WithKernel, class_of
from ...program import evaluate
from .. import oracle
from ..contract.factors import other_kernels
from ..measurement import SAME_BOUND
from .check import (
    CARRY,
    LENGTHS,
    REFUSED,
    RESETS,
    B,
    Case,
    D,
    H,
    X,
    require_cases,
    text_of,
)

Array = Any
SIZES = {"input_size": D, "hidden_size": H}
#: What a class does where an option is left out, and sizes of NumPy's.
DEFAULTS: dict[str, Any] = {
    "input_size": np.int32(D),
    "hidden_size": np.int64(H),
    "carry_init": initializers.zeros,
    "dtype": None,
    "param_dtype": jnp.float32,
    "unroll": np.int64(1),
    "remat": False,
    "kernel": STOCK,
}
#: The dtypes of parameters and computation, and the error that they allow.
UNLEARNED = (
    ("float64", None, SAME_BOUND),
    ("bfloat16", None, 0.1),
    ("bfloat16", "float32", 1e-4),
)
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


def uses(port: Port) -> list[Case]:
    """A port's class, made with good and bad options. A warning is wrong, too."""
    if (listed := class_of(port)) is None:
        raise NotOfferedError("the port lists no class of its own as `model_class`")

    def run() -> None:
        cases = (
            _of_kernel(port, listed, port.kernel)
            if isinstance(port, WithKernel)
            else _of_all_kernels(port, listed)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            require_cases(cases)

    return [Case("its class", run)]


def _of_all_kernels(port: Port, listed: ModelClass) -> Iterator[Case]:
    """What stands for what, and bad options, which are refused before anything is computed; then each kernel."""

    def called(options: dict[str, Any], call: Callable[[Any], Any]) -> Any:
        return jax.eval_shape(
            lambda key: call(listed.construct(key, **SIZES | options)),
            jax.random.key(0),
        )

    def narrowed() -> None:
        with enable_x64(False), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # JAX says that it makes float32 of float64
            model = called({"param_dtype": "float64"}, lambda model: model)
        if others := {str(array.dtype) for array in jax.tree.leaves(model)} - {
            "float32"
        }:
            raise DefectError(f"a parameter is {min(others)}, expected float32")

    def assigned(kernel: str) -> None:
        """A model that is called outside of jit, given other parameters in place, and called again uses these."""
        config, own = GRUConfig(D, H, param_dtype="float64"), WithKernel(port, kernel)
        model, other = (
            own.load(config, random_params(config, seed)) for seed in range(2)
        )
        with configured({"jax_disable_most_optimizations": True}):
            own.apply(model, X)
            listed.assign(model, other)  # pyright: ignore[reportOptionalCall]
            found, expected = (own.apply(some, X) for some in (model, other))
        require_cases(
            [Case("results", partial(tuple, found), jax.tree.map(np.asarray, expected))]
        )

    yield Case(
        "without options",
        partial(_require_alike, port, listed, "float32", {}, DEFAULTS),
    )
    yield Case("float64 without jax_enable_x64", narrowed)
    for name, values in BAD_OPTIONS.items():
        calls = [
            (lambda model: model)
            if name == "input_size"
            else (lambda model: port.apply(model, X))
        ]
        if name == "dtype":
            calls += [
                lambda model: port.step(model, X[:, 0]),
                lambda model: port.initial_carry(model, (B,)),
            ]
        for value, call in product(values, calls):
            yield Case(
                f"{name}={value!r}", partial(called, {name: value}, call), REFUSED
            )
    yield from _of_kernel(port, listed, STOCK)
    if FUSED in other_kernels(port):
        for dtype, kernel in (
            ("float32", FUSED if is_fused(AUTO, "float32") else STOCK),
            ("bfloat16", STOCK),
        ):
            options = (
                {"param_dtype": dtype, "kernel": name} for name in (AUTO, kernel)
            )
            yield Case(
                f"kernel={AUTO!r} in {dtype}",
                partial(_require_alike, port, listed, dtype, *options),
            )
    for kernel in other_kernels(port):
        if listed.assign:
            yield Case(
                f"changed in place, kernel={kernel!r}", partial(assigned, kernel)
            )
        yield Case(
            f"kernel={kernel!r}",
            partial(require_cases, _of_kernel(port, listed, kernel, values_alone=True)),
        )


def _of_kernel(
    port: Port, listed: ModelClass, kernel: str, *, values_alone: bool = False
) -> Iterator[Case]:
    """Initializers, and a start that is not learned."""
    construct: Any = partial(listed.construct, kernel=kernel)
    if not values_alone:
        yield Case(
            "initializers", partial(_require_initializers, port, listed, construct)
        )
    for dtypes in UNLEARNED[:1] if values_alone else UNLEARNED:
        yield Case(
            f"carry_init=None in {dtypes[0]}",
            partial(require_cases, _unlearned(port, construct, *dtypes)),
        )


def _require_alike(
    port: Port, listed: ModelClass, dtype: str, *options: dict[str, Any]
) -> None:
    """Several options stand for one program of a model that is made, and called on inputs of a dtype."""

    def program(options: dict[str, Any]) -> str:
        sizes = SIZES | options
        kind = type(
            sizes["hidden_size"]
        )  # of the batch, too: NumPy's integers are sizes wherever Python's are

        def made_and_called(key: Array, x: Array) -> Any:
            model = listed.construct(key, **sizes)
            return port.apply(model, x), port.initial_carry(model, (kind(B),))

        return text_of(
            jax.make_jaxpr(made_and_called)(jax.random.key(0), X.astype(dtype))
        )

    if len(set(map(program, options))) > 1:
        expected = f"the options that these stand for, among them kernel={options[-1]['kernel']!r}"
        raise DefectError(f"a model has another program than with {expected}")


def _require_initializers(
    port: Port, listed: ModelClass, construct: Callable[..., Any]
) -> None:
    """Each initializer is called for its arrays, with a key for each, and the arrays have what it drew."""
    fields = {"carry_init": ("initial_carry",), **listed.initializers}
    calls: dict[str, set[tuple[Any, str]]] = {name: set() for name in fields}

    def coded(shape: Any, name: str) -> np.ndarray:
        """Numbers of which each tells its place, and the initializer that drew it."""
        return (
            10.0 * (1 + list(fields).index(name))
            + np.arange(np.prod(shape)).reshape(shape) / 100
        )

    def draw(name: str, key: Array, shape: Any, dtype: Any = None) -> Array:
        calls[name].add((tuple(shape), str(jnp.dtype(dtype or float))))
        return coded(shape, name) + jax.random.uniform(key, (), jnp.float64).astype(
            dtype
        )  # one for the key

    named = {name: partial(draw, name) for name in fields}
    params = port.dump(
        evaluate(
            lambda key: construct(key, D, H, param_dtype="float64", **named),
            jax.random.key(0),
        )
    )
    offsets = []
    for name, arrays in fields.items():
        expected = set()
        for field in arrays:
            gates = (
                3
                if listed.gates_apart and field in ("weight_ih", "weight_hh", "bias")
                else 1
            )
            for block in np.split(np.asarray(getattr(params, field)), gates):
                expected.add((block.T.shape, "float64"))
                off = block - coded(block.T.shape, name).T
                if not np.ptp(off) <= SAME_BOUND or not 0 <= off.mean() <= 1:
                    raise DefectError(f"what {name} draws is not {field}")
                offsets.append(off.mean())
        if calls[name] != expected:
            raise DefectError(
                f"{name} is called with {sorted(calls[name])}, expected {sorted(expected)}"
            )
    if np.diff(np.sort(offsets)).min(initial=1) < SAME_BOUND:
        raise DefectError("two arrays are drawn by one key")


def _unlearned(
    port: Port,
    construct: Callable[..., Any],
    stored: str,
    computed: str | None,
    bound: float,
) -> Iterator[Case]:
    """A start that is not learned is no parameter; it is zeros, in the dtype of the parameters or that is asked for."""
    options: dict[str, Any] = {
        "param_dtype": stored,
        "dtype": computed,
        "carry_init": None,
    }
    model = _filled(
        jax.eval_shape(lambda key: construct(key, D, H, **options), jax.random.key(0))
    )
    params: Any = port.dump(model)
    yield Case(
        "the dumped start", lambda: params.initial_carry, np.zeros(H, stored), 0.0
    )
    exact, x, resets = (
        jax.tree.map(lambda p: p.astype("float64"), params),
        X.astype(stored),
        RESETS,
    )

    def call(model: Any, x: Array) -> Any:
        sequence, step = (
            port.apply(model, x, resets=resets),
            port.step(model, x[:, 0], reset=resets[:, 0]),
        )
        return [*sequence, *step, port.initial_carry(model, (B,))]

    result, first = (
        oracle.forward(exact, a.astype("float64"), resets=r)
        for a, r in ((x, resets), (x[:, :1], None))
    )
    expected = result.carry, result.outputs, first.carry, first.carry, np.zeros((B, H))
    expected = [array.astype(computed or stored) for array in expected]
    yield Case(
        "a sequence, a step, the start",
        partial(evaluate, call, model, x),
        expected,
        bound,
    )
    if stored == "float64":
        given = {"carry": CARRY, "lengths": LENGTHS, "resets": RESETS}
        gradient = evaluate(
            port.value_and_grad(lambda model: port.apply(model, x, **given)[1].sum()),
            model,
        )[1][0]
        of_start = partial(lambda: port.dump(gradient).initial_carry)  # pyright: ignore[reportAttributeAccessIssue]
        yield Case("the gradient of the start", of_start, np.zeros(H), 0.0)


def _filled(shapes: Any) -> Any:
    """Random numbers in every array of a model, of which shapes and dtypes are known."""
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda array: rng.normal(size=array.shape).astype(array.dtype), shapes
    )
