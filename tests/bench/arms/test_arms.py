"""Arms: what is timed, and the gate before it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from support.runs import make_arm, plan
from trigru.bench.arms import arms
from trigru.bench.arms.admission import NotEqualError, get_reference
from trigru.bench.arms.arms import arms_of, prepare
from trigru.bench.arms.peers import Peer, PeerStyle
from trigru.bench.arms.plan import expand, packages_of_plan
from trigru.bench.arms.workloads import QUICK, STANDARD, WORKLOADS, get_workload
from trigru.bench.results.arm import Sized
from trigru.common.datasets import japanese_vowels
from trigru.common.errors import UnavailableError, UnknownNameError
from trigru.common.gru.kernels import Kernel
from trigru.common.port.protocol import CallStyle
from trigru.common.port.styles import available_styles, functional_program
from trigru.common.port.task import PHASES
from trigru.impls.faults import FAULTS
from trigru.impls.pure import Model, PurePort

PORTS = ["pure", "linen", "nnx", "equinox"]
TINY = Sized("tiny")

#: Results of different versions are matched by ids. The fused division has each port in its first style.
NAMES = {
    "stock": """pure[jit] pure[jit]#2 pure[leaves] pure[donated]
        linen[train_state] linen[apply] linen[leaves] linen[donated]
        nnx[nnx.jit] nnx[nnx.jit-tree] nnx[cached_partial] nnx[pytree] nnx[split-merge] nnx[leaves] nnx[donated]
        equinox[filter_jit] equinox[partition] equinox[leaves] equinox[donated]""",
    "fused": """pure[jit] pure[jit]#2 pure[jit]:fused pure[jit]:fused@save=none
        linen[train_state] linen[train_state]:fused linen[train_state]:fused@save=none
        nnx[nnx.jit] nnx[nnx.jit]:fused nnx[nnx.jit]:fused@save=none
        equinox[filter_jit] equinox[filter_jit]:fused equinox[filter_jit]:fused@save=none""",
}
KERNELS = {"stock": [Kernel()], "fused": [Kernel("fused"), Kernel("fused", {"save": "none"})]}


@pytest.mark.parametrize("division", NAMES)
def test_benchmark_ids_are_pinned(division):
    found = arms_of(TINY, "train_step", PORTS, kernels=KERNELS[division])
    names = NAMES[division].split()
    assert [arm.id for arm in found] == [f"tiny/train_step/float32/{division}/{name}" for name in names]
    assert found == [make_arm(name, phase="train_step", division=division) for name in names]
    assert [arm.role for arm in found] == ["baseline", "duplicate"] + ["arm"] * (len(names) - 2)


@pytest.fixture
def peer(monkeypatch):
    """A peer, torch, with two styles."""
    styles = tuple(PeerStyle(name, "", lambda *_: None) for name in ("eager", "compile"))
    monkeypatch.setattr(arms, "get_peer", lambda name: Peer("torch", "", ("torch",), styles))


def test_a_plan_hands_on_styles_and_peers_and_counts_trials_from_1(peer):
    asked = plan(ports=("nnx",), peers=("torch",), styles=("pytree",))
    assert [arm.name for arm in expand(asked)[2:]] == ["nnx[pytree]", "torch[eager]", "torch[compile]"]
    assert {"flax", "torch"} <= set(packages_of_plan(asked))
    assert [arm.trial for arm in expand(plan(trials=2)) if arm.is_baseline] == [1, 2]


def test_labels_ask_for_the_same_styles_of_every_port_whatever_they_are_called():
    def of(*styles, phase="forward"):
        asked = plan(ports=("pure", "linen", "nnx", "equinox"), styles=styles, phases=(phase,))
        return [arm.name for arm in expand(asked)[2:]]

    assert of("documented") == ["linen[apply]", "nnx[nnx.jit]", "equinox[filter_jit]"]
    assert of("documented", phase="train_step")[0] == "linen[train_state]"
    assert of("functional") == ["linen[apply]", "nnx[split-merge]", "equinox[partition]"]
    both = ["linen[apply]", "nnx[nnx.jit]", "nnx[split-merge]", "equinox[filter_jit]", "equinox[partition]"]
    assert of("functional", "documented") == both
    assert of("leaves") == ["pure[leaves]", "linen[leaves]", "nnx[leaves]", "equinox[leaves]"]
    assert of("donated") == []
    assert of("donated", phase="train_step") == [f"{port}[donated]" for port in ("pure", "linen", "nnx", "equinox")]


def test_the_baseline_is_listed_once_and_other_styles_of_its_port_as_others(monkeypatch):
    monkeypatch.setattr(PurePort, "call_styles", (*PurePort.call_styles, CallStyle("scan", "", functional_program)))
    assert [arm.name for arm in arms_of(TINY, "step", ["pure"])] == [
        "pure[jit]",
        "pure[jit]#2",
        "pure[leaves]",
        "pure[scan]",
    ]


def test_what_is_not_to_be_had_has_one_arm_of_an_unknown_style(monkeypatch):
    def refuse(name):
        raise UnavailableError(f"{name} is not installed")

    monkeypatch.setattr(arms, "get_port", refuse)
    monkeypatch.setattr(arms, "get_peer", refuse)
    asked = plan(ports=("nnx",), peers=("torch",), styles=("pytree",))
    assert [arm.name for arm in expand(asked)[2:]] == ["nnx[?]", "torch[?]"]
    assert packages_of_plan(asked) == []


def test_where_matrix_products_dominate_two_styles_of_a_port_are_enough(peer):
    names = [arm.name for arm in arms_of(Sized("large"), "forward", PORTS, peers=["torch"])]
    own = ["pure[jit]", "pure[jit]#2", "linen[apply]", "nnx[nnx.jit]", "nnx[split-merge]"]
    own += ["equinox[filter_jit]", "equinox[partition]"]
    assert names == [*own, "torch[eager]", "torch[compile]"]
    assert [arm.name for arm in arms_of(Sized("large"), "forward", ["nnx"], ["pytree"])][2:] == ["nnx[pytree]"]


def test_workloads_are_pinned():
    assert {w.name: (w.batch_size, w.time, w.input_size, w.hidden_size, w.classes) for w in WORKLOADS} == {
        "tiny": (1, 8, 4, 8, None),
        "question": (1, 50, 20, 200, None),
        "vowels": (32, 29, 12, 64, 9),
        "medium": (32, 128, 64, 128, None),
        "large": (64, 128, 256, 512, None),
        "long": (16, 512, 32, 64, None),
    }
    assert set(QUICK) < set(STANDARD) < {w.name for w in WORKLOADS}
    with pytest.raises(UnknownNameError, match="unknown workload 'huge'. Known: tiny, question, vowels"):
        get_workload(Sized("huge"))


def test_the_vowels_are_real_and_of_unequal_length():
    batch = get_workload(Sized("vowels")).batch()
    assert batch.x.shape == (32, 29, 12)
    assert batch.x.dtype == "float32"
    assert len(set(batch.lengths.tolist())) > 3
    assert get_workload(Sized("vowels")).steps == batch.lengths.sum() < 32 * 29
    assert set(batch.targets.tolist()) <= set(range(9))
    data = japanese_vowels("train")
    for x, length, label in zip(batch.x, batch.lengths, batch.targets, strict=True):
        (row,) = np.flatnonzero((data.inputs == x).all(axis=(1, 2)))
        assert (data.lengths[row], data.labels[row]) == (length, label)
        assert not x[length:].any()
        assert x[:length].any(axis=1).all()


def test_batches_are_the_same_at_each_call():
    for workload in WORKLOADS[:4]:
        first, second = workload.batch(), workload.batch()
        assert jax.tree.all(jax.tree.map(np.array_equal, first, second))


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("workload", ["tiny", "vowels"])
def test_every_arm_of_every_port_passes_the_gate(port, workload, phase):
    for style in available_styles(port, phase):
        ready = prepare(make_arm(f"{port.name}[{style.name}]", workload, phase))
        assert 0 < ready.gate <= 1
        assert ready.program.leaves >= 5


class Wrong(PurePort):
    """Off by so little that no eye would see it: one part in ten thousand."""

    def apply(self, model, x, carry=None, **masks):
        return super().apply(Model(model.params._replace(bias=model.params.bias * 1.0001)), x, carry, **masks)


class WrongStep(PurePort):
    """Starts its one step from the learned state, whatever carry is passed."""

    def step(self, model, x, carry=None, *, reset=None):
        return super().step(model, x, reset=reset)


class OutputsOff(PurePort):
    """The final carry is right, an output in the middle is not."""

    def apply(self, model, x, carry=None, **masks):
        carry, outputs = super().apply(model, x, carry, **masks)
        return carry, outputs.at[..., 2, :].add(1e-4)


def _mutant_style(name):
    (mutant,) = (m for m in FAULTS if m.name == name)

    class Faulty(PurePort):
        call_styles = (replace(mutant.port.call_styles[-1], name="jit"),)

    return Faulty


class NaNCarry(PurePort):
    """The first of the compared quantities is not a number; the others are right."""

    def apply(self, model, x, carry=None, **masks):
        carry, outputs = super().apply(model, x, carry, **masks)
        return carry * jnp.nan, outputs


def _frozen(port, model, task):
    def rebuild(tree):
        return Model(tree.params._replace(initial_carry=jax.lax.stop_gradient(tree.params.initial_carry)))

    return functional_program(port, model, task, rebuild)


class Frozen(PurePort):
    """Trains everything but the initial carry."""

    call_styles = (CallStyle("jit", "", _frozen),)


@pytest.mark.parametrize(
    ("faulty", "phase"),
    [
        *((faulty, "forward") for faulty in (Wrong, NaNCarry, OutputsOff)),
        (WrongStep, "step"),
        *((faulty, "gradient") for faulty in (Wrong, Frozen)),
        *((faulty, "train_step") for faulty in (Wrong, Frozen)),
        *((_mutant_style(f"style-{name}"), "train_step") for name in ("no-state", "lost-update", "twice")),
    ],
)
@pytest.mark.parametrize("workload", ["tiny", "question"])
def test_an_arm_that_is_not_equal_gets_no_number(monkeypatch, faulty, phase, workload):
    monkeypatch.setattr(arms, "get_port", lambda name: faulty())
    with pytest.raises(NotEqualError, match="not equal to the oracle: .* times what is allowed"):
        prepare(make_arm("pure[jit]", workload, phase))


def test_an_unknown_style_or_a_missing_one_is_said(monkeypatch):
    with pytest.raises(UnknownNameError, match="unknown call style of linen 'jit'. Known: train_state, apply"):
        prepare(make_arm("linen[jit]"))

    class Old(PurePort):
        call_styles = (CallStyle("jit", "", functional_program, lambda: "this version is too old"),)

    monkeypatch.setattr(arms, "get_port", lambda name: Old())
    with pytest.raises(UnavailableError, match="'jit' of pure is not available: this version is too old"):
        prepare(make_arm("pure[jit]"))


def test_the_reference_is_computed_in_float64():
    for phase in PHASES:
        found = get_reference(get_workload(TINY), phase, "float32")
        assert {np.asarray(a).dtype.name for a in found.expected.values()} == {"float64"}
        assert all(0 < bound < 1e-4 for bound in found.bounds.values())


def test_what_is_timed_is_on_the_device(monkeypatch):
    seen = []

    class Spy(PurePort):
        def apply(self, model, x, carry=None, **masks):
            seen.append(x)
            return super().apply(model, x, carry, **masks)

    def build(port, model, task):
        program = functional_program(port, model, task)
        call = program.call
        program.call = lambda *arrays: seen.append(arrays) or call(*arrays)
        return program

    Spy.call_styles = (CallStyle("jit", "", build),)
    monkeypatch.setattr(arms, "get_port", lambda name: Spy())
    prepare(make_arm("pure[jit]"))
    (arrays,) = (entry for entry in seen if isinstance(entry, tuple))
    assert all(isinstance(array, jax.Array) for array in arrays)


def test_the_step_goes_on_from_the_carry_that_is_passed():
    batch = get_workload(TINY).batch()
    frame, carry = batch.arguments("step")
    assert frame.shape == (1, 4)
    assert carry.shape == (1, 8)
    assert np.abs(carry).min() > 0
    assert batch.arguments("gradient") == batch.arguments("train_step")
    assert [a.shape for a in get_workload(Sized("vowels")).batch().arguments("step")] == [(32, 12), (32, 64)]


@pytest.mark.parametrize("worst", ["carry", "outputs"])
def test_the_gate_is_the_largest_share_of_what_is_allowed(worst):
    program = prepare(make_arm("pure[jit]")).program
    expected = get_reference(get_workload(TINY), "forward", "float32")
    answers = {name: want.copy() for name, want in expected.expected.items()}
    for name, answer in answers.items():
        answer.flat[0] += (0.5 if name == worst else 0.25) * expected.bounds[name] * np.abs(answer).max()
    assert expected.hold(program, lambda: tuple(answers.values())) == pytest.approx(0.5, rel=1e-3)
    answers[worst] = answers[worst][0]
    with pytest.raises(NotEqualError, match=rf"{worst} has shape \((8, )?8,?\), expected \(1, 8(, 8)?\)"):
        expected.hold(program, lambda: tuple(answers.values()))


def test_peers_which_may_keep_two_biases_are_held_to_one_train_step():
    steps = [arms.expected_of(make_arm(name, phase="train_step")).steps for name in ("torch[eager]", "linen[apply]")]
    assert steps == [1, 2]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("phase", PHASES)
def test_an_arm_is_held_to_the_oracle_in_its_own_dtype(dtype, phase):
    """It computes in it, with parameters of float32, and NumPy's own error in it is what bounds it."""
    arm = msgspec.structs.replace(make_arm("equinox[partition]", "vowels", phase), dtype=dtype)
    ready = prepare(arm)
    assert ready.gate <= 1
    assert {str(a.dtype) for a in jax.tree.leaves(ready.program.params())} == {"float32"}
    if phase in ("forward", "step"):
        assert {str(a.dtype) for a in jax.tree.leaves(ready.call())} == {dtype}
    wide = get_reference(get_workload(arm.workload), phase, "float32")
    own = arms.expected_of(arm)
    assert all(own.bounds[name] > 100 * bound for name, bound in wide.bounds.items())


