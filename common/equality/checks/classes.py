"""The check of a port's own class, made and called as programs of its framework do.

The other checks make and call models through the port alone, which passes every option, and no more than its protocol
has. What stands in `trigru.common.port.classes` lists the rest: here it is compared with the oracle.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers

from ...compat import enable_x64
from ...config import GRUConfig
from ...errors import DefectError, NotOfferedError
from ...gru.kernels import STOCK
from ...parameters.record import GRUParams, leaves, random_params
from ...port.classes import ModelClass, Use, class_of
from ...port.compilation import configured
from ...port.protocol import Port, WithKernel
from ...program import evaluate
from .. import oracle
from ..bounds import SAME_BOUND
from ..cases import CARRY, LENGTHS, RESETS, B, D, H, X
from .check import Part, require_all, require_refused, require_same

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
#: Arguments that a class refuses itself; (B, H + 1) is a carry of other units.
BAD_ARGUMENTS: tuple[tuple[str, Callable[[Array], Any]], ...] = (
    ("x", lambda x: np.concatenate([x, x[..., :1]], axis=-1)),
    ("x", lambda x: x.astype(np.int32)),
    ("carry", lambda carry: np.concatenate([carry, carry[..., :1]], axis=-1)),
    ("carry", lambda carry: carry.astype(np.int32)),
    ("lengths", lambda lengths: lengths.astype(np.float64)),
    ("resets", lambda resets: resets.astype(np.int32)),
    ("reverse", lambda flag: 1),
    ("time_major", lambda flag: 1),
)


def _require_class(port: Port) -> None:
    """Options of the constructor, a start that is not learned, and the ways of use that the port lists."""
    if (listed := class_of(port)) is None:
        raise NotOfferedError("the port lists no class of its own as `model_class`")
    require_all(_questions(port, listed))


def _questions(port: Port, listed: ModelClass) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each comparison, with a name. It raises if the class differs."""
    kernel = {"kernel": port.kernel} if isinstance(port, WithKernel) else {}
    construct = partial(listed.construct, **kernel)
    if not kernel:
        yield "without options", partial(_ask_alike, port, listed)
        yield "float64 without jax_enable_x64", partial(_ask_narrowed, listed)
        for name, value in BAD_OPTIONS:
            yield f"{name}={value!r}", partial(_ask_refused, port, listed, name, value)
    yield "initializers", partial(_ask_initializers, port, listed, construct)
    for case in UNLEARNED:
        yield f"carry_init=None in {case[0]}", partial(_ask_unlearned, port, construct, *case)
    alike = cache(lambda: leaves(port.dump(evaluate(lambda key: construct(key, D, H, param_dtype="float64"), _key()))))
    for use in listed.uses:
        yield use.name, partial(_ask_use, port, listed, use, kernel, alike)
    for other in port.kernels if listed.assign and not kernel else ():
        yield f"changed in place, kernel={other!r}", partial(_ask_assigned, WithKernel(port, other), listed)
    for other in () if kernel else set(port.kernels) - {STOCK}:
        fast = {"kernel": other}
        unlearned = partial(_ask_unlearned, port, partial(listed.construct, **fast), *UNLEARNED[0])
        yield f"carry_init=None, kernel={other!r}", unlearned
        for use in listed.uses:
            yield f"{use.name}, kernel={other!r}", partial(_ask_use, port, listed, use, fast)


# The constructor --------------------------------------------------------------------------------------------------


def _ask_alike(port: Port, listed: ModelClass) -> None:
    """A model without options is one with the defaults, whose sizes are NumPy's integers."""
    programs, structures = [], []
    for sizes, options in (((D, H), {}), ((np.int32(D), np.int64(H)), DEFAULTS)):
        make: Any = partial(listed.construct, input_size=sizes[0], hidden_size=sizes[1], **options)
        model = jax.eval_shape(make, _key())
        structures.append(jax.tree.structure(model))
        programs.append(_program(make, port.apply))
        shape = jax.eval_shape(lambda model: port.initial_carry(model, (np.int64(B),)), model).shape  # pyright: ignore[reportArgumentType]
        if shape != (B, H):
            raise DefectError(f"the initial carry of a batch of {B} has shape {shape}")
    for what, (one, other) in {"structure": structures, "program": programs}.items():
        if one != other:
            raise DefectError(f"a model has another {what} than with the defaults and sizes of NumPy's")


def _program(make: Callable[..., Any], call: Callable[..., Any]) -> str:
    """The program of a model that is made and called, as text without addresses."""
    made_and_called = jax.make_jaxpr(lambda key, x: call(make(key), x))
    return re.sub(r" at 0x[0-9a-f]+", "", str(made_and_called(_key(), X.astype("float32"))))


