"""Peers: GRUs of other libraries compute the oracle's equations, in each phase."""

import shutil

import numpy as np
import pytest
from support.cli import run_code
from trigru.bench.arms.admission import get_reference
from trigru.bench.arms.peers import get_peer
from trigru.bench.arms.workloads import get_workload
from trigru.bench.results.arm import Sized
from trigru.common.errors import UnavailableError
from trigru.common.parameters.record import leaves
from trigru.common.port.task import PHASES

#: Part of benchmark ids.
STYLES = ("eager", "compile")
WORKLOADS = ["tiny", "vowels"]

# torch.compile's own, when it is first imported and at a tensor between two of its graphs
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
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
    program = style.build(get_workload(Sized(workload)).config(phase), expected.params, phase)
    arguments = [program.put(array) for array in expected.batch.arguments(phase)]
    return expected, program, lambda: program.call(*arguments)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("workload", WORKLOADS)
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
        seen.append([parameter.grad.clone() for parameter in optimizer.param_groups[0]["params"]])

    monkeypatch.setattr("torch.optim.Adam.step", look)
    _, _, call = build(get_peer("torch").call_styles[0], "tiny", "train_step")
    call()
    call()
    for first, second in zip(*seen, strict=True):
        assert first.abs().max() > 0
        assert first.equal(second)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("", name="torch"), 'torch is not installed: pip install "trigru[peers]" brings it.'),
        (RuntimeError("built for another CUDA"), "RuntimeError: built for another CUDA"),
    ],
)
def test_a_library_that_cannot_be_had_is_named(monkeypatch, error, message):
    def refuse(*_):
        raise error

    get_peer.cache_clear()
    monkeypatch.setattr("trigru.bench.arms.peers.import_module", refuse)
    with pytest.raises(UnavailableError) as caught:
        get_peer("torch")
    assert str(caught.value) == f"peer 'torch' is not available: {message}"


def test_no_peer_is_imported_unless_asked_for():
    assert run_code("import sys, trigru.bench.arms.arms; print('torch' in sys.modules)") == "False\n"
