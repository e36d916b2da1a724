"""Parameters between frameworks in memory, through every container and back, and by the frameworks' own readers."""

import io
import json
import pickle
import struct
import sys
import zipfile
from functools import partial
from pathlib import Path

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import msgpack
import numpy as np
import pytest
from flax import nnx, serialization
from safetensors import safe_open
from support.cases import assert_bits, assert_near, same_bits
from support.departures import EquinoxCellPort, LinenRNNPort
from trigru.common.config import GRUConfig
from trigru.common.errors import InputError, TrigruError, UnavailableError
from trigru.common.parameters.layouts import TORCH, Layout
from trigru.common.parameters.recognition import places_of, recognise
from trigru.common.parameters.record import GRUParams, config_of, leaves, random_params
from trigru.impls import get_port
from trigru.impls.checkpoints import (
    CONTAINERS,
    convert,
    exchange,
    exchange_in_file,
    layouts,
    read,
    write,
)

CONFIG = GRUConfig(2, 3)
PARAMS = random_params(CONFIG)
NO_CARRY = "it has no initial_carry: the initial state is 0."
FRAMEWORKS = ("linen", "nnx", "equinox")
NO_BIASES = ("it has no biases: they are 0.", NO_CARRY)
X = jnp.ones((1, 2, 2))
OWN_NAMES = {"weight_ih": "Wi", "weight_hh": "Wh", "bias": "bi", "bias_n": "bn"}
LAYOUTS = layouts()
#: By the layout of a model, rows of a stranger's that fit a part of it, or the whole, and where that has its cell.
STRANGERS = [
    ("nnx", LAYOUTS["nnx"].rows[:-1], "cell."),
    ("equinox", LAYOUTS["equinox"].rows[:-1], "cell."),
]


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_model_of_every_framework_is_recognised(name):
    model = get_port(name).load(CONFIG, PARAMS)
    trees = [model]
    if name == "nnx":
        trees += [nnx.state(model), nnx.to_pure_dict(nnx.state(model))]
    for converted in map(convert, trees):
        assert (converted.layout, converted.notes) == (name, ())
        assert same_bits(converted.params, PARAMS)
        assert config_of(converted.params) == CONFIG


class CompactGRU(nn.Module):
    """A linen user's, as in the README."""

    @nn.compact
    def __call__(self, x):
        self.param("initial_carry", nn.initializers.normal(), (3,))
        return nn.RNN(nn.GRUCell(3))(x)


#: A part, its layout, and what is said of it.
@pytest.mark.parametrize(
    ("make", "layout", "notes"),
    [
        (lambda: CompactGRU().init(jax.random.key(0), X), "linen", ()),
        (
            lambda: nn.RNN(nn.GRUCell(3)).init(jax.random.key(0), X),
            "linen",
            (NO_CARRY,),
        ),
        (
            lambda: LinenRNNPort().make(CONFIG, jax.random.key(0)).params,
            "linen",
            (),
        ),
        (lambda: eqx.nn.GRUCell(2, 3, key=jax.random.key(0)), "canonical", (NO_CARRY,)),
        (
            lambda: {"cell": eqx.nn.GRUCell(2, 3, False, key=jax.random.key(0))},
            "equinox",
            NO_BIASES,
        ),
        (
            lambda: EquinoxCellPort().make(CONFIG, jax.random.key(0)),
            "equinox",
            (),
        ),
    ],
)
def test_the_frameworks_own_parts_are_recognised(make, layout, notes):
    tree = make()
    found = convert(tree)
    assert (found.layout, found.notes) == (layout, notes)
    size = (
        sum(leaf.size for leaf in jax.tree.leaves(tree))
        + {(): 0, (NO_CARRY,): 3, NO_BIASES: 15}[notes]
    )
    assert sum(array.size for array in leaves(found.params).values()) == size


@pytest.mark.parametrize("rngs", [False, True])
def test_nnx_without_b_hn_has_zeros_there_which_is_said(rngs):
    cell = nnx.GRUCell(2, 3, bias_init=nnx.initializers.normal(), rngs=nnx.Rngs(0))
    for name in [
        name for name, value in vars(cell).items() if isinstance(value, nnx.Param)
    ]:
        delattr(cell, name)  # b_hn, where the installed Flax has it
    state = nnx.state(nnx.RNN(cell, rngs=rngs))
    found = convert(state)
    assert found.layout == "nnx"
    assert (
        "it has no hn_bias, as flax's own nnx.GRUCell has none: b_hn is 0."
        in found.notes
    )
    assert any("rngs" in note for note in found.notes) == rngs
    assert not found.params.bias_n.any()
    assert found.params.bias.all()
    assert_bits(found.params.weight_hh.T, state["cell"]["dense_h"]["kernel"][...])
    nested = convert(
        {"rnn": nnx.to_pure_dict(state), "initial_carry": np.ones(3, "f4")}
    )  # as in the README
    assert same_bits(
        nested.params, found.params._replace(initial_carry=np.ones(3, "f4"))
    )