def _ask_refused(port: Port, listed: ModelClass, name: str, value: Any) -> None:
    """A bad option of a class is refused before anything is computed: made and called, and called for one step."""
    options = {"input_size": D, "hidden_size": H, name: value}
    calls: list[Callable[[Any], Any]] = [lambda model: model if name == "input_size" else port.apply(model, X)]
    if name == "dtype":
        calls += [lambda model: port.step(model, X[:, 0]), lambda model: port.initial_carry(model, (B,))]
    for call in calls:
        require_refused(partial(jax.eval_shape, lambda key, call=call: call(listed.construct(key, **options)), _key()))


def _ask_initializers(port: Port, listed: ModelClass, construct: Callable[..., Any]) -> None:
    """Each initializer is called for its arrays, with a key for each, and the arrays have what it drew."""
    fields = {"carry_init": ("initial_carry",), **listed.initializers}
    calls: dict[str, set[tuple[Any, str]]] = {name: set() for name in fields}

    def initializer(name: str, number: int) -> Callable[..., Any]:
        def draw(key: Array, shape: Any, dtype: Any = None) -> Array:
            calls[name].add((tuple(shape), str(jnp.dtype(dtype or float))))
            return _coded(shape, number) + jax.random.uniform(key, (), jnp.float64).astype(dtype)  # one for the key

        return draw

    named = {name: initializer(name, number) for number, name in enumerate(fields)}
    model = evaluate(lambda key: construct(key, D, H, param_dtype="float64", **named), _key())
    params, parts, offsets = port.dump(model), 3 if listed.gates_apart else 1, []
    for number, (name, arrays) in enumerate(fields.items()):
        expected = set()
        for field in arrays:
            array = np.asarray(getattr(params, field))
            for block in np.split(array, parts if field in ("weight_ih", "weight_hh", "bias") else 1):
                expected.add((block.T.shape, "float64"))
                off = block - _coded(block.T.shape, number).T
                if not np.ptp(off) <= SAME_BOUND or not 0 <= off.mean() <= 1:
                    raise DefectError(f"what {name} draws is not {field}")
                offsets.append(off.mean())
        if calls[name] != expected:
            raise DefectError(f"{name} is called with {sorted(calls[name])}, expected {sorted(expected)}")
    if np.diff(np.sort(offsets)).min(initial=1) < SAME_BOUND:
        raise DefectError("two arrays are drawn by one key")


def _coded(shape: Any, number: int) -> np.ndarray:
    """Numbers of which each tells its place, and the initializer that drew it."""
    return 10.0 * (number + 1) + np.arange(np.prod(shape)).reshape(shape) / 100


def _ask_unlearned(port: Port, construct: Callable[..., Any], stored: str, computed: str | None, bound: float) -> None:
    """A start that is not learned is no parameter; it is zeros, in the dtype of the parameters or that is asked for."""
    options: dict[str, Any] = {"input_size": D, "hidden_size": H, "param_dtype": stored, "dtype": computed}
    shapes, learned = (
        jax.eval_shape(partial(construct, **options, **more), _key()) for more in ({"carry_init": None}, {})
    )
    model = _filled(shapes)
    if len(jax.tree.leaves(model)) != len(jax.tree.leaves(learned)) - 1:
        raise DefectError("the start is a parameter")
    params: Any = port.dump(model)
    require_same(params.initial_carry, np.zeros(H, stored), "the dumped start", 0)
    exact, x = jax.tree.map(lambda p: p.astype("float64"), params), X.astype(stored)
    resets = GIVEN["resets"]

    def call(model: Any, x: Array) -> Any:
        return {
            "a sequence": port.apply(model, x, resets=resets),
            "a step": port.step(model, x[:, 0], reset=resets[:, 0]),
            "the start": port.initial_carry(model, (B,)),
        }

    found = evaluate(call, model, x)
    tape, first = (oracle.forward(exact, a.astype("float64"), resets=r) for a, r in ((x, resets), (x[:, :1], None)))
    wanted = {"a sequence": (tape.carry, tape.outputs), "a step": (first.carry,) * 2, "the start": np.zeros((B, H))}
    for what, arrays in wanted.items():
        for got, want in zip(jax.tree.leaves(found[what]), jax.tree.leaves(arrays), strict=True):
            require_same(got, want.astype(computed or stored), what, bound)
    if stored != "float64":
        return
    constants = {"carry": GIVEN["carry"].astype(computed or stored), "lengths": GIVEN["lengths"], "resets": resets}
    (_, (gradient,)) = evaluate(port.value_and_grad(lambda model: port.apply(model, x, **constants)[1].sum()), model)
    of_start: Any = port.dump(gradient)
    require_same(of_start.initial_carry, np.zeros(H, stored), "the gradient of the start", 0)


