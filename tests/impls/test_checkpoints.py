"""Parameters between frameworks, in memory and through every container, and files that mean harm."""

import io
import json
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import msgpack
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx, serialization
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from trigru.common.config import GRUConfig
from trigru.common.errors import InputError, TrigruError, UnavailableError, UnknownNameError
from trigru.common.parameters.layouts import TORCH
from trigru.common.parameters.record import GRUParams, config_of, leaves, random_params
from trigru.impls import equinox, get_port, linen
from trigru.impls import nnx as nnx_port
from trigru.impls.checkpoints import convert, layouts, read, write
from trigru.impls.checkpoints.containers import CONTAINERS
from trigru.impls.upstream import get_upstream

CONFIG = GRUConfig(2, 3)
PARAMS = random_params(CONFIG)
NO_CARRY = "it has no initial_carry: the initial state is 0."
FRAMEWORKS = ("linen", "nnx", "equinox")
DTYPES = ("float32", "float64", "float16")
#: Each container with each layout that it takes.
FILES = [(c.suffixes[0], name) for c in CONTAINERS for name in (c.layouts or layouts())]


def need(suffix):
    if suffix == ".pt":
        pytest.importorskip("torch")


def same_bits(found, expected):
    """Whether two records have the same names, dtypes and bits."""
    found, expected = leaves(found), leaves(expected)
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert np.asarray(found[name]).tobytes() == np.asarray(array).tobytes(), name
    return True


# In memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [None, 4])
@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_model_of_every_framework_is_recognised(name, classes, dtype):
    config = GRUConfig(2, 3, classes, param_dtype=dtype)
    params = random_params(config)
    with jax.enable_x64(dtype == "float64"):
        found = convert(get_port(name).load(config, params))
    assert found.layout == name
    assert found.notes == ()
    assert same_bits(found.params, params)
    assert config_of(found.params) == config


@pytest.mark.parametrize("classes", [None, 4])
@pytest.mark.parametrize("target", ["canonical", *FRAMEWORKS, "torch"])
@pytest.mark.parametrize("source", ["canonical", *FRAMEWORKS, "torch"])
def test_every_layout_becomes_every_other_bit_for_bit(source, target, classes):
    params = random_params(GRUConfig(2, 3, classes))
    there = convert(convert(params_in(source, params)).to(target))
    assert there.layout == target
    assert there.notes == ()
    assert same_bits(there.params, params)


def params_in(layout, params):
    return convert(layouts()["canonical"].flat(params)).to(layout)


def test_a_tree_is_what_the_framework_loads():
    found, x = convert(PARAMS._asdict()), jnp.ones((2, 5, 2))
    gru = linen.GRU(3)
    _, expected = gru.apply({"params": found.to("linen")}, x)
    model = nnx_port.GRU(2, 3, rngs=nnx.Rngs(0))
    nnx.update(model, jax.tree.map(jnp.asarray, found.to("nnx")))
    np.testing.assert_allclose(model(x)[1], expected, atol=1e-6)


class CompactGRU(nn.Module):
    """A linen user's, as in the README."""

    @nn.compact
    def __call__(self, x):
        self.param("initial_carry", nn.initializers.normal(), (3,))
        return nn.RNN(nn.GRUCell(3))(x)


X = jnp.ones((1, 2, 2))


@pytest.mark.parametrize(
    ("tree", "layout", "notes"),
    [
        (lambda: CompactGRU().init(jax.random.key(0), X), "linen", ()),
        (lambda: nn.RNN(nn.GRUCell(3)).init(jax.random.key(0), X), "linen", (NO_CARRY,)),
        (lambda: get_upstream("linen").PORT.make(CONFIG, jax.random.key(0)).params, "linen", ()),
        (lambda: eqx.nn.GRUCell(2, 3, key=jax.random.key(0)), "canonical", (NO_CARRY,)),
        (lambda: get_upstream("equinox").PORT.make(CONFIG, jax.random.key(0)), "equinox", ()),
    ],
    ids=["compact", "nn.RNN", "in-setup", "eqx.nn.GRUCell", "scan"],
)
def test_the_frameworks_own_parts_are_recognised(tree, layout, notes):
    tree = tree()
    found = convert(tree)
    assert (found.layout, found.notes) == (layout, notes)
    size = sum(leaf.size for leaf in jax.tree.leaves(tree)) + (3 if notes else 0)
    assert sum(array.size for array in leaves(found.params).values()) == size


