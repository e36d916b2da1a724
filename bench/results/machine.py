"""The machine that a process found, and how two machines differ."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct


class Machine(Struct, frozen=True, forbid_unknown_fields=True):
    """The machine and the software of a process."""

    #: Of Python and of the distributions that matter; on a GPU also of CUDA and cuDNN.
    versions: dict[str, str]
    device: str  # as JAX calls it; for a CPU, its model
    backend: str  # as JAX calls it
    threads: Annotated[int, Meta(ge=1, le=2**16)]  # how many CPUs the process may use
    xla_flags: str  # the environment's XLA_FLAGS, without paths
    environment: dict[str, str]  # other variables that may change what is measured
    #: Of trigru's own checkout, with "-dirty" if it was changed; "" without a checkout.
    commit: str
    #: What NVIDIA's driver said of each at the start: clocks, power, memory used.
    gpus: list[dict[str, str]] = []

    @property
    def packages(self) -> str:
        """The versions in a line, as "python 3.13.5, jax 0.12.0"."""
        return ", ".join(f"{name} {number}" for name, number in self.versions.items())


def machine_differences(
    was: Machine, now: Machine, *, versions: bool = True
) -> list[str]:
    """How a machine differs from another, in words.

    The commit does not count, nor do versions, if they are excluded.
    """
    fields = ("device", "backend", "threads", "xla_flags")
    differences = version_differences(
        {field: getattr(was, field) for field in fields},
        {field: getattr(now, field) for field in fields},
    )
    if versions:
        differences += version_differences(was.versions, now.versions)
    return differences + version_differences(was.environment, now.environment)


def version_differences(
    was: Mapping[str, object], now: Mapping[str, object]
) -> list[str]:
    """Which versions, or other values, differ, in words.

    >>> version_differences({"jax": "0.6", "XLA_X": ""}, {"jax": "0.7", "XLA_X": "1"})
    ["XLA_X '' -> 1", 'jax 0.6 -> 0.7']
    """
    differences = []
    for name in sorted(was.keys() | now.keys()):
        before = was.get(name, "none")
        after = now.get(name, "none")
        if before != after:
            differences.append(f"{name} {_word(before)} -> {_word(after)}")
    return differences


def _word(value: object) -> object:
    return "''" if value == "" else value
