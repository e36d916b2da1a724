"""Parameters through every container and back, and what the frameworks' own readers make of them."""

import json
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx, serialization
from safetensors import safe_open
from trigru.common.config import GRUConfig
from trigru.common.errors import ArgumentError, InputError, UnavailableError
from trigru.common.parameters.record import GRUParams, random_params
from trigru.impls import equinox, get_port, linen
from trigru.impls.checkpoints import convert, layouts, read, write
from trigru.impls.checkpoints.containers import CONTAINERS

from ...support.arrays import same_bits
from .support import CONFIG, NO_CARRY, PARAMS

X = jnp.ones((1, 2, 2))
#: Each container with each layout that it takes.
FILES = [(c.suffixes[0], name) for c in CONTAINERS for name in (c.layouts or layouts())]


@pytest.mark.parametrize(("suffix", "layout"), FILES)
@pytest.mark.parametrize(("classes", "dtype"), [(None, "float32"), (None, "float16"), (4, "float64")])
def test_every_container_keeps_every_bit(tmp_path, suffix, layout, classes, dtype):
    if suffix == ".pt":
        pytest.importorskip("torch")
    params = random_params(GRUConfig(2, 3, classes, param_dtype=dtype))
    path = tmp_path / "new" / f"p{suffix}"
    assert write(path, params, layout) == layout
    found = read(path)
    assert found.layout == layout
    assert found.notes == () or suffix == ".pt"
    assert same_bits(found.params, params)
    assert list(path.parent.iterdir()) == [path], "something was left behind"


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


def test_safetensors_say_their_layout_and_canonical_ones_are_those_of_GRUParams(tmp_path):
    for layout, said in (("torch", "torch"), ("canonical", "GRUParams")):
        write(tmp_path / "p.safetensors", PARAMS, layout)
        with safe_open(tmp_path / "p.safetensors", "numpy") as file:
            assert file.metadata() == {"format": f"trigru.{said}", "version": "1"}
    assert same_bits(GRUParams.open(tmp_path / "p.safetensors"), PARAMS)


@pytest.mark.parametrize(
    ("name", "layout", "message"),
    [
        ("p.bin", None, r"unknown suffix '\.bin'\. Known: \.safetensors, \.npz, \.msgpack"),
        ("p", None, "no suffix, which would tell the type of file"),
        ("p.safetensors", None, "Choose one with layout=: canonical, linen, nnx, equinox or torch"),
        ("p.eqx", "linen", "Equinox files hold the layout equinox alone, and layout= asks for linen. Leave it out, or "
         "write linen to .safetensors, .npz, .msgpack or .orbax"),
        ("p.msgpack", "torch", "msgpack files hold the layouts linen and nnx alone, and layout= asks for torch. Say "
         "linen or nnx, or write torch to .safetensors, .npz or .pt"),
        ("there.orbax", "nnx", "is there already"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_said(tmp_path, name, layout, message):
    (tmp_path / "there.orbax").mkdir()
    with pytest.raises(InputError, match=message):
        write(tmp_path / name, PARAMS, layout)
    assert [path.name for path in tmp_path.iterdir()] == ["there.orbax"]


@pytest.mark.parametrize(("suffix", "layout"), [file for file in FILES if file[0] != ".pt"])
def test_a_layout_that_a_file_does_not_have_is_not_assumed(tmp_path, suffix, layout):
    path = tmp_path / f"p{suffix}"
    write(path, PARAMS, layout)
    for other in set(layouts()) - {layout}:
        if suffix != ".eqx" and {layout, other} == {"canonical", "equinox"}:
            assert same_bits(read(path, other).params, PARAMS), "their names are the same"
            continue
        with pytest.raises(ArgumentError, match=f"the layout {layout}.*, and source= asks for {other}. Leave it out"):
            read(path, other)


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
        read(tmp_path / "p.pt")


@pytest.mark.parametrize("name", ["p.npz", "p.safetensors", "p.msgpack", "p.orbax", "p.eqx"])
def test_another_byte_order_becomes_this_machines(name, tmp_path):
    swapped = GRUParams(*(array.astype(">f4") for array in PARAMS))
    found = convert(swapped._asdict())
    assert {array.dtype.str for array in found.params} == {"<f4"}
    write(tmp_path / name, swapped, "equinox" if name == "p.eqx" else "linen")
    assert same_bits(read(tmp_path / name).params, PARAMS)
    np.savez(tmp_path / "p.npz", **{field: np.asfortranarray(array) for field, array in swapped._asdict().items()})
    assert same_bits(read(tmp_path / "p.npz").params, PARAMS)


def test_a_file_where_a_folder_would_go_is_left_alone(tmp_path):
    (tmp_path / "p.orbax").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        write(tmp_path / "p.orbax", PARAMS, "linen")
    assert (tmp_path / "p.orbax").read_text() == "mine"