def test_the_layout_of_a_port_that_is_not_available_is_not_known(monkeypatch):
    monkeypatch.setattr(
        "trigru.impls.checkpoints.unavailable", {"nnx": "no such framework here"}.get
    )
    assert list(layouts()) == ["canonical", "linen", "equinox", "torch"]
    with pytest.raises(
        UnavailableError, match="layout 'nnx' is not available: no such framework here"
    ):
        convert(PARAMS._asdict()).to("nnx")


STRANGERS += [
    (of, [row._replace(name=f"cell.{row.name}") for row in LAYOUTS[of].rows], "")
    for of in FRAMEWORKS
]


@pytest.mark.parametrize(("name", "rows", "cell"), STRANGERS)
def test_a_strangers_layout_with_rows_of_ours_takes_no_model_away(name, rows, cell):
    known = [Layout("stranger", "A stranger's", tuple(rows), cell), *LAYOUTS.values()]
    model = get_port(name).load(CONFIG, PARAMS)
    params, layout, notes = recognise(model, known)
    assert (layout.name, notes) == (name, ())
    assert same_bits(params, PARAMS)
    assert places_of({"a": LAYOUTS[name].tree(PARAMS)}, known) == ["a"]


def test_grus_with_names_of_their_own_are_exchanged_within_a_training_state():
    """Their matrices are for row vectors."""
    own = {name: getattr(PARAMS, field).T for field, name in OWN_NAMES.items()}
    agent = {"actor": own, "actor2": own, "Dense_1": {"kernel": np.ones((3, 1), "f4")}}
    state = {
        "params": agent,
        "opt": {
            "0": {
                "count": np.ones(()),
                "mu": {"params": agent},
                "nu": {"params": agent},
            }
        },
    }
    trees = ("params", "opt/0/mu/params", "opt/0/nu/params")
    grus = [f"{tree}/{name}" for tree in trees for name in ("actor", "actor2")]
    new, found = exchange(state, "linen", grus, OWN_NAMES)
    assert same_bits(
        found["params/actor2"].params, PARAMS._replace(initial_carry=np.zeros(3, "f4"))
    )
    linen = layouts()["linen"].tree(PARAMS)
    del linen["initial_carry"]  # one without an initial carry gets none
    for tree in (
        new["params"],
        new["opt"]["0"]["mu"]["params"],
        new["opt"]["0"]["nu"]["params"],
    ):
        assert list(tree) == list(agent)
        for name in ("actor", "actor2"):
            jax.tree.map(assert_bits, tree[name], linen)
        assert_bits(tree["Dense_1"]["kernel"], agent["Dense_1"]["kernel"])
    again, found = exchange(new, "linen")
    assert sorted(found) == sorted(place.replace("/", ".") for place in grus), (
        "all are found by themselves"
    )
    assert jax.tree.structure(again) == jax.tree.structure(new)


@pytest.mark.parametrize("at", ["rnn", "a.rnn"])
def test_an_array_with_the_name_of_a_place_stays(at):
    beside = {"rnn": np.ones(2), "a": np.ones(3)}
    new, _ = exchange(
        beside | {f"{at}.{name}": leaf for name, leaf in PARAMS._asdict().items()},
        "torch",
        [at],
    )
    assert new == beside | {
        f"{at}.{name}": new[f"{at}.{name}"] for name in TORCH.flat(PARAMS)
    }


def test_of_many_keys_where_a_place_is_no_dict_some_are_named():
    tree = {f"k{number}": np.ones(1) for number in range(10)} | {
        "a": [PARAMS._asdict()]
    }
    with pytest.raises(
        InputError,
        match=r"no dict with the key a\.0\. Its keys there: k0, .*, k7 and 3 more\.$",
    ):
        exchange(tree, "torch", ["a.0"])


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "layout"),
    [(c.suffixes[0], name) for c in CONTAINERS for name in (c.layouts or layouts())],
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_every_container_keeps_every_bit(tmp_path, suffix, layout, dtype):
    if suffix == ".pt":
        pytest.importorskip("torch")
    params = random_params(GRUConfig(2, 3, param_dtype=dtype))
    path = tmp_path / "new" / f"p{suffix}"
    assert write(path, params, layout) == layout
    found = read(path)
    assert (found.layout, found.notes) == (layout, ())
    assert same_bits(found.params, params)
    assert list(path.parent.iterdir()) == [path], "something was left behind"