def _ask_assigned(port: Port, listed: ModelClass) -> None:
    """A model that is called, given other parameters in place, and called again outside of jit computes with these."""
    config = GRUConfig(D, H, param_dtype="float64")
    model, other = (port.load(config, random_params(config, seed)) for seed in range(2))
    with configured({"jax_disable_most_optimizations": True}):
        port.apply(model, X)
        listed.assign(model, other)  # pyright: ignore[reportOptionalCall]
        found, expected = (port.apply(some, X) for some in (model, other))
    for got, want in zip(found, expected, strict=True):
        require_same(got, np.asarray(want), "results", SAME_BOUND)


def _ask_narrowed(listed: ModelClass) -> None:
    """Without jax_enable_x64, JAX makes float32 of float64, also in a class."""
    with enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX says that it does so
        model = jax.eval_shape(lambda key: listed.construct(key, D, H, param_dtype="float64"), _key())
    if wide := [str(array.dtype) for array in jax.tree.leaves(model) if str(array.dtype) != "float32"]:
        raise DefectError(f"a parameter is {wide[0]}, expected float32")


# Ways of use ------------------------------------------------------------------------------------------------------


def _ask_use(
    port: Port,
    listed: ModelClass,
    use: Use,
    kernel: dict[str, str],
    alike: Callable[[], dict[str, Array]] | None = None,
) -> None:
    """A way of use draws what it should, gives what the oracle does, and refuses bad arguments.

    Args:
        alike: what the class draws by the same key, in float64; None where values alone are compared.
    """
    options: dict[str, Any] = {"param_dtype": "float64", **kernel, **use.options}
    if use.is_drawn:  # zeros would hide much
        options |= dict.fromkeys(("carry_init", *listed.initializers), initializers.normal(0.5))
    if use.is_plain and alike:
        bare = partial(listed.construct, input_size=D, hidden_size=H)
        if _program(bare, use.call) != _program(bare, port.apply):
            raise DefectError("it has another program than a model without options")
    draws = use.is_drawn or (use.draws_alike and alike)
    drawn = (evaluate if draws else jax.eval_shape)(lambda key: use.make(key, D, H, X, **options), _key())
    if use.draws_alike and alike:
        for name, array in leaves(port.dump(use.model(drawn))).items():
            require_same(array, np.asarray(alike()[name]), f"the drawn {name}", SAME_BOUND)
    made = drawn if use.is_drawn else _filled(drawn)
    params: Any = port.dump(use.model(made))
    shapes = [np.shape(array) for array in leaves(params).values()]
    if shapes != [(3 * H, D), (3 * H, H), (3 * H,), (H,), (H,)]:
        raise DefectError(f"its parameters have shapes {shapes}")
    for names in (use.takes,) if not alike else (set(use.takes) - {"carry"}, {"carry"} & set(use.takes)):
        _compare(use, made, params, {name: GIVEN[name] for name in use.takes if name in names})
    if use.refuses and alike:
        for name, change in BAD_ARGUMENTS:
            if name in ("x", *use.takes):
                x, given = _arranged(use, {} if name == "x" else {name: GIVEN[name]})
                bad = {"x": x, **given} | {name: change(x if name == "x" else given[name])}
                refused = partial(use.call, **bad)
                require_refused(partial(jax.eval_shape, refused, made), f"a bad {name}: ")
        if not use.batched:
            require_refused(lambda: jax.eval_shape(lambda made: use.call(made, X), made), "a batch: ")


def _compare(use: Use, made: Any, params: GRUParams, given: dict[str, Any]) -> None:
    """A call is what the oracle computes."""
    x, given = _arranged(use, given)
    flags: Any = {name: value for name, value in given.items() if value is True}
    arrays = {name: value for name, value in given.items() if value is not True}
    found = evaluate(lambda made, x, arrays: use.call(made, x, **arrays, **flags), made, x, arrays)
    if use.starts_from is not None and "carry" not in given:
        arrays["carry"] = np.full((B, H), use.starts_from)
    tape = oracle.forward(params, x, **arrays, **flags)
    for name, got, want in zip(("carry", "outputs"), found, (tape.carry, tape.outputs), strict=True):
        require_same(got, want, f"{name} with {', '.join(given) or 'x alone'}", SAME_BOUND)


def _arranged(use: Use, given: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
    """The inputs and the arguments as a way of use takes them: of one example, or with time first."""
    x, given = X, dict(given)
    if not use.batched:  # the last example, which is neither empty nor full
        x, given = x[-1], {name: value if value is True else value[-1] for name, value in given.items()}
    if "time_major" in given:
        x, given = np.moveaxis(x, 1, 0), given | ({"resets": given["resets"].T} if "resets" in given else {})
    return x, given


@cache
def _key() -> Array:
    return jax.random.key(0)


def _filled(shapes: Any) -> Any:
    """Random numbers in every array of a model, of which shapes and dtypes are known."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda array: rng.normal(size=array.shape).astype(array.dtype), shapes)


PARTS = (Part(_require_class),)
