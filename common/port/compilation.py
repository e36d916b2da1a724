"""How programs are compiled for a check.

One that runs once is compiled without optimisation. Programs are kept on disk.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from ..compat import watch_events

#: Options of XLA without which it compiles faster on the CPU, to the same values. Not
#: every version has each of them.
_SLOW_TO_COMPILE = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
#: A program that takes less time to compile is not kept: reading it takes as long.
LEAST_KEPT_S = 0.004
#: The most bytes of programs that a folder keeps.
CACHE_BYTES = 200_000_000
#: The share of them that stays when a folder is tidied: those used last.
KEPT_SHARE = 0.8


def jit_without_optimization(function: Callable[..., Any]) -> Any:
    """`jax.jit` without optimisation, which compiles in a sixth of the time.

    It is for a program that runs once. Users have another one.
    """
    return jax.jit(function, compiler_options=_quick_options())


def compiled_quickly() -> AbstractContextManager[None]:
    """Compile without LLVM's optimisations within a context.

    That holds for what a framework compiles, too. XLA's own optimisations are the same.
    """
    return configured({"jax_disable_most_optimizations": True})


@contextmanager
def programs_kept_in(folder: Path | None, least_s: float = 0.0) -> Iterator[None]:
    """Take compiled programs from a folder, and keep new ones there.

    The folder has nothing else. A program is kept if compiling it took `least_s`
    seconds. Without a folder, everything is compiled anew. A folder that cannot be read
    or written, and a damaged entry, cost time alone.
    """
    if folder is None:
        with configured({"jax_enable_compilation_cache": False}), _fresh_cache():
            yield
        return

    _remove_empty(folder)
    settings = {
        "jax_enable_compilation_cache": True,
        "jax_compilation_cache_dir": str(folder),
        # With a bound, JAX looks at all that it keeps for each that comes in.
        "jax_compilation_cache_max_size": -1,
        "jax_persistent_cache_min_compile_time_secs": least_s,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    with configured(settings), _damaged_entries() as damaged, _fresh_cache():
        yield
    # JAX does not replace an entry that it could not read, and does not name it.
    _tidy(folder, 0 if damaged else CACHE_BYTES)


@contextmanager
def _fresh_cache() -> Iterator[None]:
    """Let JAX look at its settings anew, at the begin and at the end of a context."""
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        compilation_cache.reset_cache()


@contextmanager
def _damaged_entries() -> Iterator[list[str]]:
    """What JAX says of entries that it cannot read or write.

    Its warnings are not shown.
    """
    damaged: list[str] = []
    show = warnings.showwarning

    def notice(message: Warning | str, *rest: Any) -> None:
        if "persistent compilation cache entry" in str(message):
            damaged.append(str(message))
        else:
            show(message, *rest)

    with warnings.catch_warnings():
        warnings.filterwarnings(
            "always", "Error (reading|writing) persistent compilation cache entry"
        )
        warnings.showwarning = notice
        yield damaged


def _remove_empty(folder: Path) -> None:
    """Remove empty entries, which JAX takes for none and does not replace."""
    for entry in folder.glob("*-cache"):
        with suppress(OSError):  # another process may remove it
            if not entry.stat().st_size:
                entry.unlink()


def _tidy(folder: Path, most_bytes: int) -> None:
    """Remove the programs that were used longest ago, until few enough bytes remain."""
    entries = []
    for entry in folder.glob("*-*"):
        with suppress(OSError):  # another process may remove it
            status = entry.stat()
            used_s = max(status.st_atime, status.st_mtime)
            entries.append((used_s, status.st_size, entry))

    left_bytes = sum(nbytes for _, nbytes, _ in entries)
    if left_bytes <= most_bytes:
        return
    for _, nbytes, entry in sorted(entries):
        if left_bytes <= KEPT_SHARE * most_bytes:
            return
        left_bytes -= nbytes
        with suppress(OSError):
            entry.unlink()


@contextmanager
def count_programs() -> Iterator[Callable[[], tuple[int, int]]]:
    """Count the programs that this process compiles, and those that are kept.

    A function gives both numbers: those compiled, and those taken from a folder.
    """
    with watch_events() as events:

        def counts() -> tuple[int, int]:
            taken = len(events["cache_hits"])
            # Of one that it takes, JAX says that it compiled it, too.
            return len(events["backend_compile_duration"]) - taken, taken

        yield counts


@cache
def _quick_options() -> dict[str, Any]:
    known = {}
    for name, value in _SLOW_TO_COMPILE.items():
        # What is raised for an option that there is not differs between versions.
        with suppress(Exception):
            jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
            known[name] = value
    return known


@contextmanager
def configured(values: dict[str, Any]) -> Iterator[None]:
    """JAX with these settings, by their names, within a context."""
    before = {name: jax.config.values[name] for name in values}
    try:
        for name, value in values.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