def test_files_of_the_frameworks_own_writers_are_read(tmp_path):
    """Their own readers read ours in docs/convert.md."""
    model = get_port("equinox").load(CONFIG, PARAMS)
    with (tmp_path / "model.eqx").open("wb") as file:
        file.write(json.dumps({"hidden_size": 3}).encode() + b"\n")
        eqx.tree_serialise_leaves(file, model)
    eqx.tree_serialise_leaves(tmp_path / "cell.eqx", model.cell)
    assert read(tmp_path / "cell.eqx").notes == (NO_CARRY,)
    variables = {"params": get_port("linen").load(CONFIG, PARAMS).params}
    (tmp_path / "model.msgpack").write_bytes(serialization.to_bytes(variables))
    for name in ("model.eqx", "model.msgpack"):
        assert same_bits(read(tmp_path / name).params, PARAMS)


def test_safetensors_say_their_layout_and_canonical_ones_are_those_of_GRUParams(
    tmp_path,
):
    for layout, said in (("torch", "torch"), ("canonical", "GRUParams")):
        write(tmp_path / "p.safetensors", PARAMS, layout)
        with safe_open(tmp_path / "p.safetensors", "numpy") as file:
            assert file.metadata() == {"format": f"trigru.{said}", "version": "1"}
    assert same_bits(GRUParams.open(tmp_path / "p.safetensors"), PARAMS)


