"""Many hosts that run one program: how a process joins them, by `jax.distributed`, and what they agree on.

Every host runs the same command. Each of its measuring processes joins those of the other hosts, so that they run the
same arms in the same order; what depends on a clock, as how many calls a sample has, is decided by host 0. Host 0
writes. A process that lost another host cannot go on.
"""

import hashlib
import inspect
import subprocess
from typing import Any

from msgspec import Struct

from ...common.errors import InputError, TrigruError
from .child import environment, interpreter

#: Seconds after which a host that says nothing counts as dead, and those for which the others are waited for.
HEARTBEAT_S, START_S = 10, 120
_FIND = """
from trigru.bench.processes.child import end_with_parent
end_with_parent()
from trigru.bench.processes.cluster import Cluster, join
import jax
join(Cluster())
print("host", jax.process_index(), jax.process_count())
jax.distributed.shutdown()
"""


class LostHostError(TrigruError):
    """Another host of the cluster ended, or does something else."""


class Cluster(Struct, frozen=True):
    """The hosts of a run.

    Args:
        coordinator: HOST:PORT at which host 0 listens; "" where JAX finds the cluster itself, as under SLURM.
        hosts: how many there are.
        host: this one, from 0.
    """

    coordinator: str = ""
    hosts: int = 1
    host: int = 0


def read_cluster(
    coordinator: str | None, hosts: int | None, host: int | None, *, distributed: bool = False
) -> Cluster | None:
    """The cluster that a user describes; None for this host alone.

    Raises:
        InputError: the description is not whole.
        LostHostError: JAX finds no cluster, or not all of it.
    """
    if distributed:
        if coordinator or hosts or host is not None:
            raise InputError("--distributed finds the cluster itself: it takes no --coordinator, --hosts and --host.")
        return find_cluster()
    if coordinator is None and hosts is None and host is None:
        return None
    if coordinator is None or hosts is None or host is None:
        raise InputError("a cluster needs --coordinator HOST:PORT, --hosts N and --host I, the same but for I on each.")
    name, _, port = coordinator.rpartition(":")
    if not name or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"cannot read the coordinator {coordinator!r}: expected HOST:PORT, as in 10.0.0.1:8476.")
    if not host < hosts:
        raise InputError(f"--host {host} is not below --hosts {hosts}: hosts count from 0.")
    return Cluster(coordinator, hosts, host)


def find_cluster() -> Cluster:
    """The cluster that JAX finds, and this host's place in it. Raises a LostHostError if it finds none."""
    command = interpreter("-c", _FIND)
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    words = found.stdout.rpartition("host ")[2].split()
    if found.returncode or len(words) != 2:
        said = (found.stderr.strip().splitlines() or ["no word"])[-1].rpartition("Error: ")[2]
        raise LostHostError(f"JAX finds no cluster of SLURM, Open MPI, Kubernetes or TPUs here: {said[:300]}")
    return Cluster("", int(words[1]), int(words[0]))


def join(cluster: Cluster) -> None:
    """Join the other hosts, before JAX starts. Raises a LostHostError if they do not come."""
    import jax

    known = inspect.signature(jax.distributed.initialize).parameters
    usual = {"initialization_timeout": START_S, "heartbeat_timeout_seconds": HEARTBEAT_S}
    options: dict[str, Any] = {name: value for name, value in usual.items() if name in known}
    if cluster.coordinator:
        options |= {"coordinator_address": cluster.coordinator, "num_processes": cluster.hosts}
        options["process_id"] = cluster.host
    try:
        jax.distributed.initialize(**options)
    except Exception as error:
        raise LostHostError(f"host {cluster.host} could not join the others: {_first_line(error)}") from error


def agreed(value: float) -> float:
    """Host 0's value, on every host. Alone, the value itself."""
    import jax

    if jax.process_count() == 1:
        return value
    import numpy as np
    from jax.experimental import multihost_utils

    try:
        return float(multihost_utils.broadcast_one_to_all(np.float32(value)))
    except Exception as error:
        raise LostHostError(f"another host ended, or does something else: {_first_line(error)}") from error


def check_same(*what: Any) -> None:
    """Raise a LostHostError on every host unless all say the same here. Alone, it does nothing."""
    import jax

    if jax.process_count() == 1:
        return
    import numpy as np
    from jax.experimental import multihost_utils

    digest = np.frombuffer(hashlib.sha256(repr(what).encode()).digest()[:16], np.uint32)
    try:
        of_each = np.asarray(multihost_utils.process_allgather(digest)).reshape(-1, len(digest))
    except Exception as error:
        raise LostHostError(f"another host ended, or does something else: {_first_line(error)}") from error
    others = [host for host, said in enumerate(of_each) if (said != of_each[0]).any()]
    if others:
        hosts = ", ".join(map(str, others))
        raise LostHostError(
            f"the hosts do not do the same: host {hosts} was asked something else than host 0, has other versions, or "
            "lost an arm that host 0 has. Start the same command on each, with the same packages."
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__
