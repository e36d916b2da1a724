"""What is counted of a call, measured of two arrays, and kept of warnings and
exceptions.
"""

import json
import warnings
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from trigru.bench.upgrades import noticing
from trigru.bench.upgrades.differences import (
    bound_of,
    is_floating,
    relative_difference,
    ulps,
)
from trigru.bench.upgrades.noticing import noticed, place_of, survived
from trigru.bench.upgrades.observing import count_operations, count_python
from trigru.bench.upgrades.record import Subject, Warned

INF, NAN = np.inf, np.nan


def test_functions_and_lines_of_a_call_are_counted():
    def inner(numbers):
        return len(numbers)

    def outer():
        first = inner([1])
        return first + inner([2])

    counts = count_python(outer)
    assert (counts["call"], counts["line"]) == (3, 4)


def test_operations_of_stablehlo_are_counted_and_nothing_else():
    text = """module @jit_f {
  func.func public @main(%arg0: tensor<f32>) -> tensor<f32> {
    %0 = stablehlo.sine %arg0 : tensor<f32>
    %1:2, %2 = chlo.top_k(%0) : tensor<f32>
    %3:2 = "stablehlo.while"(%0) ({
      stablehlo.return %0 : tensor<i1>
    })
    %4 = call @inner(%0) : tensor<f32>  // stablehlo.add
"""
    assert count_operations(SimpleNamespace(as_text=lambda: text)) == 4


# relative to the largest number, and in units of the last place
@pytest.mark.parametrize(
    ("a", "b", "relative", "units"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0, 0),
        ([1.0, 2.0], [1.5, 2.0], 0.25, 2**51),
        ([1.5, 4.0], [1.0, 2.0], 0.5, 2**51),
        ([-1.0, -4.0], [-1.0, -3.0], 0.25, 2**50),
        ([0.0, 0.0], [0.5, 0.0], 0.5, 2**52),
        ([], [], 0, 0),
        ([INF, 2.0], [INF, 2.5], 0.25, 2**50),
        ([NAN, 2.0], [NAN, 2.0], 0, 0),
        ([NAN, 2.0], [1.0, 2.0], INF, INF),
        ([INF, 2.0], [-INF, 2.0], INF, INF),
        ([2.0, 2.0], [INF, 2.0], INF, INF),
        ([1 + 2j], [1 + 3j], 0.5, 2**51),
        ([1 + 2j], [2 + 2j], 0.5, 2**51),
    ],
)
def test_how_far_two_arrays_are_apart(a, b, relative, units):
    a, b = np.array(a), np.array(b)
    assert relative_difference(a, b) == relative
    assert ulps(a, b) == units


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "bfloat16", "complex64"]
)
def test_the_next_number_is_one_unit_away_and_the_bound_is_as_many_units_or_a_tenth(
    dtype,
):
    eps = float(ml_dtypes.finfo(dtype).eps)
    one, next_number = np.array([1.0], dtype), np.array([1.0 + eps], dtype)
    assert ulps(one, next_number) == 1
    assert relative_difference(one, next_number) == eps
    units = bound_of("float64") / 2**-52
    assert bound_of(dtype) == pytest.approx(min(eps * units, 0.1))
    assert is_floating(one)


@pytest.mark.parametrize("dtype", ["int32", "bool", "uint8", ml_dtypes.int4])
def test_whole_numbers_are_not_rounded(dtype):
    assert not is_floating(np.array([1], dtype))


@pytest.mark.parametrize(
    ("file", "place"),
    [
        (
            "/home/me/.venv/lib/python3.13/site-packages/flax/nnx/graph.py",
            "flax/nnx/graph.py",
        ),
        (
            "/usr/lib/python3/dist-packages/flax/nnx/graph.py",
            "flax/nnx/graph.py",
        ),
        ("/usr/lib/python3.12/json/decoder.py", "json/decoder.py"),
        (noticing.__file__, "trigru/bench/upgrades/noticing.py"),
        ("/home/me/secret/train.py", "train.py"),
        ("<string>", "<string>"),
    ],
)
def test_a_place_begins_with_its_package_and_identifies_no_user(file, place):
    assert place_of(file) == place


HERE = place_of(__file__)


def test_each_warning_is_kept_once_and_without_addresses():
    earlier = Warned("at import, a.py", "UserWarning: earlier")
    subject = Subject("pure", "pure", warnings=[earlier])
    with noticed(subject, "make"):
        for number in range(2):
            text = f"z of <object at 0x7f00000{number}>\nand more"
            warnings.warn(text, UserWarning, stacklevel=1)
            warnings.warn("a", FutureWarning, stacklevel=1)
        warnings.warn("y" * 201, UserWarning, stacklevel=1)

    assert subject.warnings[0] == earlier
    texts = {warned.where: [] for warned in subject.warnings}
    for warned in subject.warnings:
        texts[warned.where].append(warned.text)
    assert texts[f"at make, {HERE}"] == [
        "FutureWarning: a",
        f"UserWarning: {'y' * 200}…",
        "UserWarning: z of <object at 0x…>",
    ]


def test_an_exception_becomes_a_problem_and_the_rest_goes_on():
    subject = Subject("pure", "pure")

    def fail():
        raise KeyError("later")

    with survived(subject, "values"):
        fail()
    with survived(subject, "values jit"):
        json.loads("{")
    assert subject.problems["values"] == f"KeyError in {HERE}: fail: 'later'"
    decoding = "JSONDecodeError in json/decoder.py: raw_decode: Expecting "
    assert subject.problems["values jit"].startswith(decoding)


def test_an_interruption_is_no_problem():
    subject = Subject("pure", "pure")
    with pytest.raises(KeyboardInterrupt), survived(subject, "calls"):
        raise KeyboardInterrupt
    assert subject.problems == {}