def nnx_cell_without_b_hn():
    """The installed flax's, whose b_hn is taken away where it has one."""
    cell = nnx.GRUCell(2, 3, bias_init=nnx.initializers.normal(), rngs=nnx.Rngs(0))
    for name, value in list(vars(cell).items()):
        if isinstance(value, nnx.Param):
            delattr(cell, name)
    return cell


@pytest.mark.parametrize("rngs", [False, True])
def test_nnx_without_b_hn_has_zeros_there_which_is_said(rngs):
    state = nnx.state(nnx.RNN(nnx_cell_without_b_hn(), rngs=rngs))
    found = convert(state)
    assert found.layout == "nnx"
    assert "it has no hn_bias, as flax's own nnx.GRUCell has none: b_hn is 0." in found.notes
    assert any("rngs" in note for note in found.notes) == rngs
    assert not found.params.bias_n.any()
    assert found.params.bias.all()
    np.testing.assert_array_equal(found.params.weight_hh.T, state["cell"]["dense_h"]["kernel"][...])
    nested = convert({"rnn": nnx.to_pure_dict(state), "initial_carry": np.ones(3, "f4")})  # as in the README
    assert same_bits(nested.params, found.params._replace(initial_carry=np.ones(3, "f4")))


def test_nnx_with_b_hn_keeps_it():
    model = get_port("nnx").load(CONFIG, PARAMS)
    for tree in (model, nnx.state(model), nnx.to_pure_dict(nnx.state(model)), nnx.state(model, nnx.Param)):
        found = convert(tree)
        assert (found.layout, found.notes) == ("nnx", ())
        assert same_bits(found.params, PARAMS)


def test_equinox_without_biases():
    found = convert({"cell": eqx.nn.GRUCell(2, 3, use_bias=False, key=jax.random.key(0))})
    assert found.notes == ("it has no biases: they are 0.", NO_CARRY)
    assert found.layout == "equinox"


def test_a_layout_can_be_insisted_on():
    tree = TORCH.flat(PARAMS)
    assert convert(tree, "torch").layout == "torch"
    with pytest.raises(InputError, match="which no layout has. Expected one .*: linen has ir.kernel"):
        convert(tree, "linen")
    with pytest.raises(UnknownNameError, match="unknown layout 'keras'. Known: canonical, linen, nnx, equinox, torch"):
        convert(tree, "keras")


def test_a_port_of_a_third_party_has_its_layout_by_itself(monkeypatch):
    from dataclasses import replace

    class Third:
        layout = replace(TORCH, name="third")

    monkeypatch.setattr("trigru.impls.checkpoints.port_names", lambda: ["third"])
    monkeypatch.setattr("trigru.impls.checkpoints.unavailable", lambda name: None)
    monkeypatch.setattr("trigru.impls.checkpoints.get_port", lambda name: Third)
    assert list(layouts()) == ["canonical", "third", "torch"]


def test_a_layout_of_a_missing_framework_says_so(monkeypatch):
    monkeypatch.setattr("trigru.impls.checkpoints.unavailable", lambda name: "no such framework here")
    assert list(layouts()) == ["canonical", "torch"]
    with pytest.raises(UnavailableError, match="layout 'nnx' is not available: no such framework here"):
        convert(PARAMS._asdict()).to("nnx")


# On disk ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "layout"), FILES)
@pytest.mark.parametrize("config", [CONFIG, GRUConfig(2, 3, 4, param_dtype="float64")], ids=["gru", "classifier"])
def test_every_container_keeps_every_bit(tmp_path, suffix, layout, config):
    need(suffix)
    params = random_params(config)
    path = tmp_path / "new" / f"p{suffix}"
    assert write(path, params, layout) == layout
    found = read(path, allow_pickle=suffix == ".pt")
    assert found.layout == layout
    assert same_bits(found.params, params)
    assert list(path.parent.iterdir()) == [path], "something was left behind"


