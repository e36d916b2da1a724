"""Several hosts that run one command together, joined by `jax.distributed`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...common.errors import InputError, TrigruError
from .child import devices_of_cpu, xla_flags

#: Where JAX finds the hosts itself: of SLURM, Open MPI, Kubernetes, Cloud TPU.
FOUND = "auto"
START_S = 120


class HostsError(TrigruError):
    """The hosts did not come together, or were started with different commands."""


@dataclass(frozen=True)
class Hosts:
    """The hosts of a command.

    Args:
        coordinator: HOST:PORT at which host 0 listens; None where JAX finds the hosts.
        count: how many there are.
        index: this one, from 0.
    """

    coordinator: str | None = None
    count: int | None = None
    index: int | None = None


def read_hosts(text: str) -> Hosts:
    """Read hosts as users write them: "auto", or HOST:PORT,COUNT,INDEX. Raises an InputError.

    >>> read_hosts("10.0.0.1:8476,2,0")
    Hosts(coordinator='10.0.0.1:8476', count=2, index=0)
    """
    if text == FOUND:
        return Hosts()
    coordinator, *numbers = text.split(",")
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or len(numbers) != 2 or not all(map(str.isdecimal, numbers)):
        raise InputError(
            f"cannot read the hosts {text!r}: expected {FOUND}, or as 10.0.0.1:8476,2,0 on the first of two."
        )
    count, index = map(int, numbers)
    if not index < count:
        raise InputError(f"host {index} is not among {count} hosts, which count from 0.")
    return Hosts(coordinator, count, index)


def join(hosts: Hosts, devices: int | None = None) -> None:
    """Join the other hosts. JAX must not have started in this process.

    Args:
        devices: of all hosts together, parts of a CPU each; None for what there is.

    Raises:
        InputError: hosts cannot have as many devices.
        HostsError: the others do not come.
    """
    import jax

    if devices is not None:
        if hosts.count is None or devices % hosts.count:
            raise InputError(f"{hosts.count or 'found'} hosts cannot have {devices} parts of a CPU in equal numbers.")
        os.environ |= xla_flags(*devices_of_cpu(devices // hosts.count))
    try:
        jax.distributed.initialize(hosts.coordinator, hosts.count, hosts.index, initialization_timeout=START_S)
    except Exception as error:
        raise HostsError(f"this host could not join the others: {str(error).strip().partition(chr(10))[0]}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Within this context, what libraries print goes to stderr: the one that joins CPUs prints to stdout."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(own, 1)
        os.close(own)


def check_same(*words: str) -> None:
    """Raise a HostsError unless every host has the same words here."""
    import numpy as np
    from jax.experimental import multihost_utils

    letters = np.frombuffer(" ".join(words).encode().ljust(4096)[:4096], np.uint8)
    try:
        multihost_utils.assert_equal(letters, "the hosts were started with different ports or kernels")
    except AssertionError as error:
        raise HostsError("the hosts were started with different ports, kernels or versions.") from error
