"""The machine that a process found, and how two machines differ."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct


class Machine(Struct, frozen=True, forbid_unknown_fields=True):
    """The machine and the software of a process."""

    versions: dict[
        str, str
    ]  # of Python and of the distributions that matter; on a GPU also those of CUDA and cuDNN
    device: str  # as JAX calls it; for a CPU, its model
    backend: str  # as JAX calls it
    threads: Annotated[int, Meta(ge=1, le=2**16)]  # how many CPUs the process may use
    xla_flags: str  # the environment's XLA_FLAGS, without paths
    environment: dict[str, str]  # other variables that may change what is measured
    commit: str  # of trigru's own checkout, with "-dirty" if it was changed; "" if there is no checkout
    gpus: list[
        dict[str, str]
    ] = []  # what NVIDIA's driver said of each at the start: clocks, power, memory used


def machine_differences(
    was: Machine, now: Machine, *, versions: bool = True
) -> list[str]:
    """How a machine differs from another, in words. The commit never counts; versions count unless excluded."""
    fields = ("device", "backend", "threads", "xla_flags")
    found = version_differences(
        *({name: getattr(machine, name) for name in fields} for machine in (was, now))
    )
    found += version_differences(was.versions, now.versions) if versions else []
    return found + version_differences(was.environment, now.environment)


def version_differences(
    was: Mapping[str, object], now: Mapping[str, object]
) -> list[str]:
    """Which versions, or other values, differ, in words.

    >>> version_differences({"numpy": "2.0", "jax": "0.6", "XLA_X": ""}, {"numpy": "2.0", "jax": "0.7", "XLA_X": "1"})
    ["XLA_X '' -> 1", 'jax 0.6 -> 0.7']
    """
    return [
        f"{name} {was.get(name, 'none') or repr('')} -> {now.get(name, 'none') or repr('')}"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]