@pytest.mark.parametrize("dtype", DTYPES)
def test_through_every_framework_and_back(tmp_path, dtype):
    """From torch to Equinox, linen, NNX and torch."""
    params = random_params(GRUConfig(2, 3, param_dtype=dtype))
    start = TORCH.flat(params)
    save_file({name: np.ascontiguousarray(array) for name, array in start.items()}, tmp_path / "torch.safetensors")
    stations = ["torch.safetensors", "m.eqx", "m.msgpack", "m.orbax", "again.safetensors"]
    for source, target, layout in zip(stations, stations[1:], ["equinox", "linen", "nnx", "torch"], strict=False):
        found = read(tmp_path / source)
        assert found.notes == ()
        write(tmp_path / target, found.params, layout)
    end = load_file(tmp_path / "again.safetensors")
    assert set(end) == set(start)
    for name, array in start.items():
        assert end[name].dtype == array.dtype
        assert end[name].tobytes() == array.tobytes(), name


def test_equinox_reads_what_is_written_and_writes_what_is_read(tmp_path):
    write(tmp_path / "written.eqx", PARAMS)
    like = equinox.GRU(2, 3, key=jax.random.key(0))
    model = eqx.tree_deserialise_leaves(tmp_path / "written.eqx", like)
    assert same_bits(get_port("equinox").dump(model), PARAMS)
    with (tmp_path / "model.eqx").open("wb") as file:
        file.write(json.dumps({"hidden_size": 3}).encode() + b"\n")
        eqx.tree_serialise_leaves(file, model)
    assert same_bits(read(tmp_path / "model.eqx").params, PARAMS)
    eqx.tree_serialise_leaves(tmp_path / "cell.eqx", model.cell)
    assert read(tmp_path / "cell.eqx").notes == (NO_CARRY,)


def test_flax_reads_what_is_written_and_writes_what_is_read(tmp_path):
    write(tmp_path / "written.msgpack", PARAMS, "linen")
    variables = linen.GRU(3).init(jax.random.key(0), X)
    params = serialization.from_bytes(variables["params"], (tmp_path / "written.msgpack").read_bytes())
    assert same_bits(convert(params).params, PARAMS)
    (tmp_path / "variables.msgpack").write_bytes(serialization.to_bytes({"params": params}))
    assert same_bits(read(tmp_path / "variables.msgpack").params, PARAMS)


@pytest.mark.parametrize("name", ["linen", "nnx"])
def test_orbax_reads_what_is_written_and_writes_what_is_read(tmp_path, name):
    model = get_port(name).load(CONFIG, PARAMS)
    tree = nnx.state(model) if name == "nnx" else {"params": model.params}
    write(tmp_path / "written.orbax", PARAMS, name)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "saved", tree)
        checkpointer.wait_until_finished()
        target = nnx.to_pure_dict(tree) if name == "nnx" else model.params
        restored = checkpointer.restore(tmp_path / "written.orbax", target)
    assert same_bits(convert(restored).params, PARAMS)
    (tmp_path / "step").mkdir()
    (tmp_path / "saved").rename(tmp_path / "step" / "default")  # as a CheckpointManager has it
    found = read(tmp_path / "step")
    assert (found.layout, found.notes) == (name, ())
    assert same_bits(found.params, PARAMS)


