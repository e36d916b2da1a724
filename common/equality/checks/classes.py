"""The check of a port's own class, made and called as programs of its framework do.

The other checks make and call models through the port alone, which passes every option, and no more than its protocol
has. What stands in `trigru.common.port.classes` lists the rest: here it is compared with the oracle.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers

from ...compat import enable_x64
from ...config import GRUConfig
from ...errors import DefectError, NotOfferedError
from ...gru.kernels import AUTO, FUSED, STOCK, is_fused
from ...parameters.record import leaves, random_params
from ...port.classes import ModelClass, Use, class_of
from ...port.compilation import configured
from ...port.protocol import Port, WithKernel
from ...program import evaluate
from .. import oracle
from ..bounds import SAME_BOUND
from ..cases import CARRY, LENGTHS, RESETS, B, D, H, X
from ..contract.factors import other_kernels
from .calls import BAD_APPLY
from .check import REFUSED, Case, require_cases

Array = Any
#: The arguments of a call: none, and all that a way of use takes.
GIVEN: dict[str, Any] = {"carry": CARRY, "lengths": LENGTHS, "resets": RESETS, **{"reverse": True, "time_major": True}}
#: What a class does where an option is left out.
DEFAULTS: dict[str, Any] = {
    "carry_init": initializers.zeros,
    "dtype": None,
    "param_dtype": jnp.float32,
    "unroll": np.int64(1),
    "remat": False,
    "kernel": STOCK,
}
#: The dtypes of parameters and computation, and the error that they allow.
UNLEARNED = (("float64", None, SAME_BOUND), ("bfloat16", None, 0.1), ("bfloat16", "float32", 1e-4))
#: Options that no model has, and the calls that are refused for them.
BAD_OPTIONS: tuple[tuple[str, Any], ...] = (
    *(("hidden_size", size) for size in (0, -3, 2.0, True, "8", None)),
    ("input_size", 0),
    *(("unroll", steps) for steps in (0, 2.0, True, None)),
    *(("remat", flag) for flag in (1, None, np.True_)),
    *(("kernel", kernel) for kernel in (None, 1, "", "fast")),
    *((name, wrong) for name in ("dtype", "param_dtype") for wrong in ("int32", complex, "float8_e4m3fn")),
    ("param_dtype", None),
    ("carry_init", 0.0),
    ("carry_init", initializers.lecun_normal()),
)
#: Bad arguments that a class refuses itself.
BAD_ARGUMENTS = tuple(
    BAD_APPLY[what]
    for what in (
        *("x: one feature too many", "x: int32", "carry: of other units", "carry: int32", "lengths: float"),
        *("resets: int32", "reverse=1", "time_major=1"),
    )
)


def uses(port: Port) -> list[Case]:
    """A port's class, in all the ways in which programs use it. A warning is wrong, too."""
    return [Case("as programs use it", partial(_require_class, port))]


def _require_class(port: Port) -> None:
    if (listed := class_of(port)) is None:
        raise NotOfferedError("the port lists no class of its own as `model_class`")
    own = isinstance(port, WithKernel)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        require_cases(_of_kernel(port, listed, port.kernel) if own else _of_all_kernels(port, listed))


def _of_all_kernels(port: Port, listed: ModelClass) -> Iterator[Case]:
    yield Case("without options", partial(_require_defaults, port, listed))
    yield Case("float64 without jax_enable_x64", partial(_require_narrowed, listed))
    yield from _refused_options(port, listed)
    yield from _of_kernel(port, listed, STOCK)
    if FUSED in other_kernels(port):
        for dtype, kernel in (("float32", FUSED if is_fused(AUTO, "float32") else STOCK), ("bfloat16", STOCK)):
            yield Case(f"kernel={AUTO!r} in {dtype}", partial(_require_kernel, port, listed, dtype, AUTO, kernel))
    for kernel in other_kernels(port):
        if listed.assign:
            assigned = partial(_require_assigned, WithKernel(port, kernel), listed)
            yield Case(f"changed in place, kernel={kernel!r}", assigned)
        yield Case(f"kernel={kernel!r}", partial(require_cases, _of_kernel(port, listed, kernel, values_alone=True)))