def rounded_by(monkeypatch, backend, precision, dtype="float32"):
    """What may pass on a platform."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr("trigru.bench.arms.admission._known", {})
    return get_reference(get_workload(Sized("vowels")), "gradient", dtype, precision).bounds


def test_products_that_an_accelerator_rounds_may_be_so_much_less_accurate(monkeypatch):
    """TF32 keeps 11 significant bits of what goes into a product, bfloat16 8, and float32 24."""
    exact = rounded_by(monkeypatch, "cpu", "highest")
    for backend, precision in (("cpu", "high"), ("cpu", "default"), ("gpu", "highest")):
        assert rounded_by(monkeypatch, backend, precision) == exact, (backend, precision)
    tf32, bfloat16 = rounded_by(monkeypatch, "gpu", "default"), rounded_by(monkeypatch, "tpu", "default")
    assert rounded_by(monkeypatch, "gpu", "high") == tf32
    for name, bound in exact.items():
        assert 4 * 2.0**-10 <= tf32[name] < 0.1
        assert bound < tf32[name] / 100
        assert 2 < bfloat16[name] / tf32[name] < 30, "three bits are a factor of eight"
    for precision in ("high", "default"):
        own = rounded_by(monkeypatch, "gpu", precision, "bfloat16")
        assert own == rounded_by(monkeypatch, "gpu", "highest", "bfloat16"), "what it multiplies is short already"


def test_references_of_two_precisions_are_two(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr("trigru.bench.arms.admission._known", {})
    first, second = (get_reference(get_workload(TINY), "step", "float32", p) for p in ("highest", "default"))
    assert first.bounds != second.bounds