def test_canonical_safetensors_are_those_of_GRUParams(tmp_path):
    write(tmp_path / "p.safetensors", PARAMS, "canonical")
    assert same_bits(GRUParams.open(tmp_path / "p.safetensors"), PARAMS)
    with safe_open(tmp_path / "p.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "trigru.GRUParams", "version": "1"}


def test_safetensors_of_another_layout_do_not_say_they_are_canonical(tmp_path):
    write(tmp_path / "p.safetensors", PARAMS, "torch")
    with safe_open(tmp_path / "p.safetensors", "numpy") as file:
        assert file.metadata()["format"] == "trigru.torch"


@pytest.mark.parametrize(
    ("name", "layout", "message"),
    [
        ("p.bin", None, r"unknown suffix '\.bin'\. Known: \.safetensors, \.npz, \.msgpack"),
        ("p", None, "unknown suffix ''"),
        ("p.safetensors", None, r"say in which layout, with --to \(layout=\): canonical, linen, nnx, equinox, torch"),
        ("p.eqx", "linen", "Equinox files hold equinox, not linen"),
        ("p.msgpack", "torch", "msgpack files hold linen or nnx, not torch"),
        ("there.orbax", "nnx", "is there already"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path, name, layout, message):
    (tmp_path / "there.orbax").mkdir()
    with pytest.raises(InputError, match=message):
        write(tmp_path / name, PARAMS, layout)
    assert [path.name for path in tmp_path.iterdir()] == ["there.orbax"]


def test_bad_parameters_are_not_written(tmp_path):
    with pytest.raises(InputError, match="not written: as canonical: bias has values that are not finite"):
        write(tmp_path / "p.eqx", PARAMS._replace(bias=np.full(9, np.inf, "f4")))
    with pytest.raises(InputError, match=r"not written: as canonical: bias has shape \(2,\)"):
        write(tmp_path / "p.eqx", PARAMS._replace(bias=np.ones(2, "f4")))
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UnavailableError, match="torch files need torch, which is not installed: uv run --extra peers"):
        write(tmp_path / "p.pt", PARAMS)
    (tmp_path / "p.pt").write_bytes(b"")
    with pytest.raises(UnavailableError, match="torch files need torch"):
        read(tmp_path / "p.pt", allow_pickle=True)


# torch --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"bias": False}], ids=["biases", "none"])
def test_every_port_computes_what_the_torch_gru_did(tmp_path, dtype, options):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    gru = torch.nn.GRU(2, 3, batch_first=True, dtype=getattr(torch, dtype), **options)
    x = np.random.default_rng(0).normal(size=(4, 7, 2)).astype(dtype)
    with torch.no_grad():
        expected = gru(torch.tensor(x))[0].numpy()
    torch.save(gru.state_dict(), tmp_path / "gru.pt")
    found = read(tmp_path / "gru.pt", allow_pickle=True)
    assert any("read with torch's weights_only=True" in note for note in found.notes)
    assert any("added" in note for note in found.notes) == (not options)
    assert same_bits(convert(gru.state_dict()).params, found.params)
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        for name in ("pure", *FRAMEWORKS):
            port = get_port(name)
            _, outputs = port.apply(port.load(config_of(found.params), found.params), jnp.asarray(x))
            np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-15 if dtype == "float64" else 1e-6)


def test_a_torch_state_dict_comes_back_through_every_framework(tmp_path):
    """Its r and z rows of bias_hh are zero, as after one conversion: with any others, their sum is what comes back."""
    torch = pytest.importorskip("torch")
    module = torch.nn.Module()
    module.gru, module.initial_carry = torch.nn.GRU(2, 3), torch.nn.Parameter(torch.randn(3))
    with torch.no_grad():
        module.gru.bias_hh_l0[:6] = 0
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    torch.save(before, tmp_path / "a.pt")
    for source, target, layout in (
        ("a.pt", "b.eqx", "equinox"), ("b.eqx", "c.msgpack", "linen"), ("c.msgpack", "d.npz", "nnx"),
        ("d.npz", "e.pth", "torch"),
    ):  # fmt: skip
        write(tmp_path / target, read(tmp_path / source, allow_pickle=True).params, layout)
    after = torch.load(tmp_path / "e.pth", weights_only=True)
    assert list(after) == sorted(after, key=list(after).index)
    assert set(after) == set(before)
    for name, tensor in before.items():
        assert torch.equal(after[name].view(torch.int32), tensor.view(torch.int32)), name
    module.load_state_dict(after)


@pytest.mark.parametrize("options", [{"num_layers": 2}, {"bidirectional": True}])
def test_a_torch_gru_that_is_another_model_is_refused(options):
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match="several layers|runs one way"):
        convert(torch.nn.GRU(2, 3, **options).state_dict())
    with pytest.raises(InputError, match=r"weight_hh_l0 has shape \(12, 3\), expected \(9, 3\)|weight_ih_l0 has shape"):
        convert(torch.nn.LSTM(2, 3).state_dict())
    with pytest.raises(InputError, match="weight_ih_l0 is no array that NumPy can hold"):
        convert(torch.nn.GRU(2, 3, dtype=torch.bfloat16).state_dict())


# Files that mean harm -----------------------------------------------------------------------------------------------