def _of_kernel(port: Port, listed: ModelClass, kernel: str, *, values_alone: bool = False) -> Iterator[Case]:
    """Initializers, a start that is not learned, and the ways of use that the port lists."""
    construct: Any = partial(listed.construct, kernel=kernel)
    drawn = None
    if not values_alone:
        yield Case("initializers", partial(_require_initializers, port, listed, construct))
        drawn = leaves(port.dump(evaluate(lambda key: construct(key, D, H, param_dtype="float64"), jax.random.key(0))))
    for dtypes in UNLEARNED[:1] if values_alone else UNLEARNED:
        yield Case(f"carry_init=None in {dtypes[0]}", partial(require_cases, _unlearned(port, construct, *dtypes)))
    for use in listed.uses:
        yield Case(use.name, partial(require_cases, _use(port, listed, use, kernel, drawn)))


# The constructor ----------------------------------------------------------------------------------------------------


def _require_defaults(port: Port, listed: ModelClass) -> None:
    """A model without options is one with the defaults, whose sizes are NumPy's integers."""

    def program(batch: Any, input_size: Any, hidden_size: Any, **options: Any) -> str:
        make = partial(listed.construct, input_size=input_size, hidden_size=hidden_size, **options)
        return _program(make, lambda model, x: (port.apply(model, x), port.initial_carry(model, (batch,))))

    if program(B, D, H) != program(np.int64(B), np.int32(D), np.int64(H), **DEFAULTS):
        raise DefectError("a model has another program than with the defaults and sizes of NumPy's")


def _require_kernel(port: Port, listed: ModelClass, dtype: str, *kernels: str) -> None:
    """Two names of a kernel stand for one program, of parameters and inputs in a dtype."""
    made = (partial(listed.construct, input_size=D, hidden_size=H, param_dtype=dtype, kernel=name) for name in kernels)
    if len({_program(make, lambda model, x: port.apply(model, x.astype(dtype))) for make in made}) > 1:
        raise DefectError(f"it is not {kernels[-1]!r}")


def _program(make: Callable[..., Any], call: Callable[..., Any]) -> str:
    """The program of a model that is made and called, as text without addresses."""
    made_and_called = jax.make_jaxpr(lambda key, x: call(make(key), x))
    return re.sub(r" at 0x[0-9a-f]+", "", str(made_and_called(jax.random.key(0), X.astype("float32"))))


def _require_narrowed(listed: ModelClass) -> None:
    """Without jax_enable_x64, JAX makes float32 of float64, also in a class."""
    with enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX says that it does so
        model = jax.eval_shape(lambda key: listed.construct(key, D, H, param_dtype="float64"), jax.random.key(0))
    if wide := [str(array.dtype) for array in jax.tree.leaves(model) if str(array.dtype) != "float32"]:
        raise DefectError(f"a parameter is {wide[0]}, expected float32")


def _refused_options(port: Port, listed: ModelClass) -> Iterator[Case]:
    """Bad options are refused before anything is computed: made and called, and called for one step."""

    def called(options: dict[str, Any], call: Callable[[Any], Any]) -> Any:
        sizes = {"input_size": D, "hidden_size": H}
        return jax.eval_shape(lambda key: call(listed.construct(key, **sizes | options)), jax.random.key(0))

    for name, value in BAD_OPTIONS:
        calls = [(lambda model: model) if name == "input_size" else (lambda model: port.apply(model, X))]
        if name == "dtype":
            calls += [lambda model: port.step(model, X[:, 0]), lambda model: port.initial_carry(model, (B,))]
        for call in calls:
            yield Case(f"{name}={value!r}", partial(called, {name: value}, call), REFUSED)


