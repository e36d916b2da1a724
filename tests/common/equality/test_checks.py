"""Checks that have no rows notice what they are there for, and name it."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from support.faults import Faulty
from trigru.common.compat import enable_x64
from trigru.common.equality.checks import classes, get_checks, life
from trigru.common.equality.checks.check import require_cases
from trigru.common.equality.checks.life import COPIES
from trigru.common.equality.verification import verify
from trigru.common.errors import DefectError, NotOfferedError
from trigru.common.parameters.layouts import CANONICAL, Layout
from trigru.common.parameters.record import ClassifierParams, GRUParams
from trigru.impls import get_port, pure
from trigru.impls.pure import PurePort

PURE = get_port("pure")
(LIFE,) = get_checks("life")
NOT_OFFERED = NotOfferedError("no such thing")


def test_copies_that_lose_a_kernel_are_noticed(monkeypatch):
    def losing(model, memo):
        return replace(model, kernel="stock")

    monkeypatch.setattr(pure.Model, "__deepcopy__", losing, raising=False)
    (found,) = verify([PURE], checks=get_checks("life"))
    assert "copied by copy.deepcopy: a model has another program" in str(found)


def losing(argument=None, **choices):
    """A port whose call loses some choices of its model, of which no answer tells, always or with an argument."""

    def call(right, model, x, carry=None, **options):
        kept = (
            replace(model, **choices)
            if argument is None or options.get(argument) is not None
            else model
        )
        return right(kept, x, carry, **options)

    return Faulty(apply=call)


@pytest.mark.parametrize(
    ("port", "problem"),
    [
        (losing(unroll=1), r"\{'unroll': 1\}: it makes no difference to the program"),
        (
            losing(kernel="stock"),
            r"\{'kernel': 'fused'\}: it makes no difference to the program",
        ),
        (
            losing("resets", unroll=1),
            r"'resets': 'passed'\}, kernel=fused: .* its program has no \('unroll', 3\)",
        ),
        (
            losing("resets", remat=False),
            r"'resets': 'passed'\}, kernel=fused: .* its program has no \('remat', True\)",
        ),
        (
            losing("resets", dtype="float32"),
            r"'resets': 'passed'\}, kernel=fused: .* has no \('product', 'bfloat16'\)",
        ),
    ],
)
def test_a_choice_that_a_call_loses_is_noticed(port, problem):
    with enable_x64(True), pytest.raises(DefectError, match=problem):
        require_cases(life.life(port))


def test_a_model_that_is_made_in_another_way_is_a_named_case():
    port = Faulty(make=lambda make, config, key: make(replace(config, unroll=9), key))
    (found,) = verify([port], checks=[LIFE])
    assert "made or loaded alike: models differ in jax.tree.structure" in str(found)


def layout_that_raises(error, *kinds):
    """A port whose own layout has no place for some records."""

    class Own(Layout):
        def flat(self, params):
            if isinstance(params, kinds):
                raise error
            return super().flat(params)

    class Port(PurePort):
        layout = Own(**vars(CANONICAL) | {"name": "own"})

    return Port()


def test_a_record_that_a_layout_cannot_hold_leaves_out_no_other_case():
    port = layout_that_raises(NOT_OFFERED, ClassifierParams)
    with enable_x64(True):
        assert sum("a readout" in case.what for case in life.conversions(port)) == 5
    (found,) = verify([port], checks=get_checks("conversion"))
    assert found.passed
    (found,) = verify(
        [layout_that_raises(KeyError("w"), GRUParams)], checks=get_checks("conversion")
    )
    what = "float64 parameters of 6 units in the layout own"
    assert f"{what}: KeyError: 'w'; {what} as a tree: KeyError: 'w'; float32" in str(
        found
    )


def class_cases(**changed):
    """The cases of plain JAX's class, changed."""
    return classes._of_all_kernels(PURE, replace(pure.CLASS, **changed))


def test_a_kernel_that_is_not_offered_leaves_out_its_case_alone(monkeypatch):
    def load(port, config, params):
        if config.kernel == "fused":
            raise NOT_OFFERED
        return whole(port, config, params)

    whole = PurePort.load
    monkeypatch.setattr(PurePort, "load", load)
    with enable_x64(True):
        *_, assigned, last = class_cases(assign=lambda model, other: None)
        assert (assigned.what, last.what) == (
            "changed in place, kernel='fused'",
            "kernel='fused'",
        )
        with pytest.raises(NotOfferedError):
            assigned.run()


def test_parameters_that_are_not_float32_without_x64_are_noticed():
    def construct(*sizes, param_dtype="float32", **options):
        stored = param_dtype if jax.config.read("jax_enable_x64") else "bfloat16"
        return pure.CLASS.construct(*sizes, param_dtype=stored, **options)

    cases = (
        case
        for case in class_cases(construct=construct)
        if "without jax_enable_x64" in case.what
    )
    with pytest.raises(DefectError, match="a parameter is bfloat16, expected float32"):
        next(cases).run()


def remembering(load, config, params, known={}):  # noqa: B006
    """Loads a record once, whatever the options."""
    return known.setdefault(id(params), (params, load(config, params)))[1]


def writing(load, config, params):
    """Changes the record once."""
    model = load(config, jax.tree.map(np.array, params))
    for array in jax.tree.leaves(params):
        if array.flags.writeable:
            array[...] = np.abs(array)
    return model


@pytest.mark.parametrize(
    ("load", "problem"),
    [
        (remembering, "with dtype='bfloat16', a model gives float64"),
        (writing, "a record, loaded twice: .* has other bits"),
    ],
)
def test_a_load_that_remembers_or_changes_a_record_is_noticed(load, problem):
    (found,) = verify([Faulty(load=load)], checks=[LIFE])
    assert re.search(problem, str(found))


def test_a_class_is_judged_anew_each_time(unchecked):
    (case,) = classes.uses(
        Faulty(model_class=replace(pure.CLASS, construct=lambda *_, **__: None))
    )
    for _ in range(2):
        with pytest.raises(DefectError, match="without options: "):
            case.run()


def test_a_model_that_no_pickle_takes_is_no_copy():
    with pytest.raises(NotOfferedError, match="pickle"):
        COPIES["pickled and unpickled"](lambda: None)
