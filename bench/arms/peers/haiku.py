"""Haiku's GRU with a learned initial state: `hk.GRU`, `hk.dynamic_unroll` and one `hk.get_parameter`.

It applies the reset to the state before the matrix product, not to the product. So it computes another function:

    n = tanh(W_in x + b_in + W_hn (r * h))

The order of its gates is z, r, a. Its z weighs the new state where the oracle's weighs the old one. It has no b_hn.

    w_i = (-W_iz, W_ir, W_in)^T     (D, 3H)
    w_h = (-W_hz, W_hr, W_hn)^T     (H, 3H)
    b = (-b_iz, b_ir, b_in)         (3H,)

With the sign of z changed, the reset and the missing bias are the only differences.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# If the library is not installed, a type checker takes this module, which has its name, for the library.

from types import SimpleNamespace
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from ....common.config import GRUConfig
from ....common.parameters.record import ClassifierParams, GRUParams, ReadoutParams
from ....common.port.protocol import Params, Program
from ....common.port.styles import functional_program
from ....common.port.task import Task, cross_entropy, mean_squared_error
from ..admission import OPTIMIZER
from . import Peer, PeerStyle


class LearnedGRU(hk.Module):
    """A GRU that starts from a learned state, with a readout of its final carry where there are classes."""

    def __init__(self, hidden_size: int, classes: int | None = None, name: str = "learned_gru"):
        super().__init__(name)
        self.hidden_size = hidden_size
        self.gru = hk.GRU(hidden_size, name="gru")
        self.readout = None if classes is None else hk.Linear(classes, name="readout")

    def __call__(self, x, lengths=None):
        """Final carry (B, H) and outputs (B, T, H) of x (B, T, D), or logits (B, C)."""
        initial_carry = hk.get_parameter("initial_carry", [self.hidden_size], x.dtype, init=jnp.zeros)
        carry = jnp.broadcast_to(initial_carry, (len(x), self.hidden_size))  # (B, H)
        outputs: Any
        outputs, carry = hk.dynamic_unroll(self.gru, x, carry, time_major=False)
        if lengths is not None:
            carry = outputs[jnp.arange(len(x)), lengths - 1]  # (B, H)
        return (carry, outputs) if self.readout is None else self.readout(carry)

    def step(self, frame, carry):
        """Carry and output, both (B, H), of one frame (B, D)."""
        output, carry = self.gru(frame, carry)
        return carry, output


def _transform(config: GRUConfig, params: Params, phase: str) -> Program:
    def run(*arrays):
        model = LearnedGRU(config.hidden_size, config.classes)
        return model.step(*arrays) if phase == "step" else model(*arrays)

    model = hk.without_apply_rng(hk.transform(run))
    loss = mean_squared_error if config.classes is None else cross_entropy

    def predict(tree, *arrays):
        return model.apply(tree, *(array for array in arrays if array is not None))

    return functional_program(SimpleNamespace(dump=_dump), _load(params), Task(phase, predict, loss, OPTIMIZER))


def _load(params: Params) -> Any:
    gru = params.gru if isinstance(params, ClassifierParams) else params
    tree = {
        "learned_gru": {"initial_carry": gru.initial_carry},
        "learned_gru/~/gru": {
            "w_i": _to_haiku(gru.weight_ih).T,
            "w_h": _to_haiku(gru.weight_hh).T,
            "b": _to_haiku(gru.bias),
        },
    }
    if isinstance(params, ClassifierParams):
        tree["learned_gru/~/readout"] = {"w": params.readout.weight.T, "b": params.readout.bias}
    return jax.tree.map(jnp.asarray, tree)


def _dump(tree: Any) -> Params:
    """Canonical parameters; b_hn, which Haiku does not have, is zero."""
    initial_carry, cell = tree["learned_gru"]["initial_carry"], tree["learned_gru/~/gru"]
    gru = GRUParams(
        weight_ih=_from_haiku(cell["w_i"].T),
        weight_hh=_from_haiku(cell["w_h"].T),
        bias=_from_haiku(cell["b"]),
        bias_n=jnp.zeros_like(initial_carry),
        initial_carry=initial_carry,
    )
    readout = tree.get("learned_gru/~/readout")
    return gru if readout is None else ClassifierParams(gru, ReadoutParams(readout["w"].T, readout["b"]))


def _to_haiku(stacked: Any) -> Any:
    r, z, n = jnp.split(jnp.asarray(stacked), 3)
    return jnp.concatenate([-z, r, n])


def _from_haiku(stacked: Any) -> Any:
    z, r, n = jnp.split(stacked, 3)
    return jnp.concatenate([r, -z, n])


PEER = Peer(
    name="haiku",
    title="Haiku",
    packages=("dm-haiku",),
    call_styles=(PeerStyle("transform", "jax.jit(hk.without_apply_rng(hk.transform(f)).apply)", _transform),),
    differs="resets before the product",
)