def _require_initializers(port: Port, listed: ModelClass, construct: Callable[..., Any]) -> None:
    """Each initializer is called for its arrays, with a key for each, and the arrays have what it drew."""
    fields = {"carry_init": ("initial_carry",), **listed.initializers}
    calls: dict[str, set[tuple[Any, str]]] = {name: set() for name in fields}

    def coded(shape: Any, name: str) -> np.ndarray:
        """Numbers of which each tells its place, and the initializer that drew it."""
        return 10.0 * (1 + list(fields).index(name)) + np.arange(np.prod(shape)).reshape(shape) / 100

    def draw(name: str, key: Array, shape: Any, dtype: Any = None) -> Array:
        calls[name].add((tuple(shape), str(jnp.dtype(dtype or float))))
        return coded(shape, name) + jax.random.uniform(key, (), jnp.float64).astype(dtype)  # one for the key

    named = {name: partial(draw, name) for name in fields}
    params = port.dump(evaluate(lambda key: construct(key, D, H, param_dtype="float64", **named), jax.random.key(0)))
    offsets = []
    for name, arrays in fields.items():
        expected = set()
        for field in arrays:
            gates = 3 if listed.gates_apart and field in ("weight_ih", "weight_hh", "bias") else 1
            for block in np.split(np.asarray(getattr(params, field)), gates):
                expected.add((block.T.shape, "float64"))
                off = block - coded(block.T.shape, name).T
                if not np.ptp(off) <= SAME_BOUND or not 0 <= off.mean() <= 1:
                    raise DefectError(f"what {name} draws is not {field}")
                offsets.append(off.mean())
        if calls[name] != expected:
            raise DefectError(f"{name} is called with {sorted(calls[name])}, expected {sorted(expected)}")
    if np.diff(np.sort(offsets)).min(initial=1) < SAME_BOUND:
        raise DefectError("two arrays are drawn by one key")


def _unlearned(
    port: Port, construct: Callable[..., Any], stored: str, computed: str | None, bound: float
) -> Iterator[Case]:
    """A start that is not learned is no parameter; it is zeros, in the dtype of the parameters or that is asked for."""
    options: dict[str, Any] = {"param_dtype": stored, "dtype": computed, "carry_init": None}
    model = _filled(jax.eval_shape(lambda key: construct(key, D, H, **options), jax.random.key(0)))
    params: Any = port.dump(model)
    yield Case("the dumped start", lambda: params.initial_carry, np.zeros(H, stored), 0.0)
    exact, x, resets = jax.tree.map(lambda p: p.astype("float64"), params), X.astype(stored), GIVEN["resets"]

    def call(model: Any, x: Array) -> Any:
        sequence, step = port.apply(model, x, resets=resets), port.step(model, x[:, 0], reset=resets[:, 0])
        return [*sequence, *step, port.initial_carry(model, (B,))]

    result, first = (oracle.forward(exact, a.astype("float64"), resets=r) for a, r in ((x, resets), (x[:, :1], None)))
    expected = result.carry, result.outputs, first.carry, first.carry, np.zeros((B, H))
    expected = [array.astype(computed or stored) for array in expected]
    yield Case("a sequence, a step, the start", partial(evaluate, call, model, x), expected, bound)
    if stored == "float64":
        given = {name: GIVEN[name] for name in ("carry", "lengths", "resets")}
        gradient = evaluate(port.value_and_grad(lambda model: port.apply(model, x, **given)[1].sum()), model)[1][0]
        of_start = partial(lambda: port.dump(gradient).initial_carry)  # pyright: ignore[reportAttributeAccessIssue]
        yield Case("the gradient of the start", of_start, np.zeros(H), 0.0)


def _require_assigned(port: Port, listed: ModelClass) -> None:
    """A model that is called, given other parameters in place, and called again outside of jit computes with these."""
    config = GRUConfig(D, H, param_dtype="float64")
    model, other = (port.load(config, random_params(config, seed)) for seed in range(2))
    with configured({"jax_disable_most_optimizations": True}):
        port.apply(model, X)
        listed.assign(model, other)  # pyright: ignore[reportOptionalCall]
        found, expected = (port.apply(some, X) for some in (model, other))
    require_cases([Case("results", lambda: found, [np.asarray(array) for array in expected])])


