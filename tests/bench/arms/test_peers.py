"""Peers: GRUs of other libraries compute the oracle's equations, or those that they say they do."""

import importlib
import os
import subprocess
import sys
from importlib.util import find_spec

import jax
import numpy as np
import pytest
from support.cli import run_code
from trigru.bench.arms.admission import NotEqualError, get_reference
from trigru.bench.arms.peers import PEERS, get_peer
from trigru.bench.arms.workloads import get_workload
from trigru.bench.results.arm import Sized
from trigru.common.errors import UnavailableError, UnknownNameError
from trigru.common.parameters.record import ClassifierParams, leaves
from trigru.common.port.programs import read_program
from trigru.common.port.task import PHASES

#: Part of benchmark ids.
STYLES = {
    "torch": ["eager", "compile"],
    "haiku": ["transform"],
    "keras": ["stateless", "train_on_batch"],
    "onnxruntime": ["session"],
}
ARMS = [(name, style) for name, styles in STYLES.items() for style in styles]
#: Phases that a style has no counterpart of.
WITHOUT = {("keras", "train_on_batch"): ("gradient", "step"), ("onnxruntime", "session"): ("gradient", "train_step")}
WORKLOADS = ["tiny", "vowels"]

# torch.compile's own, when it is first imported and at a tensor between two of its graphs
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]


@pytest.fixture(autouse=True)
def rank_promotion():
    """Keras adds biases (3H,) to (B, 3H)."""
    with jax.numpy_rank_promotion("allow"):
        yield


def find_peer(name):
    """The peer; skips where its library is not installed, and only there."""
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return get_peer(name)


@pytest.fixture(params=ARMS, ids=lambda arm: "{}[{}]".format(*arm))
def arm(request):
    """A peer and one of its styles."""
    name, style = request.param
    peer = find_peer(name)
    (found,) = (s for s in peer.call_styles if s.name == style)
    if found.missing():
        pytest.skip(found.missing())
    return peer, found


def build(style, workload, phase):
    """What is to be answered, a program, and the program called on the reference's batch."""
    expected = get_reference(get_workload(Sized(workload)), phase, "float32", steps=1)
    program = style.build(get_workload(Sized(workload)).config(phase), expected.params, phase)
    arguments = [program.put(array) for array in expected.batch.arguments(phase)]
    return expected, program, lambda: program.call(*arguments)


@pytest.mark.parametrize("name", PEERS)
def test_styles_are_pinned(name):
    peer = find_peer(name)
    assert peer.name == name
    assert [style.name for style in peer.call_styles] == STYLES[name]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_peer_passes_the_gate_or_says_why_not(arm, workload, phase):
    peer, style = arm
    if phase in WITHOUT.get((peer.name, style.name), ()):
        with pytest.raises(UnavailableError, match=f"has no {phase}"):
            build(style, workload, phase)
        return
    expected, program, call = build(style, workload, phase)
    if peer.differs:
        with pytest.raises(NotEqualError, match="not equal to the oracle"):
            expected.hold(program, call)
    else:
        assert 0 < expected.hold(program, call) <= 1
    program.wait(call())
    assert program.leaves >= (0 if peer.name == "onnxruntime" else 4), "a session holds its parameters"


@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_initial_state_is_trained(arm, workload):
    peer, style = arm
    if "train_step" in WITHOUT.get((peer.name, style.name), ()):
        return
    expected, program, call = build(style, workload, "train_step")
    start, losses = leaves(expected.params), [float(np.asarray(call())) for _ in range(3)]
    assert losses == sorted(losses, reverse=True)
    moved = leaves(program.params())["initial_carry"] - start["initial_carry"]
    assert np.abs(moved).min() > 0
    if "gradient" not in WITHOUT.get((peer.name, style.name), ()):
        _, program, call = build(style, workload, "gradient")
        _, gradient = call()
        assert np.abs(leaves(program.read(gradient))["initial_carry"]).min() > 0


@pytest.mark.parametrize("workload", WORKLOADS)
def test_parameters_are_loaded_bit_for_bit(arm, workload):
    peer, style = arm
    expected, program, _ = build(style, workload, "forward")
    got, want = leaves(program.params()), leaves(expected.params)
    if peer.differs:
        assert not np.any(got.pop("bias_n"))
        del want["bias_n"]
    assert list(got) == list(want)
    for leaf in want:
        np.testing.assert_array_equal(got[leaf], want[leaf], err_msg=leaf)


@pytest.mark.parametrize("phase", PHASES)
def test_what_xla_is_given_can_be_read(arm, phase):
    peer, style = arm
    if phase in WITHOUT.get((peer.name, style.name), ()):
        return
    expected, program, _ = build(style, "tiny", phase)
    if program.lower is None:
        assert peer.name in ("torch", "onnxruntime") or style.name == "train_on_batch"
    else:
        assert read_program(program.lower(*expected.batch.arguments(phase))).dots >= 2


