"""What every port promises. No test here asks a port's name; what differs is in PER_PORT."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import initializers
from trigru.common.config import GRUConfig
from trigru.common.equality import oracle
from trigru.common.equality.bounds import accuracy_bound, relative_error
from trigru.common.errors import InputError
from trigru.common.gru.initializers import for_carry
from trigru.common.parameters.record import leaves, random_params

from ..support.arrays import assert_bits, assert_near
from ..support.jaxprs import loops_of

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


def test_parameters_in_float16_come_back_bit_for_bit(port):
    """The check `conversion` asks the other dtypes."""
    config = GRUConfig(4, 8, classes=3, param_dtype="float16")
    params = random_params(config)
    dumped = leaves(port.dump(port.load(config, params)))
    for name, array in leaves(params).items():
        assert_bits(dumped[name], array, name)


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


def test_float64_parameters_are_not_silently_rounded(port):
    config = GRUConfig(4, 8, param_dtype="float64")
    for build in (lambda: port.load(config, random_params(config)), lambda: port.make(config, jax.random.key(0))):
        with pytest.raises(InputError, match="jax_enable_x64"):
            build()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_models_are_made_in_every_storage_dtype(port, dtype):
    made = leaves(port.dump(port.make(GRUConfig(4, 8, classes=3, param_dtype=dtype), jax.random.key(0))))
    assert {str(a.dtype) for a in made.values()} == {dtype}
    assert made["readout.weight"].shape == (3, 8)
    assert made["readout.weight"].any()
    assert not made["readout.bias"].any()


def test_the_initial_carry_is_drawn_by_carry_init(port):
    zeros = port.dump(port.make(CONFIG, jax.random.key(0)))
    assert not zeros.initial_carry.any()
    drawn = GRUConfig(4, 8, carry_init=initializers.normal(0.5))
    first, second = (port.dump(port.make(drawn, jax.random.key(k))).initial_carry for k in (0, 1))
    assert first.all()
    assert not np.array_equal(first, second)
    constant = port.dump(port.make(GRUConfig(4, 8, carry_init=initializers.constant(0.25)), jax.random.key(0)))
    assert_bits(constant.initial_carry, np.full(8, 0.25, "f4"))


def test_every_gate_is_drawn_from_the_same_distribution(port):
    """lecun_normal into each gate: standard deviation 1/sqrt(D), cut at two of the untruncated; orthogonal gates."""
    config = GRUConfig(20, 30)
    params = [port.dump(port.make(config, jax.random.key(k))) for k in range(20)]
    for p in params:
        for gate in np.split(p.weight_hh, 3):
            assert_near(gate @ gate.T, np.eye(30), 1e-5)
        assert not p.bias.any()
        assert not p.bias_n.any()
    drawn = np.stack([np.split(p.weight_ih, 3) for p in params])  # (20, 3, H, D)
    # 12000 draws a gate: the standard error of the deviation is 0.65 %
    np.testing.assert_allclose(drawn.std(axis=(0, 2, 3)) * 20**0.5, 1, atol=0.03)
    assert np.abs(drawn).max() <= 2 / 0.87962566 * 20**-0.5 + 1e-6
    assert np.abs(drawn).max() > 1.9 * 20**-0.5, "a uniform draw of that deviation ends at 1.73"
    assert len(np.unique(drawn)) > 0.99 * drawn.size, "two gates or two models share their draws"


@pytest.mark.parametrize("batch", [(), (2, 3)], ids=str)
def test_any_number_of_batch_axes(port, batch, rng):
    params = random_params(CONFIG)
    model = port.load(CONFIG, params)
    x = rng.normal(size=(*batch, 5, 4)).astype("f4")
    lengths = rng.integers(0, 6, batch).astype("i4")
    tape = oracle.forward(params, x, lengths=lengths)
    carry, outputs = port.apply(model, jnp.asarray(x), lengths=jnp.asarray(lengths))
    assert carry.shape == (*batch, 8)
    assert outputs.shape == (*batch, 5, 8)
    assert_near(carry, tape.carry, 2e-6)
    assert_near(outputs, tape.outputs, 2e-6)
    carry, output = port.step(model, jnp.asarray(x[..., 0, :]))
    assert carry.shape == output.shape == (*batch, 8)


def test_computation_and_storage_dtype(port, case):
    for dtype, param_dtype, expected in [("bfloat16", "float32", "bfloat16"), (None, "float32", "float32")]:
        config = GRUConfig(5, 6, dtype=dtype, param_dtype=param_dtype)
        model = port.load(config, case.params.gru)
        for carry, outputs in (
            port.apply(model, jnp.asarray(case.x)),
            port.apply(model, jnp.asarray(case.x), jnp.asarray(case.carry)),
            port.step(model, jnp.asarray(case.x[:, 0]), jnp.asarray(case.carry)),
        ):
            assert carry.dtype == outputs.dtype == expected
        assert port.dump(model).weight_ih.dtype == param_dtype
    carry, outputs = port.apply(model, jnp.asarray(case.x, "bfloat16"))
    assert carry.dtype == outputs.dtype == "float32", "inputs and parameters are promoted"


def test_a_classifier_computes_in_its_dtype_and_stores_in_the_other(port, case):
    model = port.load(GRUConfig(5, 6, classes=5, dtype="bfloat16"), case.params)
    assert port.classify(model, jnp.asarray(case.x)).dtype == "bfloat16"
    assert {str(a.dtype) for a in leaves(port.dump(model)).values()} == {"float32"}
    model = port.load(GRUConfig(5, 6, classes=5), case.params)
    logits = port.classify(model, jnp.asarray(case.x), jnp.asarray(case.lengths))
    assert relative_error(logits, oracle.classify(case.params, case.x, case.lengths)) < 1e-5


def test_readouts_are_drawn_alike(port):
    config = GRUConfig(3, 50, classes=40)
    drawn = np.stack([port.dump(port.make(config, jax.random.key(k))).readout.weight for k in range(4)])
    assert drawn.std() * 50**0.5 == pytest.approx(1, abs=0.05)
    assert np.abs(drawn).max() <= 2 / 0.87962566 * 50**-0.5 + 1e-6


def test_a_long_sequence_stays_accurate(port, rng):
    """512 steps in float32, by the harness's own bound."""
    params, x = random_params(CONFIG), rng.normal(size=(1, 512, 4)).astype("f4")
    tape = oracle.forward(params, x)
    exact = oracle.forward(type(params)(*(p.astype("f8") for p in params)), x.astype("f8"))
    _, outputs = port.apply(port.load(CONFIG, params), jnp.asarray(x))
    assert relative_error(outputs, exact.outputs) <= accuracy_bound(tape.outputs, exact.outputs, "float32")


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