def refused(path, message=None, **options):
    """A file is refused, and not because the tests' type checker found fault with the reader."""
    with pytest.raises(TrigruError, match=message) as error:
        read(path, **options)
    assert "TypeCheckError" not in str(error.value)
    return True


class Payload:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def payload(tmp_path):
    """A pickle, and a check at the end that it was not run."""
    mark = tmp_path / "run"
    content = pickle.dumps(Payload(mark))
    pickle.loads(content)
    assert mark.exists(), "it works"
    mark.unlink()
    yield content
    assert not mark.exists(), "the pickle was run"


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def object_npy(payload):
    """What np.load(allow_pickle=True) would unpickle."""
    whole = npy(np.empty(1, object), allow_pickle=True)
    return whole[: whole.index(b"\n") + 1] + payload


def test_no_pickle_is_run(tmp_path, payload):
    arrays = [npy(array) for array in PARAMS]
    (tmp_path / "object.eqx").write_bytes(b"".join(arrays[:4]) + object_npy(payload))
    with zipfile.ZipFile(tmp_path / "object.npz", "w") as archive:
        for name, content in zip(PARAMS._fields, [*arrays[:4], object_npy(payload)], strict=True):
            archive.writestr(f"{name}.npy", content)
    for suffix in (".eqx", ".npz", ".msgpack", ".safetensors", ".pt", ".pth"):
        (tmp_path / f"p{suffix}").write_bytes(payload)
        with zipfile.ZipFile(tmp_path / f"zip{suffix}", "w") as archive:
            archive.writestr("p.npy", payload)
            archive.writestr("p/data.pkl", payload)
            archive.writestr("p/version", "3")
    assert refused(tmp_path / "object.eqx", "object.eqx: has an array of dtype object")
    assert refused(tmp_path / "object.npz", "object.npz: has an array of dtype object")
    for path in list(tmp_path.iterdir()):
        assert refused(path)


def test_a_torch_file_is_read_only_when_asked_for_and_even_then_runs_nothing(tmp_path, payload):
    torch = pytest.importorskip("torch")
    (tmp_path / "p.pt").write_bytes(payload)
    torch.save({"weight_ih_l0": Payload(tmp_path / "run")}, tmp_path / "q.pt")
    for name in ("p.pt", "q.pt"):
        assert refused(tmp_path / name, "torch files are pickles, and a pickle can run code")
        assert refused(tmp_path / name, "not a readable torch file", allow_pickle=True)


