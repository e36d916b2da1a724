"""Faults of JAX itself that users of the ports meet, and that no check of a port shows.

A program that may hang runs in a process of its own, which is ended at a time limit. That takes too long for
`verify --upstream`: the tests look at this record, with `-m long`.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from packaging.version import Version

#: Draws the recurrent matrices of four models at once. Where it hangs, its threads wait and use no time. One matrix a
#: model does not hang it.
VMAPPED_DRAWS = """
import jax
orthogonal = jax.nn.initializers.orthogonal()
draw = jax.jit(jax.vmap(lambda key: [orthogonal(k, (512, 512)) for k in jax.random.split(key, 3)]))
jax.block_until_ready(draw(jax.random.split(jax.random.key(0), 4)))
"""

#: Such models, drawn one after the other and then stacked.
STACKED_DRAWS = """
import jax
import jax.numpy as jnp
from trigru.impls.pure import init
keys = jax.random.split(jax.random.key(0), 4)
models = [init(20, 512, key=key) for key in keys]
print(jax.tree.map(lambda *leaves: jnp.stack(leaves), *models).kernel_h.shape)
"""


@dataclass(frozen=True)
class Fault:
    """A fault of JAX itself."""

    name: str
    part: str  # of a program that meets it
    package: str  # the distribution that it comes from
    what: str  # happens, in a sentence
    evidence: Callable[[], str | None]  # runs it; returns what was seen, or None where nothing was
    fixed_in: str  # the version of the package in which it is gone

    @property
    def expected(self) -> bool:
        """Whether the installed version has it."""
        return Version(version(self.package)) < Version(self.fixed_in)


def ends(program: str, limit_s: float = 60) -> bool:
    """Whether a program ends within a time limit.

    Raises:
        subprocess.CalledProcessError: it ends, but with an error.
    """
    try:
        subprocess.run([sys.executable, "-P", "-c", program], check=True, capture_output=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _vmapped_draws(tries: int = 5) -> str | None:
    """It need not hang in each run."""
    for number in range(1, tries + 1):
        if not ends(VMAPPED_DRAWS):
            return f"run {number} did not end in 60 s"
    return None


KNOWN = (
    Fault(
        "vmapped-draws",
        "jax.jit(jax.vmap(init))",
        "jaxlib",
        "may hang on a CPU if init draws several large orthogonal matrices",
        _vmapped_draws,
        fixed_in="0.12",
    ),
)
