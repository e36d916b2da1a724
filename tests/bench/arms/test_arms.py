"""Arms: what is timed."""

import numpy as np
import pytest
from support.runs import make_arm, plan
from trigru.bench.arms import arms
from trigru.bench.arms.arms import expand, packages_of_plan, prepare
from trigru.bench.arms.peers import Peer
from trigru.bench.arms.workloads import QUICK, STANDARD, WORKLOADS, get_workload
from trigru.bench.results.arm import Sized
from trigru.common.datasets import japanese_vowels
from trigru.common.errors import UnavailableError, UnknownNameError
from trigru.common.port.protocol import CallStyle
from trigru.common.port.styles import functional_program
from trigru.impls.pure import PurePort

PORTS = ("pure", "linen", "nnx", "equinox")
#: Results of different versions are matched by ids. The fused division has each port in its first style.
NAMES = {
    "stock": """pure[jit] pure[jit]#2 pure[leaves] pure[donated]
        linen[train_state] linen[apply] linen[leaves] linen[donated]
        nnx[nnx.jit] nnx[nnx.jit-tree] nnx[jit_partial] nnx[cached_partial] nnx[pytree] nnx[split-merge] nnx[leaves]
        nnx[donated]
        equinox[filter_jit] equinox[jit] equinox[partition] equinox[leaves] equinox[donated]""",
    "fused": """pure[jit] pure[jit]#2 pure[jit]:fused
        linen[train_state] linen[train_state]:fused
        nnx[nnx.jit] nnx[nnx.jit]:fused
        equinox[filter_jit] equinox[filter_jit]:fused""",
}


@pytest.mark.parametrize("division", NAMES)
def test_benchmark_ids_are_pinned(division):
    found = expand(plan(ports=PORTS, phases=("train_step",), kernels=(division,)))
    names = NAMES[division].split()
    assert [arm.id for arm in found] == [f"tiny/train_step/float32/{division}/{name}" for name in names]
    assert found == [make_arm(name, phase="train_step", division=division) for name in names]
    assert [arm.role for arm in found] == ["baseline", "duplicate"] + ["arm"] * (len(names) - 2)


@pytest.fixture
def peer(monkeypatch):
    """A peer, torch, with two styles."""
    styles = tuple(CallStyle(name, "", lambda *_: None) for name in ("eager", "compile"))
    monkeypatch.setattr(arms, "get_peer", lambda name: Peer("torch", ("torch",), styles))


def test_labels_ask_for_the_same_styles_of_every_port_whatever_they_are_called():
    def of(*styles, phase="forward"):
        asked = plan(ports=PORTS, styles=styles, phases=(phase,))
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
    found = expand(plan(ports=("pure",), phases=("step",)))
    assert [arm.name for arm in found] == ["pure[jit]", "pure[jit]#2", "pure[leaves]", "pure[scan]"]


def test_a_plan_hands_on_styles_and_peers_and_what_is_not_to_be_had_has_one_arm_of_an_unknown_style(peer, monkeypatch):
    planned = plan(ports=("nnx",), peers=("torch",), styles=("pytree",))
    assert [arm.name for arm in expand(planned)[2:]] == ["nnx[pytree]", "torch[eager]", "torch[compile]"]
    assert {"flax", "torch"} <= set(packages_of_plan(planned))

    def refuse(name):
        raise UnavailableError(f"{name} is not installed")

    monkeypatch.setattr(arms, "get_port", refuse)
    monkeypatch.setattr(arms, "get_peer", refuse)
    assert [arm.name for arm in expand(planned)[2:]] == ["nnx[?]", "torch[?]"]
    assert packages_of_plan(planned) == []


def test_where_matrix_products_dominate_the_styles_of_a_first_look_are_enough(peer):
    large = plan(workloads=("large",), ports=PORTS, peers=("torch",))
    names = [arm.name for arm in expand(large)]
    own = ["pure[jit]", "pure[jit]#2", "linen[apply]"]
    own += ["nnx[nnx.jit]", "nnx[nnx.jit-tree]", "nnx[jit_partial]", "nnx[split-merge]"]
    own += ["equinox[filter_jit]", "equinox[jit]", "equinox[partition]"]
    assert names == [*own, "torch[eager]", "torch[compile]"]
    chosen = plan(workloads=("large",), ports=("nnx",), styles=("pytree",))
    assert [arm.name for arm in expand(chosen)[2:]] == ["nnx[pytree]"]


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
    batch, data = get_workload(Sized("vowels")).batch(), japanese_vowels("train")
    assert (batch.x.shape, batch.x.dtype) == ((32, 29, 12), "float32")
    assert get_workload(Sized("vowels")).steps == batch.lengths.sum() < 32 * 29
    for x, length, label in zip(batch.x, batch.lengths, batch.targets, strict=True):
        (row,) = np.flatnonzero((data.inputs == x).all(axis=(1, 2)))
        assert (data.lengths[row], data.labels[row]) == (length, label)
        assert not x[length:].any()


def test_a_style_that_the_installed_versions_lack_is_said(monkeypatch):
    class Old(PurePort):
        call_styles = (CallStyle("jit", "", functional_program, lambda: "this version is too old"),)

    monkeypatch.setattr(arms, "get_port", lambda name: Old())
    with pytest.raises(UnavailableError, match="'jit' of pure is not available: this version is too old"):
        prepare(make_arm("pure[jit]"))
