"""Files that are damaged, or that mean harm."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import equinox as eqx
import msgpack
import numpy as np
import pytest
from trigru.common.errors import TrigruError
from trigru.impls.checkpoints import read, write

from .support import PARAMS


def require_refused(path, content=None, message=None):
    """A file with this content is refused, and not because the tests' type checker found fault with the reader."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrigruError, match=message) as error:
        read(path)
    assert "TypeCheckError" not in str(error.value)


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


def test_no_pickle_is_run(tmp_path, payload):
    whole = npy(np.empty(1, object), allow_pickle=True)  # what np.load(allow_pickle=True) would unpickle
    arrays = b"".join(npy(array) for array in PARAMS[:4]) + whole[: whole.index(b"\n") + 1] + payload
    require_refused(tmp_path / "object.eqx", arrays, "object.eqx: not a readable Equinox file .ValueError: Object arr")
    for suffix in (".eqx", ".msgpack", ".safetensors", ".pt", ".pth"):
        require_refused(tmp_path / f"p{suffix}", payload)
        with zipfile.ZipFile(tmp_path / f"zip{suffix}", "w") as archive:
            archive.writestr("p.npy", payload)
            archive.writestr("p/data.pkl", payload)
            archive.writestr("p/version", "3")
        require_refused(tmp_path / f"zip{suffix}")


@pytest.mark.parametrize(
    ("suffix", "layout"), [(".safetensors", "torch"), (".msgpack", "nnx"), (".eqx", "equinox"), (".pt", "torch")]
)
def test_a_truncated_file_is_refused(tmp_path, suffix, layout):
    if suffix == ".pt":
        pytest.importorskip("torch")
    path = tmp_path / f"p{suffix}"
    write(path, PARAMS, layout)
    content = path.read_bytes()
    for length in [0, 7, *range(100, len(content) - 1, len(content) // 6), len(content) - 1]:
        require_refused(path, content[:length])


def test_a_size_that_is_only_claimed_is_refused(tmp_path):
    huge = json.dumps({"weight_ih": {"dtype": "F32", "shape": [1 << 40, 2], "data_offsets": [0, 1 << 43]}}).encode()
    for content in (b"\xff" * 8, struct.pack("<Q", len(huge)) + huge):
        require_refused(tmp_path / "p.safetensors", content)
    for length in (b"\xff\xff\xff\xff", b"\x00\x01\x00\x00"):
        require_refused(tmp_path / "p.msgpack", b"\xdf" + length)
    header = npy(PARAMS.weight_ih).replace(b"(9, 2), }  ", b"(900000000000000, 2), }")
    magic = b"\x93NUMPY\x02\x00"
    for content in (header, magic + b"\xff\xff\xff\xff", magic + struct.pack("<I", 1 << 20) + b" " * (1 << 20)):
        require_refused(tmp_path / "p.eqx", content, "not a readable Equinox file")


@pytest.mark.parametrize(
    "tree",
    [{1: 1.0, "a": 2.0}, [1.0], {"cell": {"ir": {"kernel": "text"}}}, {"cell": {"ir": {"kernel": None}}}, 7],
    ids=["keys", "list", "text", "none", "number"],
)
def test_msgpack_of_something_else_is_refused(tmp_path, tree):
    message = "not a readable msgpack file .ValueError: Comparator|has the arrays"
    require_refused(tmp_path / "p.msgpack", msgpack.packb(tree), message)


def test_an_equinox_file_of_another_model_is_refused(tmp_path):
    path = tmp_path / "p.eqx"
    eqx.tree_serialise_leaves(path, [np.ones(2)] * 6)
    require_refused(path, message="has 6 arrays, expected 4 of a cell, 5 with an initial_carry, or 7")
    eqx.tree_serialise_leaves(path, [PARAMS.initial_carry, *PARAMS[:4]])
    require_refused(path, message=r"cell.weight_ih has shape \(3,\), expected two axes")
