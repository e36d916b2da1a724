"""What every port promises, and how ports are found."""

import dataclasses
import inspect
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.nn import initializers
from support.cli import run_code
from support.golden import check_golden
from trigru import impls
from trigru.common.config import GRUConfig
from trigru.common.errors import InputError
from trigru.common.gru.initializers import for_carry
from trigru.common.parameters.record import random_params
from trigru.impls import (
    equinox,
    get_port,
    linen,
    port_names,
    pure,
    unavailable,
)
from trigru.impls import nnx as nnx_port
from trigru.impls.pure import PORT, PurePort

CONFIG = GRUConfig(4, 8)
_FAILED = r"carry_init cannot draw shape \(8,\), float32: "
LACKING = SimpleNamespace(
    **{name: getattr(PORT, name) for name in dir(PORT) if name[0] != "_"}
    | {"name": "mine"}
)


def test_the_parameter_tree_is_pinned(port):
    """Names and shapes are API."""
    leaves = jax.tree_util.tree_leaves_with_path(port.make(CONFIG, jax.random.key(0)))
    names = {
        jax.tree_util.keystr(path).removesuffix(".value"): leaf.shape
        for path, leaf in leaves
    }
    check_golden(
        f"tree-{port.name}",
        "\n".join(sorted(f"{name} {shape}" for name, shape in names.items())),
    )


def test_without_64_bits_an_initializer_of_float64_draws_float32():
    with pytest.warns(UserWarning, match="will be truncated to dtype float32"):
        carry = for_carry(initializers.zeros)(jax.random.key(0), (8,), np.float64)
    assert carry.dtype == "float32"


@pytest.mark.parametrize("kernel", ["stock", "fused"])
@pytest.mark.parametrize("start", [initializers.zeros, None], ids=["learned", "zeros"])
def test_a_model_computes_in_the_dtype_that_its_parameters_have_now(
    port, kernel, start
):
    """After a cast of all of them, of the start alone, and of all but the start."""

    def dtypes_of(is_narrowed):
        def results(key):
            model = port.model_class.construct(
                key, 4, 8, carry_init=start, kernel=kernel
            )
            model = jax.tree_util.tree_map_with_path(
                lambda path, p: (
                    p.astype("bfloat16")
                    if is_narrowed("initial_carry" in str(path))
                    else p
                ),
                model,
            )
            x = jnp.ones((3, 5, 4), "bfloat16")
            return (
                *port.apply(model, x),
                *port.step(model, x[:, 0]),
                port.initial_carry(model, (3,)),
            )

        return {
            str(array.dtype) for array in jax.eval_shape(results, jax.random.key(0))
        }

    assert dtypes_of(lambda is_start: True) == {"bfloat16"}
    assert dtypes_of(lambda is_start: is_start) == {"float32"}
    assert dtypes_of(lambda is_start: not is_start) == {
        "bfloat16" if start is None else "float32"
    }


def test_a_frameworks_box_with_the_drawn_start_stays():
    """As for its sharding."""
    boxed = {"carry_init": nn.with_partitioning(initializers.zeros, ("model",))}
    variables = linen.GRU(8, **boxed).init(jax.random.key(0), jnp.ones((2, 5, 4)))
    assert variables["params"]["initial_carry"].names == ("model",)
    tagged = nnx_port.GRU(
        4,
        8,
        carry_init=nnx.with_metadata(initializers.zeros, names=("model",)),
        rngs=nnx.Rngs(0),
    )
    assert tagged.initial_carry.names == ("model",)
    own = nnx_port.GRU(
        4, 8, carry_init=lambda *_: nnx.Param(jnp.ones(8)), rngs=nnx.Rngs(0)
    )
    assert isinstance(nnx.to_pure_dict(nnx.state(own))["initial_carry"], jax.Array), (
        "and not a Param of a Param"
    )


