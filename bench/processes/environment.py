"""What child processes are started with: the interpreter, variables, and cores."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ...common.errors import TrigruError

#: The variable with the process id of a child's parent.
PARENT = "TRIGRU_PARENT"
#: Beginnings of variables that could keep JAX from starting.
OF_JAX = ("JAX_", "XLA_", "CUDA_VISIBLE_DEVICES", "TF_XLA_FLAGS", "LIBTPU_")


class JaxEnvironmentError(TrigruError):
    """JAX does not start with the settings of the environment."""


def check_jax() -> None:
    """Start JAX in a child, if a variable of the environment could keep it from that.

    Raises a JaxEnvironmentError with JAX's own message.
    """
    settings = []
    for name, value in sorted(os.environ.items()):
        if name.startswith(OF_JAX):
            settings.append(f"{name}={value}")
    if not settings:
        return
    command = interpreter("-c", "import jax; jax.devices()")
    child = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if child.returncode:
        message = child.stderr.strip().rpartition("\n")[2]
        raise JaxEnvironmentError(
            f"JAX does not start with {', '.join(settings)}: {message[:500]}"
        )


def interpreter(*arguments: str, python: str | None = None) -> list[str]:
    """The command that runs Python in its safe-path mode.

    In that mode, no file of the current folder is imported.
    """
    return [python or sys.executable, "-P", *arguments]


def environment() -> dict[str, str]:
    """The variables of a child. What the child starts runs in safe-path mode, too."""
    return os.environ | {PARENT: str(os.getpid()), "PYTHONSAFEPATH": "1"}


def parts_of_cpu(devices: int | None) -> dict[str, str]:
    """The variable of a child that divides a CPU into so many devices.

    It is empty for one device, and for None.
    """
    if devices is None or devices <= 1:
        return {}
    user_flags = os.environ.get("XLA_FLAGS", "")
    flag = f"--xla_force_host_platform_device_count={devices}"
    # of a flag that is there twice, XLA takes the last
    return {"XLA_FLAGS": f"{user_flags} {flag}".strip()}


def shared_memory() -> dict[str, str]:
    """The variable of a child that shares a GPU's memory with other processes.

    It is empty where the user has set that variable.
    """
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    if name in os.environ:
        return {}
    return {name: "false"}


@contextmanager
def with_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Within this context, this process has these variables, which were not set."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


def cores() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
