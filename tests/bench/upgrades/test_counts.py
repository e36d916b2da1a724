"""What is counted of a call, measured of two arrays, and kept of warnings and exceptions."""

import json
import warnings
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from trigru.bench.upgrades import worker
from trigru.bench.upgrades.functions import count_operations, count_python
from trigru.bench.upgrades.record import Subject
from trigru.bench.upgrades.values import (
    bound_of,
    is_floating,
    relative_difference,
    ulps,
)
from trigru.bench.upgrades.worker import noticed, place_of, survived

INF, NAN = np.inf, np.nan


def test_functions_and_lines_of_a_call_are_counted():
    def inner(numbers):
        return len(numbers)

    def outer():
        first = inner([1])
        return first + inner([2])

    found = count_python(outer)
    assert (found["call"], found["line"]) == (3, 4)


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
    a, b = (np.array([x], dtype) for x in (1.0, 1.0 + eps))
    assert ulps(a, b) == 1
    assert relative_difference(a, b) == eps
    assert bound_of(dtype) == pytest.approx(
        min(eps * bound_of("float64") / 2**-52, 0.1)
    )
    assert is_floating(a)
    assert not any(
        is_floating(np.array([1], other))
        for other in ("int32", "bool", "uint8", ml_dtypes.int4)
    )


def test_a_place_begins_with_its_package_and_identifies_no_user():
    places = {
        "/home/me/.venv/lib/python3.13/site-packages/flax/nnx/graph.py": "flax/nnx/graph.py",
        "/usr/lib/python3/dist-packages/flax/nnx/graph.py": "flax/nnx/graph.py",
        "/usr/lib/python3.12/json/decoder.py": "json/decoder.py",
        worker.__file__: "trigru/bench/upgrades/worker.py",
        "/home/me/secret/train.py": "train.py",
        "<string>": "<string>",
    }
    assert {file: place_of(file) for file in places} == places


def test_warnings_and_exceptions_are_kept_without_addresses_and_the_rest_goes_on():
    subject = Subject(
        "pure", "pure", warnings={"at import, a.py": ["UserWarning: earlier"]}
    )

    def warn_and_fail():
        for number in range(2):
            warnings.warn(
                f"z of <object at 0x7f00000{number}>\nand more",
                UserWarning,
                stacklevel=1,
            )
        for _ in range(2):
            warnings.warn("a", FutureWarning, stacklevel=1)
        warnings.warn("y" * 201, UserWarning, stacklevel=1)
        raise KeyError("later")

    with survived(subject, "values"), noticed(subject, "make"):
        warn_and_fail()
    assert subject.warnings == {
        "at import, a.py": ["UserWarning: earlier"],
        f"at make, {place_of(__file__)}": [
            "FutureWarning: a",
            f"UserWarning: {'y' * 200}…",
            "UserWarning: z of <object at 0x…>",
        ],
    }
    assert subject.problems == {
        "values": f"KeyError in {place_of(__file__)}: warn_and_fail: 'later'"
    }
    with survived(subject, "values", "jit"):
        json.loads("{")
    assert subject.problems["values jit"].startswith(
        "JSONDecodeError in json/decoder.py: raw_decode: Expecting "
    )
    with pytest.raises(KeyboardInterrupt), survived(subject, "calls"):
        raise KeyboardInterrupt
    assert len(subject.problems) == 2
