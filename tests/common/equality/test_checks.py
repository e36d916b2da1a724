"""Checks that have no cases notice what they are there for, and name it."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from support.faults import Faulty
from trigru.common.compat import enable_x64
from trigru.common.equality.checks import classes, draws, get_checks, life, memory
from trigru.common.equality.checks.check import require_trials
from trigru.common.equality.verification import verify
from trigru.common.errors import DefectError, NotOfferedError
from trigru.common.parameters.layouts import CANONICAL, Layout
from trigru.common.parameters.record import from_leaves, leaf_shapes
from trigru.impls import get_port, pure
from trigru.impls.pure import PurePort

PURE = get_port("pure")


def measure(port, check):
    """The measurement of a check without cases."""
    (measurement,) = verify([port], checks=get_checks(check))
    return measurement


# A model's life


def losing(**choices):
    """A port whose call loses some choices of its model, of which no answer tells."""

    def call(right, model, x, carry=None, **options):
        return right(replace(model, **choices), x, carry, **options)

    return Faulty(apply=call)


NO_DIFFERENCE = r"\{'unroll': 1\}: it makes no difference to the program"
NO_KERNEL = r"\{'kernel': 'fused'\}: it makes no difference to the program"


@pytest.mark.parametrize(
    ("port", "problem"),
    [
        (losing(unroll=1), NO_DIFFERENCE),
        (losing(kernel="stock"), NO_KERNEL),
    ],
)
def test_a_choice_that_a_call_loses_is_noticed(port, problem):
    with enable_x64(True), pytest.raises(DefectError, match=problem):
        require_trials(life.life(port))


def test_copies_that_lose_a_kernel_are_noticed(monkeypatch):
    def copy(model, memo):
        return replace(model, kernel="stock")

    monkeypatch.setattr(pure.Model, "__deepcopy__", copy, raising=False)
    problem = "copied by copy.deepcopy: a model has another program"
    assert problem in str(measure(PURE, "life"))


def test_a_model_that_no_pickle_takes_is_no_copy():
    with pytest.raises(NotOfferedError, match="pickle"):
        life.COPIES["pickled and unpickled"](lambda: None)


def test_a_model_that_is_made_in_another_way_is_named():
    def make(right, config, key):
        return right(replace(config, unroll=9), key)

    problem = "made or loaded alike: models differ in jax.tree.structure"
    assert problem in str(measure(Faulty(make=make), "life"))


def test_a_load_that_ignores_new_options_is_noticed():
    loaded = {}

    def load(right, config, params):
        if id(params) not in loaded:
            loaded[id(params)] = params, right(config, params)
        return loaded[id(params)][1]

    problem = "{'unroll': 1}: it makes no difference to the program"
    assert problem in str(measure(Faulty(load=load), "life"))


def test_a_load_that_changes_a_record_is_noticed():
    def load(right, config, params):
        model = right(config, jax.tree.map(np.array, params))
        for array in params:
            if array.flags.writeable:
                array[...] = np.abs(array)
        return model

    problem = "a record, loaded twice: .* has other bits"
    assert re.search(problem, str(measure(Faulty(load=load), "life")))


# Parameters on their way


def test_a_layout_that_cannot_hold_a_record_is_named():
    class Broken(Layout):
        def flat(self, params):
            raise KeyError("w")

    class Port(PurePort):
        layout = Broken(**vars(CANONICAL) | {"name": "own"})

    what = "float64 parameters of 6 units in the layout own"
    problem = f"{what}: KeyError: 'w'; {what} as a tree: KeyError: 'w'; float32"
    assert problem in str(measure(Port(), "conversion"))


# Draws


def test_a_coin_of_the_right_deviation_is_another_distribution(rng):
    arrays = {}
    for name, shape in leaf_shapes(draws.D, draws.H).items():
        arrays[name] = rng.choice([-1, 1], shape) * shape[-1] ** -0.5
    (first, *_) = draws.statistics_of(from_leaves(arrays), "bfloat16")
    assert first.what == "input gate r, distribution"
    assert first.bound < first.value


# Refusals


def test_a_bad_initializer_has_to_be_refused_outside_of_jit_too(unchecked):
    class Port(PurePort):
        def make(self, config, key):
            is_traced = isinstance(key, jax.core.Tracer)
            return is_traced and super().make(config, key)

    problem = "outside of jit, .* another size: .* outside of jit, .* another dtype"
    assert re.search(problem, str(measure(Port(), "refusals")))


# Memory


def test_a_kernel_keeps_no_more_than_the_stock_one():
    class Saving(PurePort):
        def apply(self, model, *arrays, **options):
            saves = model.remat or model.kernel == "stock"
            return super().apply(replace(model, remat=saves), *arrays, **options)

    fused = replace(memory.LONG, kernel="fused")
    problem = r"the gradient keeps [\d.]+ states for each step, expected at most"
    with enable_x64(True), pytest.raises(DefectError, match=problem):
        memory.require_saved(Saving(), fused)


# A class


def trials_of_class(port=PURE, **changed):
    """The trials of plain JAX's class, changed."""
    return classes.of_all_kernels(port, replace(pure.CLASS, **changed))


def test_a_kernel_that_is_not_offered_leaves_out_its_trial_alone():
    class Port(PurePort):
        def load(self, config, params):
            if config.kernel == "fused":
                raise NotOfferedError("no such thing")
            return super().load(config, params)

    with enable_x64(True):
        *_, assigned, last = trials_of_class(Port(), assign=lambda model, other: None)
        assert assigned.what == "changed in place, kernel='fused'"
        assert last.what == "kernel='fused', carry_init=None"
        with pytest.raises(NotOfferedError):
            assigned.run()


def test_parameters_that_are_not_changed_in_place_are_noticed(unchecked):
    with enable_x64(True):
        *_, assigned, _ = trials_of_class(assign=lambda model, other: None)
        with pytest.raises(DefectError, match=r"results: .*error"):
            assigned.run()


def test_parameters_that_are_not_float32_without_x64_are_noticed():
    def construct(*sizes, param_dtype="float32", **options):
        stored = param_dtype if jax.config.read("jax_enable_x64") else "bfloat16"
        return pure.CLASS.construct(*sizes, param_dtype=stored, **options)

    for trial in trials_of_class(construct=construct):
        if "without jax_enable_x64" in trial.what:
            break
    with pytest.raises(DefectError, match="a parameter is bfloat16, expected float32"):
        trial.run()


def test_a_class_is_judged_anew_each_time(unchecked):
    def construct(*_, **__):
        return None

    broken = replace(pure.CLASS, construct=construct)
    (trial,) = classes.of_class(Faulty(model_class=broken))
    for _ in range(2):
        with pytest.raises(DefectError, match="without options: "):
            trial.run()
