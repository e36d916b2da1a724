"""Complex parameters of one model that are real and imaginary parts in the other."""

import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.errors import InputError
from trigru.parity import Model, compare

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3)).astype(np.float32)


def parts(*shape):
    return RNG.normal(size=(2, *shape)).astype(np.float32)


PARTS = {"decay": parts(1, 4), "into": parts(3, 4), "out": parts(4, 2)}
COMPLEX = {name: real + 1j * imag for name, (real, imag) in PARTS.items()}
REAL = {}
for name, (real, imag) in PARTS.items():
    REAL |= {f"{name}_re": real, f"{name}_im": imag}


def of_complex(params, x):
    """A diagonal state space model, after two steps with the same input."""
    state = x @ params["into"]
    state = params["decay"] * state + state
    return jnp.real(jnp.tanh(state) @ params["out"])


def of_real(params, x, sign=1):
    whole = {}
    for name in PARTS:
        whole[name] = params[f"{name}_re"] + 1j * sign * params[f"{name}_im"]
    return of_complex(whole, x)


def fresh(params):
    rng = np.random.default_rng(1)
    return {
        name: rng.normal(size=a.shape).astype(a.dtype) + 0 * a
        for name, a in params.items()
    }


def test_real_and_imaginary_parts_are_a_complex_parameter():
    reference, candidate = Model(COMPLEX, of_complex), Model(fresh(REAL), of_real)
    result = compare(reference, candidate, X)

    assert result.verdict == "same", result
    pairs = {pair.candidate: pair.reference for pair in result.parameters.matched}
    assert pairs["decay_im"] == ("decay/imag",)
    assert any("two real ones" in remark for remark in result.remarks)


def test_a_complex_parameter_gets_the_values_of_its_parts():
    reference, candidate = Model(REAL, of_real), Model(fresh(COMPLEX), of_complex)
    result = compare(reference, candidate, X)

    assert result.verdict == "same", result
    for value, wanted in zip(result.converted, COMPLEX.values(), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-6)


def test_an_imaginary_part_of_another_sign_is_a_condition():
    def conjugated(params, x):
        changed = params | {"out_im": -params["out_im"]}
        return of_real(changed, x)

    result = compare(Model(COMPLEX, of_complex), Model(fresh(REAL), conjugated), X)
    assert result.verdict == "only if", result


def test_a_mapping_names_the_parts():
    reference, candidate = Model(COMPLEX, of_complex), Model(fresh(REAL), of_real)
    mapping = {"decay_re": "decay/real", "decay_im": "decay/imag"}
    result = compare(reference, candidate, X, mapping=mapping)
    assert result.verdict == "same", result

    with pytest.raises(InputError, match="name its parts, 'decay/real'"):
        compare(reference, candidate, X, mapping={"decay_re": "decay"})