@pytest.mark.parametrize(
    ("suffix", "layout"),
    [(".safetensors", "torch"), (".npz", "linen"), (".msgpack", "nnx"), (".eqx", "equinox"), (".pt", "torch")],
)
def test_a_truncated_file_is_refused(tmp_path, suffix, layout):
    need(suffix)
    path = tmp_path / f"p{suffix}"
    write(path, PARAMS, layout)
    content = path.read_bytes()
    for length in [0, 1, 7, 20, *range(100, len(content) - 1, len(content) // 12), len(content) - 1]:
        path.write_bytes(content[:length])
        assert refused(path, allow_pickle=True)


def test_a_size_that_is_only_claimed_is_refused(tmp_path):
    header = npy(PARAMS.weight_ih).replace(b"(9, 2), }  ", b"(900000000000000, 2), }")
    huge = {"weight_ih": {"dtype": "F32", "shape": [1 << 40, 2], "data_offsets": [0, 1 << 43]}}
    for content in (b"\xff" * 8, struct.pack("<Q", len(json.dumps(huge))) + json.dumps(huge).encode()):
        (tmp_path / "p.safetensors").write_bytes(content)
        assert refused(tmp_path / "p.safetensors")
    (tmp_path / "p.eqx").write_bytes(header)
    assert refused(tmp_path / "p.eqx", "is truncated: an array of shape")
    for length in (b"\xff\xff\xff\xff", b"\x00\x01\x00\x00"):
        (tmp_path / "p.msgpack").write_bytes(b"\xdf" + length)
        assert refused(tmp_path / "p.msgpack")
    magic = b"\x93NUMPY\x02\x00"
    for header in (magic + b"\xff\xff\xff\xff", magic + struct.pack("<I", 1 << 20) + b" " * (1 << 20)):
        (tmp_path / "p.eqx").write_bytes(header)
        assert refused(tmp_path / "p.eqx")


@pytest.mark.parametrize(
    "tree",
    [{1: 1.0, "a": 2.0}, [1.0], {"cell": {"ir": {"kernel": "text"}}}, {"cell": {"ir": {"kernel": None}}}, 7],
    ids=["keys", "list", "text", "none", "number"],
)
def test_msgpack_of_something_else_is_refused(tmp_path, tree):
    (tmp_path / "p.msgpack").write_bytes(msgpack.packb(tree))
    assert refused(tmp_path / "p.msgpack", "not a readable msgpack file .ValueError: Comparator|has the arrays")


def test_an_equinox_file_of_another_model_is_refused(tmp_path):
    eqx.tree_serialise_leaves(tmp_path / "p.eqx", [np.ones(2)] * 6)
    assert refused(tmp_path / "p.eqx", "has 6 arrays, expected 4 of a cell, 5 with an initial_carry, or 7")
    eqx.tree_serialise_leaves(tmp_path / "p.eqx", [PARAMS.initial_carry, *PARAMS[:4]])
    assert refused(tmp_path / "p.eqx", r"cell.weight_ih has shape \(3,\), expected two axes")


def test_orbax_folders_that_are_none_or_lead_elsewhere_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty", "empty: not a readable Orbax folder")
    write(tmp_path / "p.orbax", PARAMS, "nnx")
    metadata = tmp_path / "p.orbax" / "_METADATA"
    text = metadata.read_text()
    assert '"hn_bias"' in text
    metadata.write_text(text.replace('"hn_bias"', f'"{tmp_path}/elsewhere"'))
    assert refused(tmp_path / "p.orbax", "elsewhere', which is a path")
    metadata.write_text("{")
    assert refused(tmp_path / "p.orbax", "not a readable Orbax folder")


def test_a_truncated_orbax_folder_is_refused(tmp_path):
    """In a process of its own: Orbax leaves reads behind that complain when they end, at some later time."""
    write(tmp_path / "p.orbax", PARAMS, "nnx")
    for file in (tmp_path / "p.orbax").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:20])
    command = [sys.executable, "-m", "trigru.bench.cli", "convert", "p.orbax", "p.npz"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert found.returncode == 2, found.stderr
    assert "p.orbax: not a readable Orbax folder" in found.stderr
    assert not (tmp_path / "p.npz").exists()


def test_a_missing_file_is_named(tmp_path):
    assert refused(tmp_path / "absent.eqx", "absent.eqx: No such file or directory")


@pytest.mark.parametrize("name", ["p.npz", "p.safetensors", "p.msgpack", "p.orbax", "p.eqx"])
def test_another_byte_order_becomes_this_machines(name, tmp_path):
    swapped = GRUParams(*(array.astype(">f4") for array in PARAMS))
    found = convert(swapped._asdict())
    assert {array.dtype.str for array in found.params} == {"<f4"}
    write(tmp_path / name, swapped, "equinox" if name == "p.eqx" else "linen")
    assert same_bits(read(tmp_path / name).params, PARAMS)


def test_an_archive_that_would_fill_the_memory_is_not_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", weight_ih=np.zeros((3000, 3000), "f4"))
    assert refused(tmp_path / "bomb.npz", "no parameters do. Not read")


def test_an_archive_with_a_name_twice_is_refused(tmp_path):
    write(tmp_path / "p.npz", PARAMS, "canonical")
    with zipfile.ZipFile(tmp_path / "p.npz", "a") as archive:
        archive.writestr("bias", archive.read("bias.npy"))
    assert refused(tmp_path / "p.npz", "has two arrays called bias")


def test_a_file_where_a_folder_would_go_is_left_alone(tmp_path):
    (tmp_path / "p.orbax").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        write(tmp_path / "p.orbax", PARAMS, "linen")
    assert (tmp_path / "p.orbax").read_text() == "mine"


def test_a_file_of_another_byte_order_is_read(tmp_path):
    swapped = GRUParams(*(np.asfortranarray(array.astype(">f4")) for array in PARAMS))
    np.savez(tmp_path / "p.npz", **swapped._asdict())
    assert same_bits(read(tmp_path / "p.npz").params, PARAMS)
