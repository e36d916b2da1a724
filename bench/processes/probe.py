"""Whether JAX starts with the environment's settings, tried in a child before anything depends on it."""

import os
import subprocess
import sys
from functools import cache

from ...common.errors import TrigruError

#: Seconds until a JAX that has not started is given up.
LIMIT_S = 120.0
_CODE = """
import sys
try:
    import jax, jax.numpy as jnp
    jax.block_until_ready(jax.jit(jnp.dot)(jnp.ones((2, 2)), jnp.ones((2, 2))))
except Exception as error:
    sys.exit(" ".join(str(error).split()) or f"{type(error).__name__}, without a word. Is there such a device?")
"""


class JaxEnvironmentError(TrigruError):
    """JAX does not start with what the environment says."""


def check_jax() -> None:
    """Raise an JaxEnvironmentError with what JAX says if it does not start here.

    It is tried only if a variable is set that could be the reason.
    """
    names = ("JAX_", "XLA_", "CUDA_VISIBLE_DEVICES", "TF_XLA_FLAGS", "LIBTPU_")
    settings = tuple((name, value) for name, value in sorted(os.environ.items()) if name.startswith(names))
    if settings and (problem := _try(settings)):
        raise JaxEnvironmentError(problem)


@cache
def _try(settings: tuple[tuple[str, str], ...]) -> str | None:
    try:
        done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        said = f"it has not started after {LIMIT_S:g} s"
    else:
        if done.returncode == 0:
            return None
        lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        said = lines[-1] if lines else f"exit code {done.returncode}"
    return f"JAX does not start with {', '.join(f'{name}={value}' for name, value in settings)}: {said[:500]}"
