"""The classes that users copy, as their users call them."""

import inspect
from functools import partial

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.nn import initializers
from trigru.common.config import GRUConfig
from trigru.common.equality import oracle
from trigru.common.equality.bounds import relative_error
from trigru.common.equality.cases import Case
from trigru.common.errors import InputError
from trigru.common.parameters.record import GRUParams
from trigru.impls import equinox, get_port, linen, pure
from trigru.impls import nnx as nnx_port

from ..support.arrays import assert_bits, assert_near

X = jax.random.normal(jax.random.key(1), (2, 5, 4))


def test_linen_init_through_either_entry_gives_the_same_tree():
    model = linen.GRU(8, carry_init=nn.initializers.normal(0.5))
    whole = model.init(jax.random.key(0), X)
    for other in (
        model.init(jax.random.key(0), X[:, 0], method="step"),
        model.init(jax.random.key(0), X, jnp.ones((2, 8))),
        model.init(jax.random.key(0), X[0]),
    ):
        jax.tree.map(assert_bits, whole, other)


@pytest.mark.parametrize("name", ["hn_bias", "bias_hn", "b_hn"])
def test_nnx_has_one_b_hn_also_in_a_flax_that_brings_its_own(name, monkeypatch):
    original = nnx.GRUCell.__init__

    def fixed(self, in_features, hidden_features, **options):
        original(self, in_features, hidden_features, **options)
        setattr(self, name, nnx.Param(jnp.ones((hidden_features,))))

    monkeypatch.setattr(nnx.GRUCell, "__init__", fixed)
    model = nnx_port.GRU(4, 8, rngs=nnx.Rngs(0))
    shapes = [p.shape for p in jax.tree.leaves(nnx.state(model, nnx.Param))]
    assert sorted(shapes) == [(4, 24), (8,), (8,), (8, 24), (24,)]
    assert not model.cell.hn_bias[...].any()
    model(X)


def test_the_type_checker_is_on():
    from jaxtyping import TypeCheckError

    with pytest.raises(TypeCheckError):
        pure.gru_step(pure.init(4, 8, key=jax.random.key(0)), jnp.ones((2, 4)), jnp.ones((3, 8)))


def test_nnx_draws_b_hn_by_bias_init():
    cell = nnx_port.GRUCell(4, 8, bias_init=nnx.initializers.ones, rngs=nnx.Rngs(0))
    assert_bits(cell.hn_bias[...], np.ones(8, "f4"))


def test_nnx_keeps_no_random_state():
    assert jax.tree.leaves(nnx.state(nnx_port.GRU(4, 8, rngs=nnx.Rngs(0)), nnx.RngState)) == []


def test_equinox_takes_one_example():
    model = equinox.GRU(4, 8, key=jax.random.key(0))
    carry, outputs = model(X[0])
    assert carry.shape == (8,)
    assert outputs.shape == (5, 8)
    jitted = eqx.filter_jit(lambda model, x: jax.vmap(model)(x))(model, X)[1]
    assert_near(jitted[0], outputs, 1e-6)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("batch", [(4,), (4, 4)], ids=str)
def test_equinox_runs_time_major_where_no_axis_can_be_told_by_its_length(batch, reverse, rng):
    params = Case.random(1, 1, 4, 4).astype("float32").params.gru
    model = equinox.PORT.load(GRUConfig(4, 4), params)
    x, carry = rng.normal(size=(4, *batch, 4)).astype("f4"), rng.normal(size=(*batch, 4)).astype("f4")
    masks = {"resets": rng.random((4, *batch)) < 0.4, "lengths": rng.integers(0, 5, batch).astype("i4")}
    want = oracle.forward(params, x, carry, **masks, reverse=reverse, time_major=True)
    masks = jax.tree.map(jnp.asarray, masks)
    found = equinox.time_major(model, jnp.asarray(x), jnp.asarray(carry), **masks, reverse=reverse)
    assert_near(found[0], want.carry, 2e-6)
    assert_near(found[1], want.outputs, 2e-6)


