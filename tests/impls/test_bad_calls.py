"""What every port refuses of a call, in the caller's terms, and what only looks odd."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from trigru.common.config import GRUConfig
from trigru.common.errors import InputError
from trigru.common.parameters.record import random_params

from ..support.arrays import assert_bits

CONFIG = GRUConfig(4, 8)

BAD_CALLS = [
    ({"x": [[[1.0] * 4]]}, "inputs: got a list, expected an array. Convert it with jnp.asarray"),
    ({"x": None}, "inputs: got a NoneType, expected an array"),
    ({"x": jax.ShapeDtypeStruct((3, 5, 4), "f4")}, "got a ShapeDtypeStruct, which has no values.*jax.eval_shape"),
    ({"x": np.ma.ones((3, 5, 4))}, "inputs: got a MaskedArray, expected an array without a mask. Fill it"),
    ({"x": np.ones((3, 5, 4), "f4").astype("float8_e5m2")}, "not promote float32 and float8_e5m2 .* give the model a"),
    ({"x": np.ones((3, 5, 4), "f4").astype(np.dtype("f4").newbyteorder())}, "inputs have dtype .f4, which JAX lacks"),
    ({"carry": np.ones((3, 8), np.longdouble)}, r"carry has dtype float\d+, which JAX lacks. Convert with .astype"),
    ({"lengths": np.ones(3, "m8[s]")}, "lengths have dtype timedelta64.s., expected an integer one"),
    ({"carry": (np.ones((3, 8), "f4"),)}, "carry: got a tuple, expected an array"),
    ({"x": np.ones(4, "f4")}, r"inputs have shape \(4,\)"),
    ({"x": np.ones(4, "f4"), "time_major": True}, r"expected \(time, \*batch, features\)"),
    ({"x": np.ones((3, 5, 7), "f4")}, r"expected 4 features"),
    ({"x": np.ones((3, 5, 4), "i4")}, "inputs have dtype int32, expected a floating-point one"),
    ({"x": np.ones((3, 5, 4), "c8")}, "inputs have dtype complex64"),
    ({"x": np.ones((3, 0, 4), "f4")}, r"inputs have shape \(.*0, 4\).*at least one entry"),
    ({"carry": np.ones((3, 9), "f4")}, r"carry has shape \(.*9,?\), expected \(.*8,?\)"),
    ({"carry": np.ones((2, 8), "f4")}, r"carry has shape \(2, 8\), expected \(3, 8\): batch 3 from inputs"),
    ({"carry": np.ones(8, "f4")}, r"carry has shape \(8,\), expected \(3, 8\).*Pass one state per example"),
    ({"lengths": np.ones(2, "i4")}, r"lengths have shape \(2,\), expected \(3,\)"),
    ({"carry": np.ones((3, 8), "i4")}, "carry has dtype int32"),
    ({"lengths": np.ones(3, "f4")}, "lengths have dtype float32, expected an integer one"),
    ({"resets": np.ones((3, 5), "i4")}, "resets have dtype int32, expected bool"),
    ({"resets": np.ones((3, 4), bool)}, r"resets have shape \(.*4,?\), expected \(.*5,?\)"),
    ({"reverse": 1}, "reverse is a int, expected True or False: it decides which program is built"),
    ({"time_major": None}, "time_major is a NoneType, expected True or False"),
    ({"x": np.ones((5, 3, 7), "f4"), "time_major": True}, r"inputs have .*, expected 4 features"),
    ({"time_major": True, "carry": np.ones((3, 8), "f4")}, r"carry has shape \(3, 8\), expected \(5, 8\): batch 5"),
    ({"time_major": True, "lengths": np.ones(3, "i4")}, r"lengths have shape \(3,\), expected \(5,\)"),
]


@pytest.mark.parametrize(("change", "message"), BAD_CALLS, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.usefixtures("unchecked")
def test_bad_calls_are_refused_in_the_callers_terms(port, change, message):
    model = port.load(CONFIG, random_params(CONFIG))
    arrays = {"x": np.ones((3, 5, 4), "f4")} | change
    with pytest.raises(InputError, match=message):
        port.apply(model, arrays.pop("x"), arrays.pop("carry", None), **arrays)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint32])
@pytest.mark.usefixtures("unchecked")
def test_a_length_of_one_example_may_be_a_numpy_integer(port, dtype):
    model, classifier = (port.make(config, jax.random.key(0)) for config in (CONFIG, GRUConfig(4, 8, classes=3)))
    for call in (lambda n: port.apply(model, jnp.ones((5, 4)), lengths=n)[0],
                 lambda n: port.classify(classifier, jnp.ones((5, 4)), n)):  # fmt: skip
        assert_bits(call(dtype(2)), call(jnp.int32(2)))


@pytest.mark.usefixtures("unchecked")
def test_every_array_may_be_a_variable_of_nnxs(port):
    model, classifier = (port.make(config, jax.random.key(0)) for config in (CONFIG, GRUConfig(4, 8, classes=3)))
    x, carry, lengths = jnp.ones((2, 5, 4)), jnp.ones((2, 8)), jnp.array([3, 9])
    resets = jnp.zeros((2, 5), bool).at[:, 2].set(True)
    for call, arrays in (
        (lambda x, carry, lengths, resets: port.apply(model, x, carry, lengths=lengths, resets=resets),
         (x, carry, lengths, resets)),
        (lambda x, carry, reset: port.step(model, x, carry, reset=reset), (x[:, 0], carry, resets[:, 2])),
        (lambda x, lengths: port.classify(classifier, x, lengths), (x, lengths)),
    ):  # fmt: skip
        jax.tree.map(assert_bits, call(*map(nnx.Variable, arrays)), call(*arrays))
