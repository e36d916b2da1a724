"""Names of ports, phases, ways of calling and workloads in sentences and headings."""

from functools import cache

from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port, port_names, unavailable
from ..arms.workloads import get_workload
from ..results.arm import Sized
from .numbers import count

CALLED = {DOCUMENTED: "as documented", FUNCTIONAL: "functional"}
PHASES = {"forward": "forward pass", "gradient": "gradient", "train_step": "train step", "step": "one step"}

#: What each framework's documentation compiles a call with.
JITS = {"linen": "jax.jit", "nnx": "nnx.jit", "equinox": "eqx.filter_jit"}
#: The cell that each port has under its stock kernel; `nnx.GRUCell` lacks a bias.
CELLS = {"linen": "nn.GRUCell", "nnx": "nnx.GRUCell (bias added to match)", "equinox": "eqx.nn.GRUCell"}


def name_of(port: str) -> str:
    """What a sentence calls a port, or a peer: "NNX", "plain JAX" or "torch"."""
    return get_port(port).title.removeprefix("Flax ") if is_here(port) else port


@cache
def is_here(port: str) -> bool:
    """Whether a port can be asked for what it calls itself."""
    return port in port_names() and unavailable(port) is None


def describe(workload: Sized) -> str:
    """A workload as 'B=1 T=50 D=20 H=200: 1 sequence of 50 steps, 20 inputs, 200 units'."""
    sizes = get_workload(workload)
    steps = f"{'up to ' if sizes.classes else ''}{count(sizes.time, 'step')}"
    return (
        f"{sizes.shape}: {count(sizes.batch_size, 'sequence')} of {steps}, {count(sizes.input_size, 'input')}, "
        f"{count(sizes.hidden_size, 'unit')}"
    )