@pytest.mark.usefixtures("unchecked")
def test_equinox_time_major_checks_the_whole_batch():
    model = equinox.GRU(4, 8, key=jax.random.key(0))
    with pytest.raises(InputError, match=r"carry has shape \(5, 8\), expected \(2, 8\): batch 2 from inputs"):
        equinox.time_major(model, jnp.swapaxes(X, 0, 1), jnp.ones((5, 8)))


@pytest.mark.usefixtures("unchecked")
def test_linen_knows_its_input_size_once_it_has_parameters():
    model = linen.GRU(8)
    variables = model.init(jax.random.key(0), X)
    with pytest.raises(InputError, match="expected 4 features"):
        model.apply(variables, jnp.ones((2, 5, 3)))


@pytest.mark.usefixtures("unchecked")
def test_a_carry_that_does_not_fit_names_the_batch():
    model = linen.GRU(64)
    with pytest.raises(InputError) as error:
        model.init(jax.random.key(0), jnp.ones((8, 20, 12)), jnp.ones((4, 32)))
    assert str(error.value) == (
        "carry has shape (4, 32), expected (8, 64): batch 8 from inputs (8, 20, 12), hidden_size 64. "
        "Pass one state per example, or carry=None for the learned initial state."
    )


def draw_and_run(h=8, **options):
    """Plain JAX has no class: a dtype is said where parameters are drawn, the rest where they run."""
    drawn = {name: options.pop(name) for name in list(options) if name in ("param_dtype", "carry_init")}
    return pure.gru(pure.init(np.int64(4), h, key=jax.random.key(0), **drawn), X, **options)


BUILDS = {
    "linen": lambda h=8, **o: linen.GRU(h, **o).init(jax.random.key(0), X),
    "nnx": lambda h=8, **o: nnx_port.GRU(np.int32(4), h, rngs=nnx.Rngs(0), **o),
    "equinox": lambda h=8, **o: equinox.GRU(np.int64(4), h, key=jax.random.key(0), **o),
    "pure": draw_and_run,
}
BAD_OPTIONS = [
    *(({"h": size}, "(features|hidden_size) is .*, expected a whole number of at least 1") for size in
      (0, -3, 2.0, True, "8", None)),
    *(({"unroll": steps}, "unroll is .*, expected a whole number of at least 1") for steps in (0, -1, 2.0, True, None)),
    *(({"remat": flag}, "remat is .*, expected True or False") for flag in (1, 0, None, np.True_)),
    *(({"kernel": kernel}, "kernel is .*, expected ") for kernel in (None, 1, "", "fast", "fused@save=none")),
    *(({name: wrong}, f"^{name} is .*, expected a floating-point dtype: float16, bfloat16")
      for name in ("dtype", "param_dtype") for wrong in (jnp.ones(2), "int32", "nope", complex, "float8_e4m3fn")),
    ({"param_dtype": None}, "param_dtype is .*, expected a floating-point dtype"),
    ({"carry_init": 0.0}, "carry_init is a float, expected a JAX initializer"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
@pytest.mark.usefixtures("unchecked")
def test_the_same_options_are_refused_in_the_same_words(build, options, message):
    with pytest.raises(InputError, match=message):
        build(**options)


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
@pytest.mark.usefixtures("unchecked")
def test_sizes_may_be_numpys(build):
    build(h=np.int32(8), unroll=np.int64(2))


@pytest.mark.parametrize("dtype", ["int32", jnp.int32, complex, "nope", "float8_e5m2", np.longdouble])
@pytest.mark.usefixtures("unchecked")
def test_every_function_in_plain_jax_checks_its_dtype(dtype):
    params = pure.init(4, 8, key=jax.random.key(0))
    for call in (
        lambda: pure.gru(params, X, dtype=dtype),
        lambda: pure.gru_step(params, X[:, 0], dtype=dtype),
        lambda: pure.get_initial_carry(params, (2,), dtype=dtype),
    ):
        with pytest.raises(InputError, match="dtype is .*, expected a floating-point dtype: float16, bfloat16"):
            call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reverse": 1}, "reverse is a int"),
        ({"lengths": jnp.float32(2)}, "lengths have dtype float32"),
        ({"resets": jnp.ones(4, bool)}, r"resets have shape \(4,\), expected \(5,\)"),
        ({"resets": jnp.ones(5, int)}, "resets have dtype int32"),
    ],
)
@pytest.mark.parametrize("kernel", ["stock", "fused"])
@pytest.mark.usefixtures("unchecked")
def test_equinox_checks_its_one_example(kernel, options, message):
    model = equinox.GRU(4, 8, kernel=kernel, key=jax.random.key(0))
    with pytest.raises(InputError, match=message):
        model(X[0], **options)
    with pytest.raises(InputError, match="expected 4 features"):
        model.step(jnp.ones(3))


