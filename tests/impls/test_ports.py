"""What every port promises. No test here asks a port's name; what differs is in PER_PORT."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import initializers
from trigru.common.config import GRUConfig
from trigru.common.equality.cases import Case
from trigru.common.errors import InputError
from trigru.common.gru.initializers import for_carry
from trigru.common.parameters.record import random_params

from ..support.arrays import assert_bits
from ..support.jaxprs import equations

CONFIG = GRUConfig(4, 8)


def tree_shapes(model):
    """Paths and shapes of a model's leaves."""
    flat, _ = jax.tree_util.tree_flatten_with_path(model)
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in flat}


GATES = {
    **{f".params['cell']['{g}']['kernel']": (4, 8) for g in ("ir", "iz", "in")},
    **{f".params['cell']['{g}']['bias']": (8,) for g in ("ir", "iz", "in")},
    **{f".params['cell']['{g}']['kernel']": (8, 8) for g in ("hr", "hz", "hn")},
    ".params['cell']['hn']['bias']": (8,),
    ".params['initial_carry']": (8,),
}
#: Names and shapes are API: the whole tree of each port.
TREES = {
    "pure": {
        ".params.kernel_i": (4, 24),
        ".params.kernel_h": (8, 24),
        ".params.bias": (24,),
        ".params.bias_n": (8,),
        ".params.initial_carry": (8,),
    },
    "linen": GATES,
    "nnx": {
        ".cell.dense_i.kernel.value": (4, 24),
        ".cell.dense_i.bias.value": (24,),
        ".cell.dense_h.kernel.value": (8, 24),
        ".cell.hn_bias.value": (8,),
        ".initial_carry.value": (8,),
    },
    "equinox": {
        ".cell.weight_ih": (24, 4),
        ".cell.weight_hh": (24, 8),
        ".cell.bias": (24,),
        ".cell.bias_n": (8,),
        ".initial_carry": (8,),
    },
}


def test_the_parameter_tree_is_pinned(port):
    def plain(path):
        return path.replace("['", ".").replace("']", "").replace(".params.params", ".params")

    found = {plain(p).removesuffix(".value"): s for p, s in tree_shapes(port.make(CONFIG, jax.random.key(0))).items()}
    assert found == {plain(p).removesuffix(".value"): s for p, s in TREES[port.name].items()}


@pytest.mark.usefixtures("unchecked")
def test_a_configuration_keeps_plain_numbers_and_names(port):
    """Those of NumPy and JAX make the same model, and `check_config` knows float64 by any name."""
    plain = GRUConfig(4, 8, classes=3, unroll=2, dtype="float16", param_dtype="bfloat16")
    other = GRUConfig(np.int64(4), np.int32(8), classes=np.int8(3), unroll=np.int64(2), dtype=np.float16,
                      param_dtype=jnp.bfloat16)  # fmt: skip
    assert repr(other) == repr(plain)
    assert port.dump(port.make(other, jax.random.key(0))).gru.bias_n.dtype == "bfloat16"
    for name in ("f8", float, np.float64, jnp.float64):
        with pytest.raises(InputError, match="jax_enable_x64"):
            port.make(GRUConfig(4, 8, param_dtype=name), jax.random.key(0))


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: jax.jit(f),
        lambda f: jax.grad(lambda x: f(x)[1].sum()),
        lambda f: lambda x: jax.jvp(f, (x,), (x,)),
        lambda f: jax.hessian(lambda x: f(x)[0].sum()),
        lambda f: jax.checkpoint(f),
        lambda f: lambda x: jax.lax.scan(lambda h, x: f(x, h), jnp.zeros((3, 8)), jnp.stack([x, x])),
        lambda f: jax.vmap(lambda x: f(x[None]), in_axes=0),
    ],
    ids=["jit", "grad", "jvp", "hessian", "checkpoint", "scan", "vmap"],
)
def test_a_model_may_be_closed_over_inside_any_transform(port, transform):
    model = port.load(CONFIG, random_params(CONFIG))
    found = transform(lambda x, carry=None: port.apply(model, x, carry))(jnp.ones((3, 2, 4)))
    finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    assert finite


