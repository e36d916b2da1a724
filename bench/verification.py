"""The work of `trigru verify`: ports and mutants held to the oracle, under a progress bar."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from ..common import equivalence
from ..common.checks import Check
from ..common.equivalence import Measurement
from ..common.port import Port
from ..impls import get_port, mutants
from .progress import Progress, nothing_if_interrupted

__all__ = ["hold", "hold_mutants"]


def hold(ports: list[Port], dtypes: tuple[str, ...], checks: tuple[Check, ...] | None = None) -> list[Measurement]:
    """As `trigru.common.equivalence.verify`."""
    with nothing_if_interrupted(), Progress("verify") as progress:
        return equivalence.verify(
            ports,
            dtypes=dtypes,
            checks=checks,
            progress=lambda done, total, what: progress.to(done / total, f"verify {what}"),
        )


def hold_mutants() -> tuple[dict[str, list[str]], bool]:
    """The checks that notice each mutant, by its name, and whether the port without a fault passes."""
    noticed: dict[str, list[str]] = {}
    with nothing_if_interrupted(), _compiled_once(), Progress("self-test") as progress:
        for number, mutant in enumerate(mutants.MUTANTS):
            progress.to(number / len(mutants.MUTANTS), f"self-test {mutant.name}")
            found = equivalence.verify([mutant.port])
            noticed[mutant.name] = list(dict.fromkeys(m.check for m in found if not m.passed))
        return noticed, all(m.passed for m in equivalence.verify([get_port("pure")]))


@contextmanager
def _compiled_once() -> Iterator[None]:
    """Most of a mutant's programs are those of the others, too: look them up."""
    with TemporaryDirectory(prefix="trigru-") as folder:
        ours = {
            "jax_compilation_cache_dir": folder,
            "jax_persistent_cache_min_compile_time_secs": 0.0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
        before = {name: getattr(jax.config, name) for name in ours}
        try:
            _configure(ours)
            compilation_cache.reset_cache()
            yield
        finally:
            _configure(before)
            compilation_cache.reset_cache()


def _configure(values: dict[str, Any]) -> None:
    for name, value in values.items():
        jax.config.update(name, value)