def test_bad_parameters_are_not_written_and_what_is_not_installed_is_named(
    tmp_path, monkeypatch
):
    with pytest.raises(
        InputError,
        match="not written: as canonical: bias has values that are not finite",
    ):
        write(tmp_path / "p.eqx", PARAMS._replace(bias=np.full(9, np.inf, "f4")))
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "p.pt").write_bytes(b"")
    for use in (partial(write, params=PARAMS), read):
        with pytest.raises(
            UnavailableError,
            match="torch files: torch is not installed. To install it, run: pip install ",
        ):
            use(tmp_path / "p.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["p.pt"]


def test_another_byte_order_becomes_this_machines(tmp_path):
    swapped = GRUParams(*(array.astype(">f4") for array in PARAMS))
    for name, layout in (
        ("p.safetensors", "linen"),
        ("p.msgpack", "linen"),
        ("p.eqx", "equinox"),
    ):
        write(tmp_path / name, swapped, layout)
        assert same_bits(read(tmp_path / name).params, PARAMS)
    eqx.tree_serialise_leaves(
        tmp_path / "p.eqx", [np.asfortranarray(array) for array in swapped]
    )
    assert same_bits(read(tmp_path / "p.eqx").params, PARAMS)


def require_refused(path, content, message=None):
    """A file with this content is refused, and not because the tests' type checker found fault with the reader."""
    path.write_bytes(content)
    with pytest.raises(TrigruError, match=message) as error:
        read(path)
    assert "TypeCheckError" not in str(error.value)


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def test_no_pickle_is_run(tmp_path):
    payload = pickle.dumps(Payload(tmp_path / "run"))
    whole = npy(
        np.empty(1, object), allow_pickle=True
    )  # what np.load(allow_pickle=True) would unpickle
    arrays = (
        b"".join(npy(array) for array in PARAMS[:4])
        + whole[: whole.index(b"\n") + 1]
        + payload
    )
    require_refused(
        tmp_path / "object.eqx",
        arrays,
        "object.eqx: not a readable Equinox file .ValueError: Object arr",
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in (
            ("p.npy", payload),
            ("p/data.pkl", payload),
            ("p/version", "3"),
        ):
            archive.writestr(name, content)
    for suffix in (".eqx", ".msgpack", ".safetensors", ".pt", ".pth"):
        for content in (payload, packed.getvalue()):
            require_refused(tmp_path / f"p{suffix}", content)
    assert not (tmp_path / "run").exists()
    pickle.loads(payload)
    assert (tmp_path / "run").exists(), "it works"


def test_an_array_that_no_file_holds_is_named(tmp_path):
    arrays = get_port("linen").layout.flat(PARAMS)
    serialised = serialization.msgpack_serialize(arrays | {"z": np.ones(1, "c16")})
    (tmp_path / "p.msgpack").write_bytes(serialised)
    with pytest.raises(
        InputError,
        match=r"safetensors files cannot hold all of .*p\.msgpack: .*(C|c)omplex128",
    ):
        exchange_in_file(tmp_path / "p.msgpack", tmp_path / "p.safetensors", "torch")


def test_a_fault_of_our_own_is_not_taken_for_arrays_that_a_file_cannot_hold(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "trigru.impls.checkpoints.containers.tensors_content", lambda *_: {}["fault"]
    )
    with pytest.raises(KeyError):
        write(tmp_path / "p.safetensors", PARAMS, "torch")


def test_a_size_that_is_only_claimed_is_refused(tmp_path):
    huge = json.dumps(
        {
            "weight_ih": {
                "dtype": "F32",
                "shape": [1 << 40, 2],
                "data_offsets": [0, 1 << 43],
            }
        }
    ).encode()
    for content in (b"\xff" * 8, struct.pack("<Q", len(huge)) + huge):
        require_refused(tmp_path / "p.safetensors", content)
    for length in (b"\xff\xff\xff\xff", b"\x00\x01\x00\x00"):
        require_refused(tmp_path / "p.msgpack", b"\xdf" + length)
    header = npy(PARAMS.weight_ih).replace(b"(9, 2), }  ", b"(900000000000000, 2), }")
    magic = b"\x93NUMPY\x02\x00"
    for content in (
        header,
        magic + b"\xff\xff\xff\xff",
        magic + struct.pack("<I", 1 << 20) + b" " * (1 << 20),
    ):
        require_refused(tmp_path / "p.eqx", content, "not a readable Equinox file")


def test_a_torch_file_that_unfolds_is_refused_before_torch_reads_it(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("p/data/0", bytes(10**6))
    message = r"has \d+ bytes that unfold to 1000000: expected arrays that are not"
    require_refused(tmp_path / "p.pt", packed.getvalue(), message)


def test_a_tensor_that_repeats_the_numbers_of_a_file_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    shapes = ((3000, 1000), (3000, 1000), (3000,), (3000,))
    tree = {}
    for name, shape in zip(names, shapes, strict=True):
        tree[name] = torch.ones(()).expand(shape)
    packed = io.BytesIO()
    torch.save(tree, packed)
    message = r"has a tensor of \d+ bytes, more than the file"
    require_refused(tmp_path / "p.pt", packed.getvalue(), message)


def test_files_of_something_else_are_refused(tmp_path):
    leaves = ({"cell": {"ir": {"kernel": leaf}}} for leaf in ("text", None))
    for tree in ({1: 1.0, "a": 2.0}, [1.0], 7, *leaves):
        message = "not a readable msgpack file .ValueError: Comparator|has the arrays"
        require_refused(tmp_path / "p.msgpack", msgpack.packb(tree), message)
    six = npy(np.ones(2)) * 6
    require_refused(
        tmp_path / "p.eqx",
        six,
        "has 6 arrays, expected 4 of a cell, or 5 with an initial_carry",
    )
    moved = b"".join(map(npy, [PARAMS.initial_carry, *PARAMS[:4]]))
    require_refused(
        tmp_path / "p.eqx",
        moved,
        r"cell.weight_ih has shape \(3,\), expected an array of two axes",
    )


@pytest.mark.parametrize("options", [{}, {"bias": False}], ids=["biases", "none"])
def test_every_port_computes_what_the_torch_gru_did(tmp_path, options):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    gru = torch.nn.GRU(2, 3, batch_first=True, dtype=torch.float64, **options)
    x = np.random.default_rng(0).normal(size=(4, 7, 2))
    with torch.no_grad():
        expected = gru(torch.tensor(x))[0].numpy()
    torch.save(gru.state_dict(), tmp_path / "gru.pt")
    found = read(tmp_path / "gru.pt")
    assert any("added" in note for note in found.notes) == (not options)
    assert same_bits(convert(gru.state_dict()).params, found.params)
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        for name in ("pure", *FRAMEWORKS):
            port = get_port(name)
            _, outputs = port.apply(
                port.load(config_of(found.params), found.params), jnp.asarray(x)
            )
            assert_near(outputs, expected, 1e-14, name)