@pytest.mark.parametrize(
    ("message", "changes"),
    {
        "x: got a list, expected an array. Convert it with jnp.asarray": {
            "x": [[[1.0] * 4]]
        },
        "x: got a ShapeDtypeStruct, .* pass it through jax.eval_shape": {
            "x": jax.ShapeDtypeStruct((3, 5, 4), "float32")
        },
        r"expected \(time, \*batch, features\)": {
            "x": np.ones(4, "f4"),
            "time_major": True,
        },
        "not promote float32 and float8_e5m2 .* give the model a": {
            "x": np.ones((3, 5, 4), "f4").astype("float8_e5m2")
        },
        r"carry has shape \(2, 8\), expected \(3, 8\): batch 3 from x": {
            "carry": np.ones((2, 8), "f4")
        },
        r"carry has shape \(8,\), expected \(3, 8\).*Pass one state per example": {
            "carry": np.ones(8, "f4")
        },
        r"lengths have shape \(3,\), expected \(5,\)": {
            "time_major": True,
            "lengths": np.ones(3, "i4"),
        },
        "resets have dtype int32, expected bool": {"resets": np.ones((3, 5), "i4")},
        "reverse is a int, expected True or False: it decides which program is built": {
            "reverse": 1
        },
    }.items(),
)
@pytest.mark.usefixtures("unchecked")
def test_bad_calls_are_refused_in_the_callers_terms(port, message, changes):
    """`verify --check refusals` makes many more, and asks only whether they are refused."""
    arrays = {"x": np.ones((3, 5, 4), "f4")} | changes
    with pytest.raises(InputError, match=message):
        port.apply(
            port.load(CONFIG, random_params(CONFIG)),
            arrays.pop("x"),
            arrays.pop("carry", None),
            **arrays,
        )


@pytest.mark.usefixtures("unchecked")
def test_a_call_that_lacks_the_axis_of_vmap_says_so():
    x, one = jnp.ones((5, 4)), equinox.GRU(4, 8, key=jax.random.key(0))
    whole = nnx_port.GRU(4, 8, rngs=nnx.Rngs(0))
    for model, more in (
        (one, r"\n"),
        (whole, " This model takes a batch without jax.vmap."),
    ):
        for call in (jax.vmap(model), jax.jit(jax.vmap(model))):
            with pytest.raises(
                InputError,
                match=rf"shape \(4,\), expected .* jax.vmap has taken an axis\b.*{more}",
            ):
                call(x)
    with pytest.raises(
        InputError, match=r"expected \(time, features\)\. This model takes one example"
    ):
        one(x[0])


@pytest.mark.parametrize(
    ("message", "initializer"),
    {
        r"carry_init gave shape \(3,\), expected \(8,\)": lambda *_: jnp.zeros(3),
        "carry_init is a str, expected a JAX initializer .*, such as jax.nn.initializers.zeros": "zeros",
        r"carry_init gave a NoneType, expected an array of shape \(8,\)": lambda *_: (
            None
        ),
        "carry_init gave a list, expected an array": lambda *_: [0.0] * 8,
        "carry_init gave a ndarray of dtype <U1, expected an array of float32": lambda *_: (
            np.array(["a"] * 8)
        ),
        "carry_init gave a MaskedArray of dtype float32, exp": lambda *_: (
            np.ma.masked_less(np.ones(8, "f4"), 0)
        ),
        _FAILED
        + "ValueError: .*scale with fan-in .*need two axes": initializers.lecun_normal(),
        _FAILED
        + r"TypeError: .*2 positional .*\(key, shape, dtype\)": lambda key, shape: (
            jnp.zeros(shape)
        ),
        _FAILED + "ZeroDivisionError: division by zero": lambda *_: 1 / 0,
        "gave dtype int32, .* let it draw in that dtype": lambda _, shape, dtype: (
            jnp.zeros(shape, int)
        ),
    }.items(),
)
@pytest.mark.usefixtures("unchecked")
def test_bad_initializers_are_refused_in_the_callers_terms(message, initializer):
    with pytest.raises(InputError, match=message) as refused:
        for_carry(initializer)(jax.random.key(0), (8,))
    assert (type(refused.value.__cause__) is ZeroDivisionError) == (
        "ZeroDivisionError" in message
    )