def test_flaxs_cells_sum_the_gradients_of_half_precision_parameters_in_half_precision():
    """As docs/equality.md says; over 256 steps that shows."""
    case = Case.random(3, 256, 5, 6).astype("float32")
    stored = case.astype("bfloat16").params.gru
    wide, x = GRUParams(*(p.astype("float64") for p in stored)), case.x.astype("float64")
    tape = oracle.forward(wide, x)
    exact = oracle.backward(wide, tape, case.targets.astype("float64")).params.weight_hh
    config = GRUConfig(5, 6, dtype="float32", param_dtype="bfloat16")

    def error(port):
        def total(model):
            return jnp.sum(port.apply(model, jnp.asarray(case.x))[1] * case.targets)

        _, (gradient,) = port.value_and_grad(total)(port.load(config, stored))
        return relative_error(port.dump(gradient).weight_hh, exact)

    errors = {port.name: error(port) for port in (linen.PORT, nnx_port.PORT, equinox.PORT, pure.PORT)}
    assert max(errors["equinox"], errors["pure"]) < 0.005
    assert min(errors["linen"], errors["nnx"]) > 0.01


PLACES = {
    linen.GRU: ("features", "carry_init", "dtype", "param_dtype", "unroll", "remat", "kernel"),
    linen.Classifier: ("gru", "classes"),
    nnx_port.GRU: ("in_features", "hidden_features", "carry_init"),
    nnx_port.Classifier: ("gru", "classes"),
    equinox.GRU: ("input_size", "hidden_size", "carry_init"),
    equinox.Classifier: ("gru", "classes"),
}


@pytest.mark.parametrize("model", PLACES, ids=lambda model: f"{model.__module__}.{model.__name__}")
def test_what_is_passed_by_its_place_keeps_it(model):
    parameters = inspect.signature(model.__init__).parameters.values()
    by_place = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    assert by_place[1 : 1 + len(PLACES[model])] == PLACES[model]


INITS = {
    "kernel_init": initializers.constant(0.5),
    "recurrent_kernel_init": initializers.constant(0.25),
    "bias_init": initializers.constant(0.125),
}


def test_linen_takes_the_initializers_of_its_cell():
    params = linen.GRU(8, **INITS).init(jax.random.key(0), X)["params"]["cell"]
    for gate in "rzn":
        assert float(params[f"i{gate}"]["kernel"].min()) == float(params[f"i{gate}"]["kernel"].max()) == 0.5
        assert float(params[f"h{gate}"]["kernel"].min()) == float(params[f"h{gate}"]["kernel"].max()) == 0.25
    assert float(params["in"]["bias"][0]) == float(params["hn"]["bias"][0]) == 0.125


