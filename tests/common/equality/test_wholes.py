"""The checks that ask about more than values: what they fall back on, and what they let pass."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.equality.checks import get_checks, memory
from trigru.common.equality.verification import verify
from trigru.common.errors import DefectError, NotOfferedError
from trigru.impls import get_port
from trigru.impls.faults import get_fault
from trigru.impls.pure import Model, PurePort


def problems(port, check):
    return [m.problem for m in verify([port], checks=get_checks(check)) if not m.passed]


def test_a_defect_is_told_without_the_errors_name():
    class Defective(PurePort):
        def load(self, config, params):
            raise DefectError("it is wrong")

    (found,) = verify([Defective()], checks=get_checks("carry"))
    assert (found.quantity, found.problem, found.passed, found.offered) == ("defect", "it is wrong", False, True)


@pytest.mark.parametrize("figure", [None, 0])
def test_where_xla_gives_no_figure_what_loops_stack_up_is_counted(port, monkeypatch, figure):
    monkeypatch.setattr(memory, "temp_bytes", lambda compiled: figure)
    assert problems(port, "memory") == []
    for name in ("remat-ignored", "remat-whole", "nnx-remat-ignored"):
        assert "with remat, 655,360 without: expected less" in problems(get_fault(name).port, "memory")[0]


def test_a_model_that_cannot_be_pickled_passes_and_one_that_cannot_be_read_back_does_not():
    class NoPickle(Model):
        def __reduce_ex__(self, protocol):
            raise pickle.PicklingError("not this one")

        def __copy__(self):
            return self

        def __deepcopy__(self, memo):
            return self

    class Port(PurePort):
        def load(self, config, params):
            return jax.tree_util.tree_map(lambda p: p, NoPickle(*vars(super().load(config, params)).values()))

        def make(self, config, key):
            return NoPickle(*vars(super().make(config, key)).values())

    jax.tree_util.register_dataclass(NoPickle, ["params"], ["dtype", "unroll", "remat", "kernel"])
    assert problems(Port(), "life") == []


def test_what_a_port_draws_is_asked_before_whether_it_can_be_traced():
    class Concrete(PurePort):
        def make(self, config, key):
            np.asarray(jax.random.key_data(key))
            return super().make(config, key)

    class Ones(Concrete):
        def make(self, config, key):
            return jax.tree.map(jnp.ones_like, super().make(config, key))

    (said,) = problems(Concrete(), "draws")
    assert "make cannot be traced by JAX" in said
    (said,) = problems(Ones(), "draws")
    assert "carry_init" in said


def test_the_kernel_of_a_port_with_one_is_not_asked_about():
    from trigru.common.equality.checks.refusals import BAD_FIELDS, _bad_calls
    from trigru.common.port.protocol import WithKernel

    with jax.enable_x64(True):
        all_calls, fewer = (dict(_bad_calls(p)) for p in (get_port("pure"), WithKernel(get_port("pure"), "fused")))
    asked = {"load, an unknown kernel", *(f"make and apply, {what}" for what in BAD_FIELDS)}
    assert set(all_calls) - set(fewer) == asked


class NoClassifier(PurePort):
    """Has a GRU alone."""

    def load(self, config, params):
        self._require_gru(config)
        return super().load(config, params)

    def make(self, config, key):
        self._require_gru(config)
        return super().make(config, key)

    def _require_gru(self, config):
        if config.classes is not None:
            raise NotOfferedError("no classifier here")


class RoundsOnTheWay(NoClassifier):
    def dump(self, tree):
        return jax.tree.map(lambda p: p.astype("float16").astype(p.dtype), super().dump(tree))


WHOLES = ("conversion", "exchange", "life", "draws", "refusals")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("check", WHOLES)
def test_a_port_without_a_classifier_is_asked_about_its_gru(check):
    found = verify([NoClassifier()], checks=get_checks(check), dtypes=["float64"])
    assert found
    assert all(m.passed for m in found), list(map(str, found))
    assert not any("classifier" in m.quantity or "readout" in m.quantity for m in found)


@pytest.mark.parametrize("check", ["conversion", "exchange", "life"])
def test_what_is_wrong_with_its_gru_is_noticed(check):
    assert any(problem is not None for problem in problems(RoundsOnTheWay(), check))


@pytest.mark.usefixtures("unchecked")
def test_calls_that_are_not_offered_are_left_out_of_refusals():
    class OneWay(PurePort):
        def apply(self, model, x, carry=None, *, reverse=False, **options):
            if reverse is not False:
                raise NotOfferedError("this GRU runs forwards alone")
            return super().apply(model, x, carry, **options)

    found = verify([OneWay()], checks=get_checks("refusals"))
    assert all(m.passed for m in found), list(map(str, found))
    quantities = {m.quantity for m in found}
    assert "everything, time-major: outputs" in quantities
    assert "everything: outputs" not in quantities

    class Nothing(PurePort):
        def apply(self, model, x, carry=None, **options):
            raise NotOfferedError("nothing here")

        step = classify = apply

    (found,) = verify([Nothing()], checks=get_checks("refusals"))
    assert (found.passed, found.offered) == (False, False)
