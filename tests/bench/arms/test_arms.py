"""Arms: what is timed, and the gate before it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.bench.arms import arms
from trigru.bench.arms.admission import NotEqualError, reference
from trigru.bench.arms.arms import Arm, arms_of, calibration_arms, prepare
from trigru.bench.arms.peers import Peer, PeerStyle
from trigru.bench.arms.plan import Plan
from trigru.bench.arms.workloads import QUICK, STANDARD, WORKLOADS, get_workload
from trigru.common.datasets import japanese_vowels
from trigru.common.errors import UnavailableError, UnknownNameError
from trigru.common.port.protocol import CallStyle
from trigru.common.port.styles import functional_program
from trigru.common.port.task import PHASES
from trigru.impls.faults import FAULTS
from trigru.impls.pure import Model, PurePort

PORTS = ["pure", "linen", "nnx", "equinox"]

#: Results of different versions are matched by these.
IDS = [
    "tiny/train_step/float32/stock/pure[jit]",
    "tiny/train_step/float32/stock/pure[jit]#2",
    "tiny/train_step/float32/stock/linen[apply]",
    "tiny/train_step/float32/stock/nnx[nnx.jit]",
    "tiny/train_step/float32/stock/nnx[nnx.jit-tree]",
    "tiny/train_step/float32/stock/nnx[cached_partial]",
    "tiny/train_step/float32/stock/nnx[pytree]",
    "tiny/train_step/float32/stock/nnx[split-merge]",
    "tiny/train_step/float32/stock/nnx[leaves]",
    "tiny/train_step/float32/stock/equinox[filter_jit]",
    "tiny/train_step/float32/stock/equinox[partition]",
]


def test_benchmark_ids_are_pinned():
    assert [arm.id for arm in arms_of("tiny", "train_step", PORTS)] == IDS


#: The fused kernel against the stock cells: each port in its first style.
FUSED_IDS = [
    "tiny/train_step/float32/fused/pure[jit]",
    "tiny/train_step/float32/fused/pure[jit]#2",
    "tiny/train_step/float32/fused/pure[jit]:fused",
    "tiny/train_step/float32/fused/pure[jit]:fused@save=none",
    "tiny/train_step/float32/fused/linen[apply]",
    "tiny/train_step/float32/fused/linen[apply]:fused",
    "tiny/train_step/float32/fused/linen[apply]:fused@save=none",
    "tiny/train_step/float32/fused/nnx[nnx.jit]",
    "tiny/train_step/float32/fused/nnx[nnx.jit]:fused",
    "tiny/train_step/float32/fused/nnx[nnx.jit]:fused@save=none",
    "tiny/train_step/float32/fused/equinox[filter_jit]",
    "tiny/train_step/float32/fused/equinox[filter_jit]:fused",
    "tiny/train_step/float32/fused/equinox[filter_jit]:fused@save=none",
]


def test_benchmark_ids_of_the_fused_division_are_pinned():
    found = arms_of("tiny", "train_step", PORTS, kernels=["fused", "fused@save=none"])
    assert [arm.id for arm in found] == FUSED_IDS
    assert [arm.id for arm in found if arm.is_baseline] == FUSED_IDS[:1]
    assert [arm.kernel for arm in found[:4]] == ["stock", "stock", "fused", "fused@save=none"]


def test_the_fused_division_has_the_styles_that_are_asked_for_and_peers_as_they_are(monkeypatch):
    styles = "eager", "compile"
    peer = Peer("torch", "", (), tuple(PeerStyle(style, "", lambda *_: None) for style in styles))
    monkeypatch.setattr(arms, "get_peer", lambda name: peer)
    found = arms_of("tiny", "forward", ["nnx"], ["pytree", "leaves"], ["fused"], ["torch"])
    assert [arm.name for arm in found[2:]] == [
        "nnx[pytree]",
        "nnx[pytree]:fused",
        "nnx[leaves]",
        "nnx[leaves]:fused",
        "torch[eager]",
        "torch[compile]",
    ]


def test_a_plan_has_a_group_for_each_division_and_ids_are_unique():
    kernels = ("stock", "fused", "fused@chunk=16", "fused")
    groups = Plan(("tiny", "large"), ("step",), tuple(PORTS), kernels=kernels).groups()
    assert list(groups) == [
        f"{workload}/step/float32/{kernel}" for workload in ("tiny", "large") for kernel in ("stock", "fused")
    ]
    ids = [arm.id for arm_group in groups.values() for arm in arm_group]
    assert len(set(ids)) == len(ids) == 11 + 13 + 5 + 13
    assert all(arm.id.startswith(f"{group}/") for group, arm_group in groups.items() for arm in arm_group)
    assert list(Plan(("tiny",), ("step",), tuple(PORTS)).groups()) == ["tiny/step/float32/stock"]


def test_a_plan_hands_on_styles_and_peers_and_counts_trials_from_1(monkeypatch):
    plan = Plan(("tiny",), ("forward",), ("nnx",), peers=("torch",), styles=("pytree",))
    peer = Peer("torch", "", ("torch",), (PeerStyle("eager", "", lambda *_: None),))
    monkeypatch.setattr(arms, "get_peer", lambda name: peer)
    (group,) = plan.groups().values()
    assert [arm.name for arm in group[2:]] == ["nnx[pytree]", "torch[eager]"]
    assert {"flax", "torch"} <= set(plan.packages())
    trials = Plan(("tiny",), ("forward",), ("pure",), trials=2).groups()
    assert list(trials) == ["tiny~1/forward/float32/stock", "tiny~2/forward/float32/stock"]


def test_a_kernel_reaches_the_model(monkeypatch):
    built = []

    class Fast(PurePort):
        kernels = ("stock", "fused")

        def load(self, config, params):
            built.append(config.kernel)
            return super().load(replace(config, kernel="stock"), params)

    monkeypatch.setattr(arms, "get_port", lambda name: Fast())
    for arm in arms_of("tiny", "forward", ["pure"], kernels=["fused"]):
        prepare(arm)
    assert built == ["stock", "stock", "fused"]


def test_where_matrix_products_dominate_the_first_style_is_enough():
    names = [arm.name for arm in arms_of("large", "forward", PORTS)]
    assert names == ["pure[jit]", "pure[jit]#2", "linen[apply]", "nnx[nnx.jit]", "equinox[filter_jit]"]
    assert [arm.name for arm in arms_of("large", "forward", ["nnx"], ["pytree"])][2:] == ["nnx[pytree]"]


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
        get_workload("huge")


def test_the_vowels_are_real_and_of_unequal_length():
    batch = get_workload("vowels").batch()
    assert batch.x.shape == (32, 29, 12)
    assert batch.x.dtype == "float32"
    assert len(set(batch.lengths.tolist())) > 3
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


def test_the_baseline_and_its_duplicate_are_always_there():
    found = arms_of("tiny", "forward", ["linen"], ["apply"])
    assert [arm.name for arm in found] == ["pure[jit]", "pure[jit]#2", "linen[apply]"]
    assert [arm.is_baseline for arm in found] == [True, False, False]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("workload", ["tiny", "vowels"])
def test_every_arm_of_every_port_passes_the_gate(port, workload, phase):
    for style in port.call_styles:
        if style.missing() is None:
            ready = prepare(Arm(workload, phase, port.name, style.name))
            assert 0 < ready.gate <= 1
            assert ready.program.leaves >= 5


class Wrong(PurePort):
    """Off by so little that no eye would see it: one part in ten thousand."""

    def apply(self, model, x, carry=None, **masks):
        return super().apply(Model(model.params._replace(bias=model.params.bias * 1.0001)), x, carry, **masks)


class WrongStep(PurePort):
    """Starts its one step from the learned state, whatever carry is passed."""

    def step(self, model, x, carry=None):
        return super().step(model, x)


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
        (Wrong, "forward"),
        (Wrong, "gradient"),
        (Wrong, "train_step"),
        (WrongStep, "step"),
        (Frozen, "gradient"),
        (NaNCarry, "forward"),
        (OutputsOff, "forward"),
        (Frozen, "train_step"),
        (_mutant_style("style-no-state"), "train_step"),
        (_mutant_style("style-lost-update"), "train_step"),
        (_mutant_style("style-twice"), "train_step"),
    ],
)
@pytest.mark.parametrize("workload", ["tiny", "question"])
def test_an_arm_that_is_not_equal_gets_no_number(monkeypatch, faulty, phase, workload):
    monkeypatch.setattr(arms, "get_port", lambda name: faulty())
    with pytest.raises(NotEqualError, match="not equal to the oracle: .* times what is allowed"):
        prepare(Arm(workload, phase, "pure", "jit"))


def test_an_unknown_style_or_a_missing_one_is_said(monkeypatch):
    with pytest.raises(UnknownNameError, match="unknown call style of linen 'jit'. Known: apply"):
        prepare(Arm("tiny", "forward", "linen", "jit"))

    class Old(PurePort):
        call_styles = (CallStyle("jit", "", functional_program, lambda: "this version is too old"),)

    monkeypatch.setattr(arms, "get_port", lambda name: Old())
    with pytest.raises(UnavailableError, match="'jit' of pure is not available: this version is too old"):
        prepare(Arm("tiny", "forward", "pure", "jit"))


def test_the_reference_is_computed_in_float64():
    for phase in PHASES:
        found = reference("tiny", phase, "float32")
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
    prepare(Arm("tiny", "forward", "pure", "jit"))
    (arrays,) = (entry for entry in seen if isinstance(entry, tuple))
    assert all(isinstance(array, jax.Array) for array in arrays)


def test_a_calibration_has_copies_and_slowed_arms_in_groups_of_their_own():
    found = calibration_arms("tiny", "forward", trial=3)
    assert [arm.id for arm in found[:2]] == [
        "tiny~3/forward/float32/stock/pure[jit]",
        "tiny~3/forward/float32/stock/pure[jit]#2",
    ]
    assert [arm.name for arm in found if arm.slowed] == ["pure[jit]+3%", "pure[jit]+5%"]
    assert [arm.is_baseline for arm in found] == [True] + 10 * [False]
    assert prepare(found[-1]).slowed == 0.05


def test_the_step_goes_on_from_the_carry_that_is_passed():
    batch = get_workload("tiny").batch()
    frame, carry = batch.arguments("step")
    assert frame.shape == (1, 4)
    assert carry.shape == (1, 8)
    assert np.abs(carry).min() > 0
    assert batch.arguments("gradient") == batch.arguments("train_step")
    assert [a.shape for a in get_workload("vowels").batch().arguments("step")] == [(32, 12), (32, 64)]


def test_the_first_call_is_timed():
    ready = prepare(Arm("tiny", "step", "pure", "jit"))
    again = prepare(Arm("tiny", "step", "pure", "jit"))
    assert 1e-3 < ready.first_call_s < 60
    assert again.first_call_s > 1e-3
