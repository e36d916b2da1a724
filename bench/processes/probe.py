"""Whether JAX starts with the environment's settings, tried in a child before anything depends on it."""

import os
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache

from ...common.errors import TrigruError
from .child import environment, interpreter
from .interrupts import check

#: Seconds until a JAX that has not started is given up.
LIMIT_S = 120.0
LOOK_EVERY_S = 0.2
_CODE = """
import sys
from trigru.bench.processes.child import end_with_parent
end_with_parent()
try:
    import jax, jax.numpy as jnp
    jax.block_until_ready(jax.jit(jnp.dot)(jnp.ones((2, 2)), jnp.ones((2, 2))))
except Exception as error:
    sys.exit(" ".join(str(error).split()) or f"{type(error).__name__}, without a word. Is there such a device?")
"""


class JaxEnvironmentError(TrigruError):
    """JAX does not start with what the environment says."""


def check_jax() -> None:
    """Raise a JaxEnvironmentError with what JAX says if it does not start here.

    It is tried only if a variable is set that could be the reason.
    """
    names = ("JAX_", "XLA_", "CUDA_VISIBLE_DEVICES", "TF_XLA_FLAGS", "LIBTPU_")
    settings = tuple((name, value) for name, value in sorted(os.environ.items()) if name.startswith(names))
    if settings and (problem := _try(settings)):
        raise JaxEnvironmentError(problem)


@cache
def _try(settings: tuple[tuple[str, str], ...]) -> str | None:
    with tempfile.TemporaryFile() as errors:
        # a session of its own, so that Ctrl-C reaches this process alone
        command = interpreter("-c", _CODE)
        child = subprocess.Popen(command, stdout=errors, stderr=errors, start_new_session=True, env=environment())
        try:
            end_s = time.monotonic() + LIMIT_S
            while child.poll() is None and time.monotonic() < end_s:
                check()
                with suppress(subprocess.TimeoutExpired):
                    child.wait(LOOK_EVERY_S)
        finally:
            child.kill()
            code = child.wait()
        if code == 0:
            return None
        errors.seek(0)
        lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
        said = lines[-1] if lines else f"exit code {code}"
        if time.monotonic() >= end_s:
            said = f"it has not started after {LIMIT_S:g} s"
    return f"JAX does not start with {', '.join(f'{name}={value}' for name, value in settings)}: {said[:500]}"
