"""Several hosts that run one command together, joined by `jax.distributed`."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ...common.errors import InputError, TrigruError, brief
from .child import parts_of_cpu

#: Where JAX finds the hosts itself: of SLURM, Open MPI, Kubernetes, Cloud TPU.
FOUND = "auto"
#: HOST:PORT at which host 0 listens, how many hosts there are, and which this is, from 0; None where JAX finds them.
Hosts = tuple[str | None, int | None, int | None]


class HostsError(TrigruError):
    """The hosts did not come together, or were started with different commands."""


def read_hosts(text: str) -> Hosts:
    """Read hosts as users write them: "auto", or HOST:PORT,COUNT,INDEX. Raises an InputError.

    >>> read_hosts("10.0.0.1:8476,2,0")
    ('10.0.0.1:8476', 2, 0)
    """
    if text == FOUND:
        return None, None, None
    found = re.fullmatch(
        r"([\w.\-\[\]:]+:(\d{1,5})),(\d{1,9}),(\d{1,9})", text, re.ASCII
    )
    if found is None or not 0 < int(found[2]) < 2**16:
        raise InputError(
            f"cannot read the hosts {text!r}: expected {FOUND}, or as 10.0.0.1:8476,2,0 on the first of two."
        )
    coordinator, count, index = found[1], int(found[3]), int(found[4])
    if not index < count:
        raise InputError(
            f"host {index} is not among {count} hosts, which count from 0."
        )
    return coordinator, count, index


def join(hosts: Hosts, devices: int | None = None) -> None:
    """Join the other hosts. JAX must not have started in this process. Raises a HostsError if the others do not come.

    All hosts together have so many devices, parts of a CPU each; None for what there is.
    """
    import jax

    coordinator, count, index = hosts
    if devices is not None:
        if count is None or devices % count:
            raise InputError(
                f"{count or 'found'} hosts cannot have {devices} parts of a CPU in equal numbers."
            )
        os.environ |= parts_of_cpu(devices // count)
    try:
        jax.distributed.initialize(
            coordinator, count, index, initialization_timeout=120
        )
    except Exception as error:
        raise HostsError(
            f"this host could not join the others: {brief(error)}"
        ) from error


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
        multihost_utils.assert_equal(letters)
    except AssertionError as error:
        raise HostsError(
            "the hosts were started with different ports, kernels or versions."
        ) from error
