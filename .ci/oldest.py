"""Verify the ports with the oldest versions that pyproject.toml allows, in an environment of their own."""

import subprocess
import sys
from importlib.metadata import requires

from packaging.requirements import Requirement
from trigru.bench.upgrades.environments import Environments
from trigru.bench.upgrades.versions import VersionSet

#: In full, but for NNX: before Flax 0.12, JAX's own transformations do not take its modules, nor do traces.
COMMANDS = (
    ("--port=pure", "--port=linen", "--port=equinox"),
    ("--port=nnx", "--kernel=stock", "--kernel=fused", "--check=conversion", "--check=compiled"),
)


def oldest() -> VersionSet:
    """The lower bound of each framework. jaxlib goes with jax."""
    named = [requirement for text in requires("trigru") or () if not (requirement := Requirement(text)).extras]
    bounds = {r.name: s.version for r in named for s in r.specifier if s.operator == ">="}
    return VersionSet("the oldest", tuple(f"{name}=={bounds[name]}" for name in ("jax", "flax", "equinox", "optax")))


def main() -> int:
    """Verify; 1 at the first command that fails."""
    versions = oldest()
    python = [*Environments().get(versions).command, "python", "-P", "-m", "trigru.bench.cli"]
    for words in COMMANDS:
        print(f"+ trigru verify {' '.join(words)}, with {', '.join(versions.requirements)}", flush=True)
        if subprocess.run([*python, "verify", "--dtype=float64", *words]).returncode:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