@pytest.mark.usefixtures("unchecked")
def test_a_configuration_keeps_plain_numbers_and_names_and_refuses_others():
    plain = GRUConfig(4, 8, unroll=2, dtype="float16", param_dtype="float64")
    for name in ("f8", float, np.float64, jnp.float64):
        other = GRUConfig(
            np.int64(4),
            np.int32(8),
            unroll=np.int64(2),
            dtype=np.float16,
            param_dtype=name,
        )
        assert repr(other) == repr(plain)
        assert equinox.GRU(4, 8, dtype=name, key=jax.random.key(0)).dtype is jnp.dtype(
            "float64"
        )
    for options, message in (
        ({"unroll": 0}, "unroll is 0, expected a whole number of at least 1"),
        ({"remat": "all"}, "remat is 'all', expected True or False"),
        (
            {"dtype": "floaty"},
            "expected a floating-point dtype: float16, bfloat16, float32 or float64",
        ),
        ({"dtype": jnp.ones(3)}, "expected a floating-point dtype"),
        (
            {"param_dtype": "complex64"},
            "expected a floating-point dtype: float16, bfloat16, float32 or float64",
        ),
    ):
        with pytest.raises(InputError, match=message):
            GRUConfig(4, 8, **options)
    with pytest.raises(InputError, match=r"kernel is array.*, expected stock"):
        equinox.GRU(4, 8, kernel=np.array(["stock", "fused"]), key=jax.random.key(0))


@pytest.mark.parametrize(
    ("model", "places"),
    {
        linen.GRU: (
            "features",
            "carry_init",
            "dtype",
            "param_dtype",
            "unroll",
            "remat",
            "kernel",
        ),
        nnx_port.GRU: ("in_features", "hidden_features", "carry_init"),
        equinox.GRU: ("input_size", "hidden_size", "carry_init"),
    }.items(),
)
def test_what_is_passed_by_its_place_keeps_it(model, places):
    parameters = inspect.signature(model.__init__).parameters.values()
    by_place = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    assert by_place[1 : 1 + len(places)] == places


def test_plain_jaxs_function_has_the_defaults_of_its_model():
    parameters = inspect.signature(pure.gru).parameters
    _, *options = dataclasses.fields(pure.Model)
    assert [option.name for option in options] == ["dtype", "unroll", "remat", "kernel"]
    for option in options:
        assert parameters[option.name].default == option.default


# The registry ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def third_party(monkeypatch):
    """Lets packages elsewhere add ports: by name, the function that loads each."""

    def add(**load):
        entries = {name: SimpleNamespace(load=of_one) for name, of_one in load.items()}
        monkeypatch.setattr(impls, "_third_party", lambda: entries)

    monkeypatch.setattr(impls, "get_port", get_port.__wrapped__)
    return add


def test_a_third_partys_port_comes_last(third_party):
    class Third(PurePort):
        name = "a_new_one"

    third_party(a_new_one=lambda: Third(), pure=lambda: Third())
    assert port_names() == ["pure", "linen", "nnx", "equinox", "a_new_one"]
    assert impls.get_port("pure") is PORT, "a third party took the baseline's place"
    assert impls.get_port("a_new_one").name == "a_new_one"


del LACKING.step


@pytest.mark.parametrize(
    ("reason", "load"),
    {
        "it calls itself 'pure'; both must agree.": lambda: PORT,
        "its entry point gives a class, expected an object.": lambda: PurePort,
        "port mine lacks step, which trigru.common.Port needs.": lambda: LACKING,
        "AttributeError: 'PurePort' object has no attribute 'missing'": lambda: (
            PORT.missing
        ),
    }.items(),
)
def test_a_third_partys_port_that_cannot_be_used_is_unavailable(
    third_party, reason, load
):
    third_party(mine=load)
    assert unavailable("mine") == f"port 'mine' is not available: {reason}"


def test_a_missing_framework_takes_its_own_port_and_no_other():
    code = "import sys; sys.modules['equinox'] = None; from trigru.impls import port_names, unavailable; "
    reasons = eval(
        run_code(code + "print({name: unavailable(name) for name in port_names()})")
    )
    missing = "port 'equinox' is not available: equinox is not installed. To install it"
    assert reasons.pop("equinox").startswith(missing)
    assert reasons == {"pure": None, "linen": None, "nnx": None}
