"""Arms: what is timed; and peers, GRUs of other libraries, which compute the oracle's equations."""

import shutil
from unittest.mock import Mock

import numpy as np
import pytest
from support.golden import check_golden
from support.runs import PORTS, make_arm, plan
from trigru.bench.arms import arms
from trigru.bench.arms.admission import get_reference
from trigru.bench.arms.arms import Peer, expand, get_peer, packages_of
from trigru.bench.arms.workloads import QUICK, STANDARD, WORKLOADS, get_workload
from trigru.bench.results.arm import Sized
from trigru.common.datasets import japanese_vowels
from trigru.common.errors import UnavailableError
from trigru.common.parameters.record import leaves
from trigru.common.port.protocol import CallStyle
from trigru.common.port.styles import functional_program
from trigru.common.port.task import PHASES
from trigru.impls.pure import PurePort


@pytest.mark.parametrize("division", ["stock", "fused"])
def test_benchmark_ids_are_pinned(division):
    """Results of different versions are matched by them. The fused division has each port in its first style."""
    found = expand(plan(ports=PORTS, phases=("train_step",), kernels=(division,)))
    check_golden(
        f"arms-{division}", "\n".join(f"{arm.id}, {arm.role}" for arm in found)
    )
    assert found == [
        make_arm(arm.name, phase="train_step", division=division) for arm in found
    ]


@pytest.fixture
def peer(monkeypatch):
    """A peer, torch, with two styles."""
    styles = tuple(
        CallStyle(name, "", lambda *_: None) for name in ("eager", "compile")
    )
    monkeypatch.setattr(
        arms, "get_peer", lambda name: Peer("torch", ("torch",), styles)
    )


def test_a_plan_hands_on_styles_and_peers_and_what_is_not_to_be_had_has_one_arm_of_an_unknown_style(
    peer, monkeypatch
):
    monkeypatch.setattr(
        PurePort,
        "call_styles",
        (*PurePort.call_styles, CallStyle("scan", "", functional_program)),
    )
    own = expand(plan(ports=("pure",), phases=("step",)))
    assert [arm.name for arm in own] == [
        "pure[jit]",
        "pure[jit]#2",
        "pure[leaves]",
        "pure[scan]",
    ], "the baseline once"
    planned = plan(ports=("nnx",), peers=("torch",), styles=("pytree",))
    assert [arm.name for arm in expand(planned)[2:]] == [
        "nnx[pytree]",
        "torch[eager]",
        "torch[compile]",
    ]
    assert {"flax", "torch"} <= set(packages_of((*planned.ports, *planned.peers)))
    refuse = Mock(side_effect=UnavailableError("it is not installed"))
    monkeypatch.setattr(arms, "get_port", refuse)
    monkeypatch.setattr(arms, "get_peer", refuse)
    assert [arm.name for arm in expand(planned)[2:]] == ["nnx[?]", "torch[?]"]
    assert packages_of((*planned.ports, *planned.peers)) == []


def test_where_matrix_products_dominate_the_styles_of_a_first_look_are_enough(peer):
    large = plan(workloads=("large",), ports=PORTS, peers=("torch",))
    check_golden("arms-large", "\n".join(arm.name for arm in expand(large)))
    chosen = plan(workloads=("large",), ports=("nnx",), styles=("pytree",))
    assert [arm.name for arm in expand(chosen)[2:]] == ["nnx[pytree]"]


def test_workloads_are_pinned():
    check_golden(
        "workloads", "\n".join(f"{w.name} {w.shape} C={w.classes}" for w in WORKLOADS)
    )
    assert set(QUICK) < set(STANDARD) < {w.name for w in WORKLOADS}


def test_the_vowels_are_real_and_of_unequal_length():
    batch, data = get_workload(Sized("vowels")).batch(), japanese_vowels("train")
    assert (batch.x.shape, batch.x.dtype) == ((32, 29, 12), "float32")
    assert get_workload(Sized("vowels")).steps == batch.lengths.sum() < 32 * 29
    for x, length, label in zip(batch.x, batch.lengths, batch.targets, strict=True):
        (row,) = np.flatnonzero((data.inputs == x).all(axis=(1, 2)))
        assert (data.lengths[row], data.labels[row]) == (length, label)
        assert not x[length:].any()


#: Part of benchmark ids.
STYLES = ("eager", "compile")
BOTH = ["tiny", "vowels"]

# torch.compile's own, when it is first imported and at a tensor between two of its graphs
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"
    ),
    pytest.mark.filterwarnings(
        "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"
    ),
]


@pytest.fixture(params=STYLES)
def style(request):
    """A style of torch."""
    pytest.importorskip("torch")
    found = {style.name: style for style in get_peer("torch").call_styles}
    assert tuple(found) == STYLES
    if request.param == "compile" and not shutil.which("g++"):
        pytest.skip("torch.compile needs a C++ compiler")
    return found[request.param]


def build(style, workload, phase):
    """What is to be answered, a program, and the program called on the reference's batch."""
    expected = get_reference(get_workload(Sized(workload)), phase, "float32", steps=1)
    program = style.build(
        get_workload(Sized(workload)).config(phase), expected.params, phase
    )
    arguments = [program.put(array) for array in expected.batch.arguments(phase)]
    return expected, program, lambda: program.call(*arguments)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("workload", BOTH)
def test_a_peer_loads_every_bit_and_passes_the_gate(style, workload, phase):
    expected, program, call = build(style, workload, phase)
    loaded = leaves(program.params())
    for name, want in leaves(expected.params).items():
        np.testing.assert_array_equal(loaded[name], want, err_msg=name)
    assert 0 < expected.compare(program, call) <= 1
    program.wait(call())
    assert program.leaves >= 4


def test_a_train_step_of_torch_follows_the_gradient_of_its_own_call_alone(monkeypatch):
    pytest.importorskip("torch")
    seen = []

    def look(optimizer):
        """Moves nothing, so that the next call has the same gradient."""
        seen.append(
            [
                parameter.grad.clone()
                for parameter in optimizer.param_groups[0]["params"]
            ]
        )

    monkeypatch.setattr("torch.optim.Adam.step", look)
    _, _, call = build(get_peer("torch").call_styles[0], "tiny", "train_step")
    call()
    call()
    for first, second in zip(*seen, strict=True):
        assert first.abs().max() > 0
        assert first.equal(second)


def test_a_library_that_cannot_be_had_is_named(monkeypatch):
    for error, message in (
        (
            ModuleNotFoundError("", name="torch"),
            'torch is not installed: pip install ".[peers]" in a clone of trigru brings it.',
        ),
        (
            RuntimeError("built for another CUDA"),
            "RuntimeError: built for another CUDA",
        ),
    ):
        get_peer.cache_clear()
        monkeypatch.setattr(
            "trigru.bench.arms.arms.import_module", Mock(side_effect=error)
        )
        with pytest.raises(UnavailableError) as caught:
            get_peer("torch")
        assert str(caught.value) == f"peer 'torch' is not available: {message}"
