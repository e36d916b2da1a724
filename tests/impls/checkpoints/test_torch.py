"""Parameters from torch and back, where torch is installed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.parameters.record import config_of
from trigru.impls import get_port
from trigru.impls.checkpoints import convert, read, write

from ...support.arrays import assert_near, same_bits
from .support import FRAMEWORKS


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
            _, outputs = port.apply(port.load(config_of(found.params), found.params), jnp.asarray(x))
            assert_near(outputs, expected, 1e-14, name)


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
        ("a.pt", "b.eqx", "equinox"), ("b.eqx", "c.msgpack", "linen"), ("c.msgpack", "d.safetensors", "nnx"),
        ("d.safetensors", "e.pth", "torch"),
    ):  # fmt: skip
        write(tmp_path / target, read(tmp_path / source).params, layout)
    after = torch.load(tmp_path / "e.pth", weights_only=True)
    assert set(after) == set(before)
    for name, tensor in before.items():
        assert torch.equal(after[name].view(torch.int32), tensor.view(torch.int32)), name
    module.load_state_dict(after)
