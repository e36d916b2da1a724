"""Files that are damaged, or that mean harm."""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import equinox as eqx
import msgpack
import numpy as np
import pytest
from trigru.common.config import GRUConfig
from trigru.common.errors import TrigruError
from trigru.common.parameters.record import random_params
from trigru.impls.checkpoints import read, write

from .support import PARAMS


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


def test_reading_a_torch_file_runs_nothing(tmp_path, payload):
    torch = pytest.importorskip("torch")
    (tmp_path / "p.pt").write_bytes(payload)
    torch.save({"weight_ih_l0": Payload(tmp_path / "run")}, tmp_path / "q.pt")
    for name in ("p.pt", "q.pt"):
        assert refused(tmp_path / name, "not a readable torch file")


@pytest.mark.parametrize(
    ("suffix", "layout"),
    [(".safetensors", "torch"), (".npz", "linen"), (".msgpack", "nnx"), (".eqx", "equinox"), (".pt", "torch")],
)
def test_a_truncated_file_is_refused(tmp_path, suffix, layout):
    if suffix == ".pt":
        pytest.importorskip("torch")
    path = tmp_path / f"p{suffix}"
    write(path, PARAMS, layout)
    content = path.read_bytes()
    for length in [0, 1, 7, 20, *range(100, len(content) - 1, len(content) // 12), len(content) - 1]:
        path.write_bytes(content[:length])
        assert refused(path)


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


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_an_orbax_folder_with_a_pipe_or_a_link_is_not_waited_for(tmp_path, make):
    write(tmp_path / "p.orbax", PARAMS, "nnx")
    make(tmp_path / "p.orbax" / "d" / "extra")
    assert refused(tmp_path / "p.orbax", "has extra, which is neither a file nor a folder")


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
    assert "Traceback" not in found.stderr, "Orbax logs some"
    assert not (tmp_path / "p.npz").exists()


def test_a_disk_that_is_full_is_said_in_a_sentence(tmp_path):
    """Files can have 20 kB alone, which Orbax finds out in threads of its own."""
    random_params(GRUConfig(64, 64)).save(tmp_path / "p.safetensors")
    command = f"ulimit -f 20; {sys.executable} -m trigru.bench.cli convert p.safetensors p.orbax --to nnx"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (found.returncode, found.stderr.count("\n")) == (2, 1), found.stderr
    assert found.stderr.startswith("error: p.orbax: not written (")
    assert [path.name for path in tmp_path.iterdir()] == ["p.safetensors"]


def test_an_archive_that_would_fill_the_memory_is_not_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", weight_ih=np.zeros((3000, 3000), "f4"))
    assert refused(tmp_path / "bomb.npz", "no parameters do. Not read")


def test_an_archive_with_a_name_twice_is_refused(tmp_path):
    write(tmp_path / "p.npz", PARAMS, "canonical")
    with zipfile.ZipFile(tmp_path / "p.npz", "a") as archive:
        archive.writestr("bias", archive.read("bias.npy"))
    assert refused(tmp_path / "p.npz", "has two arrays called bias")
