"""Several hosts that run one command together, joined by `jax.distributed`."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...common.errors import InputError, TrigruError, brief
from .environment import parts_of_cpu

#: Where JAX finds the hosts itself: of SLURM, Open MPI, Kubernetes, Cloud TPU.
FOUND = "auto"
#: Seconds until hosts that did not come are given up.
LIMIT_S = 120


@dataclass(frozen=True)
class Hosts:
    """Hosts that run one command. All is None where JAX finds them itself.

    Attributes:
        coordinator: HOST:PORT at which the first host listens.
        count: how many hosts there are.
        index: which of them this one is, from 0.
    """

    coordinator: str | None = None
    count: int | None = None
    index: int | None = None


class HostsError(TrigruError):
    """The hosts did not come together, or were started with different commands."""


def read_hosts(text: str) -> Hosts:
    """Read hosts as users write them: "auto", or HOST:PORT,COUNT,INDEX.

    Raises an InputError.

    >>> read_hosts("10.0.0.1:8476,2,0")
    Hosts(coordinator='10.0.0.1:8476', count=2, index=0)
    """
    if text == FOUND:
        return Hosts()
    match = re.fullmatch(
        r"([\w.\-\[\]:]+:(\d{1,5})),(\d{1,9}),(\d{1,9})", text, re.ASCII
    )
    if match is None or not 0 < int(match[2]) < 2**16:
        raise InputError(
            f"cannot read the hosts {text!r}: expected {FOUND}, or as "
            "10.0.0.1:8476,2,0 on the first of two."
        )
    count = int(match[3])
    index = int(match[4])
    if index >= count:
        raise InputError(
            f"host {index} is not among {count} hosts, which count from 0."
        )
    return Hosts(match[1], count, index)


def join(hosts: Hosts, devices: int | None = None) -> None:
    """Join the other hosts. JAX must not have started in this process.

    Args:
        hosts: all of them.
        devices: so many parts of CPUs all hosts have together; None for what there is.

    Raises:
        HostsError: the others do not come.
    """
    import jax

    if devices is not None:
        if hosts.count is None or devices % hosts.count:
            raise InputError(
                f"{hosts.count or 'found'} hosts cannot have {devices} parts of a CPU "
                "in equal numbers."
            )
        os.environ.update(parts_of_cpu(devices // hosts.count))
    try:
        jax.distributed.initialize(
            hosts.coordinator,
            hosts.count,
            hosts.index,
            initialization_timeout=LIMIT_S,
        )
    except Exception as error:
        raise HostsError(
            f"this host could not join the others: {brief(error)}"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Within this context, what libraries print goes to stderr.

    The one that joins CPUs prints to stdout.
    """
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(stdout, 1)
        os.close(stdout)


def check_same(*words: str) -> None:
    """Raise a HostsError unless every host has the same words here."""
    import numpy as np
    from jax.experimental import multihost_utils

    letters = np.frombuffer(" ".join(words).encode().ljust(4096)[:4096], np.uint8)
    try:
        multihost_utils.assert_equal(letters)
    except AssertionError as error:
        raise HostsError(
            "the hosts were started with different ports, kernels or versions."
        ) from error