def test_nnx_takes_the_initializers_of_its_cell():
    cell = nnx_port.GRU(X.shape[-1], 8, **INITS, rngs=nnx.Rngs(0)).cell
    found = [float(p[...].mean()) for p in (cell.dense_i.kernel, cell.dense_h.kernel, cell.dense_i.bias, cell.hn_bias)]
    assert found == [0.5, 0.25, 0.125, 0.125]


def unlearned(name, kernel):
    """A call of a model that starts from zeros, its parameters, and the port's model of the same with learned zeros."""
    D = X.shape[-1]
    if name == "pure":
        params = pure.init(D, 8, None, key=jax.random.key(0))
        return partial(pure.gru, kernel=kernel), params
    if name == "linen":
        module = linen.GRU(8, carry_init=None, kernel=kernel)
        return lambda params, x: module.apply(params, x), module.init(jax.random.key(0), X)
    if name == "nnx":
        return lambda model, x: model(x), nnx_port.GRU(D, 8, None, kernel=kernel, rngs=nnx.Rngs(0))
    return lambda model, x: jax.vmap(model)(x), equinox.GRU(D, 8, None, kernel=kernel, key=jax.random.key(0))


@pytest.mark.parametrize("kernel", ["stock", "fused"])
@pytest.mark.parametrize("name", ["pure", "linen", "nnx", "equinox"])
def test_a_start_that_is_not_learned_is_no_parameter_and_zero(name, kernel):
    call, model = unlearned(name, kernel)
    arrays = jax.tree.leaves(eqx.filter(nnx.state(model) if name == "nnx" else model, eqx.is_array))
    assert all(array.shape != (8,) or not array.any() for array in arrays), "zero biases alone have that shape"
    learned = get_port(name).make(GRUConfig(X.shape[-1], 8, kernel=kernel), jax.random.key(0))
    of_learned = jax.tree.leaves(eqx.filter(nnx.state(learned) if name == "nnx" else learned, eqx.is_array))
    assert len(arrays) == len(of_learned) - 1
    carry, outputs = call(model, X)
    assert carry.shape == (*X.shape[:-2], 8)
    assert bool(jnp.isfinite(outputs).all())


@pytest.mark.parametrize("kernel", ["stock", "fused"])
def test_linen_makes_its_parameters_in_a_lazy_apply_and_in_boxes(kernel):
    rngs = {"params": jax.random.key(0)}
    _, made = linen.GRU(8, kernel=kernel).apply({}, X, rngs=rngs, mutable=["params"])
    jax.tree.map(assert_bits, made["params"], linen.GRU(8).init(jax.random.key(0), X)["params"])
    boxed = nn.with_partitioning(nn.initializers.lecun_normal(), (None, "model"))
    model = linen.GRU(8, kernel=kernel, kernel_init=boxed)
    assert model.apply(model.init(jax.random.key(0), X), X)[1].shape == (2, 5, 8)


def test_nnxs_cell_runs_in_nnxs_own_loop():
    cell = nnx_port.GRUCell(4, 8, rngs=nnx.Rngs(0))
    assert nnx.RNN(cell)(X).shape == (2, 5, 8)


def test_what_is_not_learned_is_dumped_as_zeros():
    models = {name: unlearned(name, "stock")[1] for name in ("linen", "nnx", "equinox", "pure")}
    models["linen"] = linen.Model(models["linen"]["params"], linen.GRU(8, carry_init=None))
    models["pure"] = pure.Model(models["pure"])
    for name, model in models.items():
        assert_bits(get_port(name).dump(model).initial_carry, np.zeros(8, "f4"))


def test_plain_jax_rounds_no_weights_to_the_dtype_of_the_start():
    params = pure.init(4, 8, key=jax.random.key(0))
    params = params._replace(initial_carry=params.initial_carry.astype("bfloat16"))
    assert pure.gru(params, X.astype("bfloat16"))[1].dtype == pure.get_initial_carry(params).dtype == jnp.float32