_FAILED = r"carry_init cannot draw shape \(8,\), float32: "
BAD_DRAWS = {
    "shape": (lambda *_: jnp.zeros(3), r"carry_init gave shape \(3,\), expected \(8,\)"),
    "array": (jnp.zeros(8), "carry_init is a ArrayImpl, expected a JAX initializer"),
    "name": ("zeros", "carry_init is a str, expected a JAX initializer"),
    "fan-in": (initializers.lecun_normal(), _FAILED + "ValueError: .*scale with fan-in .*need two axes"),
    "two arguments": (
        lambda key, shape: jnp.zeros(shape),
        _FAILED + r"TypeError: .*2 positional .*\(key, shape, dtype\)",
    ),
    "an error of its own": (lambda *_: 1 / 0, _FAILED + "ZeroDivisionError: division by zero"),
    "nothing": (lambda *_: None, r"carry_init gave a NoneType, expected an array of shape \(8,\)"),
    "integers": (lambda _, shape, dtype: jnp.zeros(shape, int), "carry_init gave dtype int32, expected float32"),
    "complex": (lambda _, shape, dtype: jnp.zeros(shape, complex), "carry_init gave dtype complex64, expected float32"),
    "half": (lambda _, shape, dtype: jnp.zeros(shape, "f2"), "gave dtype float16, .* let it draw in that dtype"),
}


@pytest.mark.parametrize(("carry_init", "message"), BAD_DRAWS.values(), ids=BAD_DRAWS)
@pytest.mark.usefixtures("unchecked")
def test_bad_initializers_are_refused(port, carry_init, message):
    with pytest.raises(InputError, match=message):
        port.make(GRUConfig(4, 8, carry_init=carry_init), jax.random.key(0))


def test_without_64_bits_an_initializer_of_float64_draws_float32():
    with pytest.warns(UserWarning, match="will be truncated to dtype float32"):
        carry = for_carry(initializers.zeros)(jax.random.key(0), (8,), np.float64)
    assert carry.dtype == "float32"


def test_what_an_initializer_raised_is_kept(port):
    with pytest.raises(InputError) as refused:
        port.make(GRUConfig(4, 8, carry_init=lambda *_: {}["gone"]), jax.random.key(0))
    assert isinstance(refused.value.__cause__, KeyError)


@pytest.mark.usefixtures("unchecked")
def test_bad_configurations_are_refused():
    with pytest.raises(InputError, match="unroll is 0, expected a whole number of at least 1"):
        GRUConfig(4, 8, unroll=0)
    with pytest.raises(InputError, match="remat is 'all', expected True or False"):
        GRUConfig(4, 8, remat="all")
    for wrong in ({"param_dtype": "int32"}, {"dtype": "floaty"}, {"param_dtype": "complex64"}):
        with pytest.raises(InputError, match="expected a floating-point dtype: float16, bfloat16, float32 or float64"):
            GRUConfig(4, 8, **wrong)


@pytest.mark.parametrize("kernel", ["stock", "fused"])
def test_what_counts_is_what_the_parameters_are_and_not_as_what_they_were_made(port, kernel):
    """As after a cast of the whole tree."""
    case = Case.random(3, 7, 5, 6).astype("float32")
    made = port.load(GRUConfig(5, 6, kernel=kernel), case.params.gru)
    model, x = jax.tree.map(lambda p: p.astype("bfloat16"), made), jnp.asarray(case.x, "bfloat16")
    for found in (port.apply(model, x), port.step(model, x[:, 0])):
        assert {str(array.dtype) for array in found} == {"bfloat16"}


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_what_stands_in_the_padding_changes_no_bit(port, case, reverse):
    model = port.load(case.gru_config, case.params.gru)
    padding = np.arange(7) >= case.lengths[:, None]

    def run(x, resets):
        return port.apply(model, x, lengths=jnp.asarray(case.lengths), resets=resets, reverse=reverse)

    clean = jax.jit(run)(case.x, np.zeros_like(padding))
    filled = jax.jit(run)(np.where(padding[..., None], np.inf, case.x), padding)
    for got, want in zip(filled, clean, strict=True):
        assert_bits(got, want)


def test_one_step_without_a_reset_is_the_program_of_before(port, case):
    model = port.load(case.gru_config, case.params.gru)

    def primitives(**options):
        program = jax.make_jaxpr(lambda x, h: port.step(model, x, h, **options))(case.x[:, 0], case.carry)
        return [equation.primitive.name for equation, _ in equations(program.jaxpr)]

    assert "select_n" not in primitives()
    assert "select_n" in primitives(reset=jnp.ones(3, bool))