# Ways of use --------------------------------------------------------------------------------------------------------


def _use(port: Port, listed: ModelClass, use: Use, kernel: str, drawn: dict[str, Array] | None) -> Iterator[Case]:
    """A way of use draws what it should, gives what the oracle does, and refuses bad arguments.

    Args:
        drawn: the arrays that the class draws by the same key, in float64; None where values alone are compared.
    """
    options: dict[str, Any] = {"param_dtype": "float64", "kernel": kernel}
    if use.is_drawn:  # zeros would hide much
        options |= dict.fromkeys(("carry_init", *listed.initializers), initializers.normal(0.5))
    make = evaluate if use.is_drawn or (use.draws_alike and drawn) else jax.eval_shape
    made = make(lambda key: (use.make or listed.construct)(key, D, H, X, **options), jax.random.key(0))
    if use.draws_alike and drawn:
        yield Case("drawn", partial(leaves, port.dump(use.model(made))), drawn)
    model = made if use.is_drawn else _filled(made)
    params, takes = port.dump(use.model(model)), set(use.takes)
    for names in (takes - {"carry"}, takes & {"carry"}) if drawn else (takes,):
        x, given = _arranged(use, {name: GIVEN[name] for name in use.takes if name in names})
        flags: Any = {name: value for name, value in given.items() if value is True}
        arrays = {name: value for name, value in given.items() if value is not True}
        call = partial(lambda flags, model, x, arrays: use.call(model, x, **arrays, **flags), flags)
        start = {} if use.starts_from is None else {"carry": np.full((B, H), use.starts_from)}
        result = oracle.forward(params, x, **start | given)  # pyright: ignore[reportArgumentType]
        run = partial(evaluate, call, model, x, arrays)
        yield Case(f"with {', '.join(given) or 'x alone'}", run, (result.carry, result.outputs))
    if use.is_drawn:  # in the dtype of its parameters
        half: Any = jax.eval_shape(lambda key: _drawn_in_half(use, listed, key, kernel), jax.random.key(0))
        if {str(array.dtype) for array in half} != {"bfloat16"}:
            raise DefectError("with parameters and inputs in bfloat16, it gives other dtypes")
    if not (use.refuses and drawn):
        return
    for bad in BAD_ARGUMENTS:
        if bad.keys() <= {"x", *use.takes}:
            x, given = _arranged(use, bad)
            yield Case(
                f"a bad {', '.join(bad)}", partial(jax.eval_shape, partial(use.call, x=x, **given), model), REFUSED
            )
    if not use.batched:
        yield Case("a batch", partial(jax.eval_shape, partial(use.call, x=X), model), REFUSED)


def _drawn_in_half(use: Use, listed: ModelClass, key: Array, kernel: str) -> Any:
    """The results of a way of use that draws parameters, all in bfloat16."""
    x, _ = _arranged(use, {"x": X.astype("bfloat16")})
    return use.call((use.make or listed.construct)(key, D, H, x, param_dtype="bfloat16", kernel=kernel), x)


def _arranged(use: Use, given: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
    """The inputs and the arguments as a way of use takes them: of one example, or with time first."""
    given = {"x": X} | given
    if not use.batched:  # the last example, which is neither empty nor full
        given = {name: value[-1] if isinstance(value, np.ndarray) else value for name, value in given.items()}
    if given.get("time_major") is True:
        given |= {name: np.moveaxis(given[name], 1, 0) for name in ("x", "resets") if name in given}
    return given.pop("x"), given


def _filled(shapes: Any) -> Any:
    """Random numbers in every array of a model, of which shapes and dtypes are known."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda array: rng.normal(size=array.shape).astype(array.dtype), shapes)
