"""What one row asks: its data, its answers, its bounds, and the script of one that failed."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.equality.contract import examination
from trigru.common.equality.contract.data import USUAL, VALUES, config_of, data_of, sizes_of
from trigru.common.equality.contract.examination import examine
from trigru.common.equality.contract.factors import DTYPES
from trigru.common.equality.contract.programs import _less
from trigru.common.equality.contract.reference import expect
from trigru.common.equality.contract.script import script_of
from trigru.common.equality.contract.shrinking import whole_row
from trigru.common.equality.measurement import Measurement
from trigru.impls.pure import PORT, PurePort

MASKED = whole_row({"lengths": "passed", "resets": "passed", "carry": "passed"})


def row(**levels):
    return whole_row({name.replace("_", " "): level for name, level in levels.items()})


def test_sizes_and_configuration_come_from_levels():
    levels = row(hidden="16", inputs="33", time="130", unroll="not dividing", remat="yes")
    found = config_of(levels, "bfloat16 of float32")
    assert (found.hidden_size, found.input_size, found.unroll, found.remat) == (16, 33, 3, True)
    assert (found.dtype, found.param_dtype) == ("bfloat16", "float32")
    assert sizes_of(row(time="130")).unrolls == {"1": 1, "dividing": 2, "not dividing": 3, "beyond": 131}
    assert sizes_of(row(time="17")).unrolls["not dividing"] == 2
    assert config_of(row(entry="classifier"), "float64").classes == 5


def test_usual_data_has_what_masks_are_about():
    data = data_of(MASKED, "float64")
    assert list(data.lengths) == [9, 0, 17]
    assert data.resets[0, 0]
    assert data.resets[0, 9:].any(), "one in the padding"
    np.testing.assert_array_equal((~np.isfinite(data.x)).all(-1), np.arange(17) >= data.lengths[:, None])
    assert np.isnan(data.x).any()
    assert {np.inf, -np.inf} <= set(data.x.ravel())
    assert all((np.abs(p) > 0).all() for p in data.params)


@pytest.mark.parametrize(
    ("dtype", "lengths"),
    [
        ("int32", [2**31 - 1, -3, 1]),
        ("uint8", [255, 0, 1]),
        ("int64", [2**63 - 1, -(2**63) + 2, 1]),
        ("int8", [127, -3, 1]),
    ],
)
def test_saturating_data_has_lengths_beyond_both_ends(dtype, lengths):
    (values,) = (v for v in VALUES if v.saturating)
    data = data_of({**MASKED, "lengths dtype": dtype}, "float64", values)
    assert data.lengths.dtype == dtype
    assert data.lengths.tolist() == lengths
    assert np.nanmax(np.abs(data.x)) > 1e4
    assert data.resets.sum() == 3
    assert data.resets[:, 0].all()


def test_other_values_are_what_they_are_called():
    of = {values.name: data_of(MASKED, "float64", values) for values in VALUES}
    assert (of["zeros"].lengths == 0).all()
    assert of["tiny values"].resets.all()
    denormal = np.abs(of["denormal values"].carry)
    assert ((denormal > 0) & (denormal < np.finfo("f8").tiny)).all()
    assert not of["zeros"].carry.any()
    assert not of["zeros"].resets.any()
    again, usual = of["usual values again"], data_of(MASKED, "float64", USUAL)
    np.testing.assert_array_equal(again.x, usual.x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_of_what_is_passed(dtype):
    computed, _, stored = dtype.partition(" of ")
    data = data_of(whole_row({"carry": "passed"}), dtype)
    assert {str(p.dtype) for p in data.params} == {stored or computed}
    assert data.x.dtype == data.carry.dtype == ("float32" if stored else computed)


class Bent(PurePort):
    """Changes what comes out."""

    def __init__(self, bend):
        self.bend = bend

    def apply(self, model, x, carry=None, **options):
        return self.bend(*PORT.apply(model, x, carry, **options))


FORWARD = whole_row({"phase": "forward"})


@pytest.mark.parametrize(
    ("bend", "said"),
    [
        (lambda c, o: (c, o * (1 + 3e-12)), "outputs of usual values"),
        (lambda c, o: (c.at[2, 3].add(3e-12), o), "carry of usual values"),
        (lambda c, o: (c, o.at[1, 5].add(1e-11 * jnp.abs(o[1, 5]).max())), "outputs of usual values"),
    ],
)
def test_an_error_above_1e_12_of_one_step_is_found(wide, bend, said):
    found = examine(FORWARD, Bent(bend), "float64")
    assert not found.passed
    assert found.quantity == said
    assert found.bound < 1e-11


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_in_a_coarse_dtype_an_error_of_a_hundred_units_is_found_by_its_size(dtype):
    units = 100 * float(jnp.finfo(dtype).eps)
    found = examine(FORWARD, Bent(lambda c, o: (c, o * (1 + units))), dtype)
    assert found.problem is None
    assert found.error > found.bound


def test_what_is_lost_of_denormal_numbers_hides_no_value():
    assert all(examination._least_of(dtype) < 1e-27 for dtype in ("float32", "bfloat16"))
    assert examination._least_of("float16") == pytest.approx(1000 * 2.0**-14)


def test_where_numpy_is_exact_by_chance_it_counts_what_it_loses_nearby(wide):
    """A gradient of one number, 1 - tanh² of which cancels: XLA's tanh is one unit off, and NumPy's is right."""
    levels = row(batch="none", time="2", inputs="33", hidden="1", carry="other dtype", reverse="yes")
    found = examine(levels, PORT, "float64")
    assert found.passed, found

    class Off(PurePort):
        def value_and_grad(self, function, *, has_aux=False):
            differentiate = super().value_and_grad(function, has_aux=has_aux)

            def off(model, *arrays):
                value, (gradient, *others) = differentiate(model, *arrays)
                return value, (jax.tree.map(lambda g: g * (1 + 1e-9), gradient), *others)

            return off

    assert not examine(levels, Off(), "float64").passed


def test_an_error_is_relative_to_its_own_step(wide):
    """Where one step is a million times smaller than the others, its error counts as much."""
    got, want = np.ones((2, 3, 4)), np.ones((2, 3, 4))
    got[1, 2], want[1, 2] = 1e-6 * (1 + 1e-9), 1e-6
    assert examination._error("outputs", got, want, dtype="float64", least=0.0) == pytest.approx(1e-9, rel=1e-3)
    assert examination._error("d weight_hh", got, want, dtype="float64", least=0.0) < 1e-14
    assert examination._error("outputs", got, want, dtype="float32", least=0.0) < 1e-14
    assert examination._error("outputs", got * np.nan, want, dtype="float64", least=0.0) == np.inf


@pytest.mark.parametrize(
    ("bend", "problem"),
    [
        (lambda c, o: (c.astype("float32"), o), "dtype float32, expected float64"),
        (lambda c, o: (c, o[:, 1:]), r"shape (3, 16, 6), expected shape (3, 17, 6)"),
        (lambda c, o: (c, o * jnp.nan), "values that are not finite"),
    ],
)
def test_what_cannot_be_compared_is_said(wide, bend, problem):
    assert examine(FORWARD, Bent(bend), "float64").problem == problem


def test_a_second_call_that_differs_is_found(wide):
    """Of an eager call, which runs the port each time."""
    calls = []

    def bend(carry, outputs):
        calls.append(1)
        return carry, outputs * (1 + (len(calls) > 2))

    found = examine({**FORWARD, "transform": "eager"}, Bent(bend), "float64")
    assert found.quantity == "outputs of usual values again"


def test_numpy_in_a_coarse_dtype_keeps_to_that_dtype():
    found = expect(whole_row({}), data_of(whole_row({}), "float32 of bfloat16"), np.dtype("f4"), jnp.dtype("bfloat16"))
    assert {str(found[f"d {name}"].dtype) for name in ("weight_ih", "bias_n")} == {"bfloat16"}
    assert found["outputs"].dtype == found["d x"].dtype == np.float32


@pytest.mark.parametrize(
    "levels", [{"reverse": "yes", "carry": "passed"}, {"phase": "forward", "transform": "eager"}, {"entry": "chunks"}]
)
def test_a_script_runs_alone_and_says_how_far_answers_are(tmp_path, levels):
    failed = Measurement("pure", "x", None, "d x of tiny values", "float64", 1.0, 1e-12, levels=levels)
    path = tmp_path / "failed.py"
    path.write_text(script_of(failed))
    said = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True).stdout
    lines = dict(line.split(": largest difference ") for line in said.splitlines())
    assert {"carry", "outputs"} <= set(lines)
    assert ("d x" in lines) == (levels.get("phase") != "forward")
    assert all(float(line.split(",")[0]) < 1e-11 for line in lines.values())


def test_the_carry_that_a_row_passes_is_of_another_dtype(wide):
    seen = []

    class Looks(PurePort):
        def apply(self, model, x, carry=None, **options):
            seen.append(carry.dtype)
            return super().apply(model, x, carry, **options)

    assert examine(whole_row({"carry": "other dtype"}), Looks(), "float64").passed
    assert set(map(str, seen)) == {"float32"}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("arrays", ["numpy", "strided"])
@pytest.mark.parametrize("entry", ["whole", "chunks", "classifier"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_arrays_of_numpy_arrive_as_such(arrays, entry, dtype):
    """Also lengths that are left after a chunk, and those of 64 bits where JAX has 32."""
    seen = []

    class Looks(PurePort):
        def apply(self, model, x, carry=None, **options):
            seen.append((x, options.get("lengths")))
            return super().apply(model, x, carry, **options)

        def classify(self, model, x, lengths=None):
            seen.append((x, lengths))
            return super().classify(model, x, lengths)

    levels = row(
        entry=entry, phase="forward", transform="eager", arrays=arrays, lengths="passed", lengths_dtype="int64"
    )
    with jax.enable_x64(dtype == "float64"):
        assert examine(levels, Looks(), dtype).passed
    for x, lengths in seen:
        assert isinstance(x, np.ndarray)
        assert isinstance(lengths, np.ndarray)
        assert lengths.dtype == "int64"
        assert (x.strides[-1] > x.itemsize, lengths.flags.c_contiguous) == (arrays == "strided", arrays == "numpy")


@pytest.mark.parametrize("module", [np, jnp])
def test_what_is_left_of_lengths_stays_in_their_dtype(module):
    for dtype, steps, left in (("uint8", 3, [0, 0, 252]), ("int8", 3, [0, 0, 124]), ("int8", 200, [0, 0, 0])):
        lengths = module.asarray(np.array([0, 3, np.iinfo(dtype).max], dtype))
        found = _less(lengths, steps)
        assert isinstance(found, np.ndarray) == (module is np)
        assert (found.dtype, found.tolist()) == (dtype, left)


@pytest.fixture
def wide():
    with jax.enable_x64(True):
        yield
