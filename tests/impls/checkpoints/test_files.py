"""Parameters through every container and back, and what the frameworks' own readers make of them."""

import json
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization
from safetensors import safe_open
from trigru.common.config import GRUConfig
from trigru.common.errors import InputError, UnavailableError
from trigru.common.parameters.record import GRUParams, random_params
from trigru.impls import equinox, get_port, linen
from trigru.impls.checkpoints import convert, layouts, read, write
from trigru.impls.checkpoints.containers import CONTAINERS

from ...support.arrays import same_bits
from .support import NO_CARRY, PARAMS

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
    assert (found.layout, found.notes) == (layout, ())
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


def test_safetensors_say_their_layout_and_canonical_ones_are_those_of_GRUParams(tmp_path):
    for layout, said in (("torch", "torch"), ("canonical", "GRUParams")):
        write(tmp_path / "p.safetensors", PARAMS, layout)
        with safe_open(tmp_path / "p.safetensors", "numpy") as file:
            assert file.metadata() == {"format": f"trigru.{said}", "version": "1"}
    assert same_bits(GRUParams.open(tmp_path / "p.safetensors"), PARAMS)


@pytest.mark.parametrize(
    ("name", "layout", "message"),
    [
        ("p.bin", None, r"unknown suffix '\.bin'\. Known: \.safetensors, \.msgpack, \.eqx"),
        ("p", None, "no suffix, which would tell the type of file"),
        ("p.safetensors", None, "can hold several layouts. Name one: canonical, linen, nnx, equinox or torch"),
        ("p.eqx", "linen", "Equinox files hold the layout equinox alone. Write linen to .safetensors or .msgpack"),
        ("p.msgpack", "torch", "msgpack files hold the layout linen or nnx alone. Write torch to .safetensors or .pt"),
        ("there.eqx", None, "is a folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_said(tmp_path, name, layout, message):
    (tmp_path / "there.eqx").mkdir()
    with pytest.raises(InputError, match=message):
        write(tmp_path / name, PARAMS, layout)
    assert [path.name for path in tmp_path.iterdir()] == ["there.eqx"]


def test_bad_parameters_are_not_written_and_what_is_not_installed_is_named(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="not written: as canonical: bias has values that are not finite"):
        write(tmp_path / "p.eqx", PARAMS._replace(bias=np.full(9, np.inf, "f4")))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UnavailableError, match="torch files need torch, which is not installed: uv run --extra peers"):
        write(tmp_path / "p.pt", PARAMS)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "p.pt").write_bytes(b"")
    with pytest.raises(UnavailableError, match="torch files need torch"):
        read(tmp_path / "p.pt")


def test_another_byte_order_becomes_this_machines(tmp_path):
    swapped = GRUParams(*(array.astype(">f4") for array in PARAMS))
    for name, layout in (("p.safetensors", "linen"), ("p.msgpack", "linen"), ("p.eqx", "equinox")):
        write(tmp_path / name, swapped, layout)
        assert same_bits(read(tmp_path / name).params, PARAMS)
    eqx.tree_serialise_leaves(tmp_path / "p.eqx", [np.asfortranarray(array) for array in swapped])
    assert same_bits(read(tmp_path / "p.eqx").params, PARAMS)
