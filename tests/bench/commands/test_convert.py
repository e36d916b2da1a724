"""`trigru convert`, which says what it did on stderr alone."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.cli import call
from trigru.common.config import GRUConfig
from trigru.common.parameters.layouts import TORCH
from trigru.common.parameters.record import random_params


@pytest.fixture(autouse=True)
def of_torch(tmp_path, monkeypatch):
    """In an empty folder, a bare torch GRU's state dict as torch users save it in
    safetensors.
    """
    monkeypatch.chdir(tmp_path)
    state = TORCH.flat(random_params(GRUConfig(4, 3)))
    del state["initial_carry"]
    save_file(
        {
            name.removeprefix("gru."): np.ascontiguousarray(a)
            for name, a in state.items()
        },
        "torch.safetensors",
    )


def test_convert_goes_round_the_frameworks_and_says_what_it_did():
    code, out, err = call("convert", "torch.safetensors", "a.eqx")
    assert (code, out) == (0, "")
    assert err.splitlines() == [
        "torch.safetensors: torch (torch.nn.GRU), input_size 4, hidden_size 3, float32",
        "warning: it has no initial_carry: the initial state is 0.",
        "a.eqx: equinox (Equinox), written",
    ]
    a, b, c, d = "a.eqx", "b.msgpack", "c.safetensors", "d.safetensors"
    for source, target, to in ((a, b, "linen"), (b, c, "nnx"), (c, d, "torch")):
        code, _, err = call("convert", source, target, "--to", to)
        assert code == 0
        assert "warning" not in err
    before, after = load_file("torch.safetensors"), load_file("d.safetensors")
    assert not after.pop("initial_carry").any()
    assert {f"gru.{name}" for name in before} == set(after)
    for name, array in before.items():
        assert after[f"gru.{name}"].tobytes() == array.tobytes()


def test_convert_takes_one_gru_out_of_a_file_or_exchanges_it_there():
    gru = load_file("torch.safetensors")
    own = {
        "kernel_i": gru["weight_ih_l0"].T,
        "kernel_h": gru["weight_hh_l0"].T,
        "b": gru["bias_ih_l0"],
    }
    own |= {"bn": gru["bias_hh_l0"][6:]}
    placed = {
        f"policy.gru.{name}": np.array(array, order="C") for name, array in own.items()
    }
    save_file(placed | {"head": gru["bias_ih_l0"]}, "policy.safetensors")
    names = [
        f"--name={name}"
        for name in ("weight_ih=kernel_i", "weight_hh=kernel_h", "bias=b", "bias_n=bn")
    ]
    at = (
        "policy.safetensors",
        "gru.safetensors",
        "--to",
        "torch",
        "--at",
        "policy.gru",
        *names,
    )
    assert call("convert", *at)[0] == 0
    assert np.array_equal(
        load_file("gru.safetensors")["gru.weight_hh_l0"], gru["weight_hh_l0"]
    )
    code, _, err = call("convert", *at, "--whole")
    assert code == 0
    assert err.startswith(
        "policy.safetensors, policy.gru: canonical (trigru's own), input_size 4, "
        "hidden_size 3"
    )
    assert sorted(load_file("gru.safetensors")) == [
        "head",
        *(f"policy.gru.gru.{name}" for name in sorted(gru)),
    ]