def test_an_initializer_draws_in_the_dtype_of_the_parameters(port):
    config = GRUConfig(4, 8, param_dtype="bfloat16", carry_init=lambda key, shape, _: jax.random.normal(key, shape))
    with pytest.raises(InputError, match="carry_init gave dtype float32, expected bfloat16, that of the parameters"):
        port.make(config, jax.random.key(0))


def test_without_64_bits_an_initializer_of_float64_draws_float32():
    with pytest.warns(UserWarning, match="will be truncated to dtype float32"):
        carry = for_carry(initializers.zeros)(jax.random.key(0), (8,), np.float64)
    assert carry.dtype == "float32"


def test_what_an_initializer_raised_is_kept(port):
    with pytest.raises(InputError) as refused:
        port.make(GRUConfig(4, 8, carry_init=lambda *_: {}["gone"]), jax.random.key(0))
    assert isinstance(refused.value.__cause__, KeyError)


@pytest.mark.usefixtures("unchecked")
def test_a_flag_may_not_be_traced(port):
    model = port.load(CONFIG, random_params(CONFIG))
    with pytest.raises(InputError, match="reverse is a .*Tracer, expected True or False.*static argument"):
        jax.jit(lambda x, reverse: port.apply(model, x, reverse=reverse))(jnp.ones((3, 5, 4)), True)


@pytest.mark.usefixtures("unchecked")
def test_bad_configurations_are_refused():
    with pytest.raises(InputError, match="unroll is 0, expected a whole number of at least 1"):
        GRUConfig(4, 8, unroll=0)
    with pytest.raises(InputError, match="remat is 'all', expected True or False"):
        GRUConfig(4, 8, remat="all")
    for wrong in ({"param_dtype": "int32"}, {"dtype": "floaty"}, {"param_dtype": "complex64"}):
        with pytest.raises(InputError, match="expected a floating-point dtype: float16, bfloat16, float32 or float64"):
            GRUConfig(4, 8, **wrong)


def test_unknown_kernels_are_refused(port):
    config = GRUConfig(4, 8, kernel="fast")
    for build in (lambda: port.make(config, jax.random.key(0)), lambda: port.load(config, random_params(config))):
        with pytest.raises(
            InputError, match=f"{port.name} has no kernel 'fast'. It has: stock|kernel is 'fast', expected"
        ):
            build()


@pytest.mark.parametrize("unroll", [1, 3])
def test_the_loop_is_unrolled_as_configured(port, unroll):
    model = port.load(GRUConfig(4, 8, unroll=unroll), random_params(CONFIG))
    loops = loops_of(lambda x: port.apply(model, x), jnp.ones((2, 7, 4)))
    assert [loop.params["unroll"] for loop in loops] == [unroll]
    assert (CONFIG.unroll, CONFIG.remat) == (1, False)


@pytest.mark.parametrize("unroll", [1, 8])
def test_remat_recomputes_in_the_compiled_program_too(port, unroll):
    def tanhs(remat):
        model = port.load(GRUConfig(4, 8, unroll=unroll, remat=remat), random_params(CONFIG))
        gradient = jax.jit(jax.grad(lambda x: port.apply(model, x)[1].sum()))
        return len(re.findall(r" tanh\(", gradient.lower(jnp.ones((2, 8, 4))).compile().as_text()))

    assert tanhs(remat=True) > tanhs(remat=False) > 0
