"""Hold the ports to the oracle with the oldest versions that pyproject.toml allows, in an environment of their own."""

import subprocess
import sys
from importlib.metadata import requires

from packaging.requirements import Requirement
from trigru.bench.upgrades.environments import Environments
from trigru.bench.upgrades.versions import SUBJECTS, VersionSet

#: In full, but for NNX: before Flax 0.12, JAX's own transformations do not take its modules, nor do traces.
OF_STYLES = ("conversion", "compiled")
ASKED = (
    [f"--port={name}" for name in ("pure", "linen", "equinox")],
    ["--port=nnx", "--kernel=stock", "--kernel=fused", *(f"--check={name}" for name in OF_STYLES)],
)


def oldest() -> VersionSet:
    """The lower bound of each framework. jaxlib goes with jax."""
    found = {}
    for text in requires("trigru") or ():
        requirement = Requirement(text)
        if requirement.name in SUBJECTS and not requirement.extras:
            (bound,) = (specifier.version for specifier in requirement.specifier if specifier.operator == ">=")
            found[requirement.name] = bound
    frameworks = {name: found[name] for name in ("jax", "flax", "equinox", "optax")}
    return VersionSet("the oldest", tuple(f"{name}=={number}" for name, number in frameworks.items()))


def main() -> int:
    """Verify; the exit code is that of `trigru verify`."""
    versions = oldest()
    made = Environments().get(versions)
    for words in ASKED:
        print(f"+ trigru verify {' '.join(words)}, with {', '.join(versions.requirements)}", flush=True)
        command = [*made.command, "python", "-P", "-m", "trigru.bench.cli", "verify", "--dtype=float64", *words]
        if subprocess.run(command).returncode:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