def reset_before(params, x, carry=None, lengths=None):
    """Haiku's equations, of canonical parameters: n = tanh(W_in x + b_in + W_hn (r * h)), and no b_hn."""
    (W_ir, W_iz, W_in), (W_hr, W_hz, W_hn), (b_r, b_z, b_n) = (np.split(p, 3) for p in params[:3])
    h = np.broadcast_to(params.initial_carry, (len(x), len(b_r))) if carry is None else carry  # (B, H)
    outputs = []
    for t in range(x.shape[1]):
        r = 1 / (1 + np.exp(-(x[:, t] @ W_ir.T + b_r + h @ W_hr.T)))
        z = 1 / (1 + np.exp(-(x[:, t] @ W_iz.T + b_z + h @ W_hz.T)))
        n = np.tanh(x[:, t] @ W_in.T + b_n + (r * h) @ W_hn.T)
        new = (1 - z) * n + z * h
        h = new if lengths is None else np.where((t < lengths)[:, None], new, h)
        outputs.append(h)
    return h, np.stack(outputs, axis=1)


def haiku_loss(params, batch):
    """Mean squared error of the outputs, or cross-entropy of the readout; of complex parameters too."""
    if not isinstance(params, ClassifierParams):
        return np.mean((reset_before(params, batch.x)[1] - batch.targets) ** 2)
    h, _ = reset_before(params.gru, batch.x, lengths=batch.lengths)
    logits = h @ params.readout.weight.T + params.readout.bias
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.mean(log_p[np.arange(len(batch.targets)), batch.targets])


@pytest.fixture
def haiku():
    """Haiku's one style."""
    (style,) = find_peer("haiku").call_styles
    return style


def test_haiku_resets_before_the_product(haiku):
    expected, _, call = build(haiku, "tiny", "forward")
    for got, want in zip(call(), reset_before(expected.params, expected.batch.x), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
    expected, _, call = build(haiku, "vowels", "forward")
    (gru, readout), batch = expected.params, expected.batch
    h, _ = reset_before(gru, batch.x, lengths=batch.lengths)
    np.testing.assert_allclose(call(), h @ readout.weight.T + readout.bias, rtol=0, atol=1e-5)


def test_haiku_steps_from_the_carry(haiku):
    expected, _, call = build(haiku, "vowels", "step")
    carry, output = call()
    want, _ = reset_before(expected.params, expected.batch.x[:, :1], expected.batch.carry)
    np.testing.assert_allclose(carry, want, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(output, carry)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_haikus_gradient_is_that_of_its_equations(haiku, workload):
    expected, program, call = build(haiku, workload, "gradient")
    loss, gradient = call()
    direction = jax.tree.map(lambda p: np.random.default_rng(p.size).normal(size=p.shape), expected.params)
    ahead = jax.tree.map(lambda p, v: p + 1e-20j * v, expected.params, direction)
    found = haiku_loss(ahead, expected.batch)  # the complex step: its imaginary part is the derivative along v
    np.testing.assert_allclose(loss, found.real, rtol=1e-5)
    pairs = zip(leaves(program.read(gradient)).values(), leaves(direction).values(), strict=True)
    np.testing.assert_allclose(sum(np.sum(g * v) for g, v in pairs), found.imag / 1e-20, rtol=1e-3)


def test_a_train_step_of_torch_follows_the_gradient_of_its_own_call_alone(monkeypatch):
    style, seen = find_peer("torch").call_styles[0], []

    def look(optimizer):
        """Moves nothing, so that the next call has the same gradient."""
        seen.append([parameter.grad.clone() for parameter in optimizer.param_groups[0]["params"]])

    monkeypatch.setattr("torch.optim.Adam.step", look)
    _, _, call = build(style, "tiny", "train_step")
    call()
    call()
    for first, second in zip(*seen, strict=True):
        assert first.abs().max() > 0
        assert first.equal(second)


def test_torch_says_that_it_has_no_compiler(monkeypatch):
    style = find_peer("torch").call_styles[1]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert style.missing() == "torch.compile needs a C++ compiler on a CPU, and no-such-compiler is not on the path."


def test_keras_on_another_backend_is_not_timed():
    find_peer("keras")
    code = "from trigru.bench.arms.peers import get_peer; get_peer('keras')"
    environment = os.environ | {"KERAS_BACKEND": "torch"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "UnavailableError: peer 'keras' is not available: ImportError: KERAS_BACKEND is 'torch'" in done.stderr


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("No module named 'gru'", name="gru"), "gru is not installed: uv run --extra peers trigru"),
        (RuntimeError("built for another CUDA"), "is not available: RuntimeError: built for another CUDA"),
    ],
)
def test_a_library_that_cannot_be_had_is_named(monkeypatch, name, error, message):
    def refuse(*_):
        raise error

    get_peer.cache_clear()
    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(UnavailableError) as caught:
        get_peer(name)
    assert message in str(caught.value)


def test_unknown_peers_are_refused():
    with pytest.raises(UnknownNameError, match="unknown peer 'tensorflow'. Known: torch, haiku, keras, onnxruntime"):
        get_peer("tensorflow")


def test_no_peer_is_imported_unless_asked_for():
    code = f"import sys, trigru.bench.arms.peers; print(sorted({set(PEERS)} & set(sys.modules)))"
    assert run_code(code) == "[]\n"
