"""Shared fixtures. The type checker goes in before anything of trigru is imported."""

import importlib.util
import os
import pkgutil
import zlib
from importlib.metadata import version
from pathlib import Path

import jaxtyping
from packaging.version import Version

if Version(version("jaxlib")) < Version("0.11"):  # later ones know no other emitters; an unknown flag ends the process
    FASTER = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FASTER}"

if importlib.util.find_spec("beartype"):  # not where pytest-benchmark loads this file to compare results
    jaxtyping.install_import_hook("trigru", "beartype.beartype")

import jax
import numpy as np
import pytest
from trigru.common.equality.cases import Case
from trigru.common.port.compilation import Programs, count_programs
from trigru.impls import get_port, port_names, unavailable

ROOT = Path(__file__).parents[1]
PROGRAMS = pytest.StashKey[Programs]()

jax.config.update("jax_numpy_rank_promotion", "raise")
# for tests alone: never set where anything is timed
jax.config.update("jax_compilation_cache_dir", os.environ.get("TRIGRU_TEST_CACHE", str(ROOT / ".jax_cache")))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
# the same HLO, but LLVM takes less time over it; `optimized` is for tests that want programs as users have them
jax.config.update("jax_disable_most_optimizations", True)


def pytest_configure(config):
    """Count the programs that XLA makes and those that it takes from its cache."""
    counting = count_programs()
    config.stash[PROGRAMS] = counting.__enter__()
    config.add_cleanup(lambda: counting.__exit__(None, None, None))


def pytest_sessionfinish(session):
    """A worker of pytest-xdist tells its counts to the process that prints."""
    if hasattr(session.config, "workeroutput"):
        programs = session.config.stash[PROGRAMS]
        session.config.workeroutput["programs"] = programs.compiled, programs.reused


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Takes a worker's counts; a worker that died has none."""
    programs = node.config.stash[PROGRAMS]
    compiled, reused = getattr(node, "workeroutput", {}).get("programs", (0, 0))
    programs.compiled, programs.reused = programs.compiled + compiled, programs.reused + reused


def pytest_terminal_summary(terminalreporter):
    """So that the cache cannot hide what compiles anew at each run. Child processes of tests are not counted."""
    programs = terminalreporter.config.stash[PROGRAMS]
    cache = jax.config.jax_compilation_cache_dir
    terminalreporter.write_line(f"programs: {programs.compiled} compiled, {programs.reused} taken from {cache}")


def pytest_generate_tests(metafunc):
    """`module_name` takes the name of every module of trigru."""
    if "module_name" in metafunc.fixturenames:
        names = [
            module.name
            for folder in ("common", "impls", "bench")
            for module in pkgutil.walk_packages([str(ROOT / folder)], f"trigru.{folder}.", onerror=lambda _: None)
            if ".test_" not in module.name and not _lacks_its_library(module.name)
        ]
        metafunc.parametrize("module_name", names)


def _lacks_its_library(name):
    """A peer's module, where the peer is not installed."""
    parts = name.split(".")
    return "peers" in parts[:-1] and importlib.util.find_spec(parts[-1]) is None


@pytest.fixture(params=port_names())
def port(request):
    """Each port that is installed."""
    reason = unavailable(request.param)
    if reason:
        pytest.skip(reason)
    return get_port(request.param)


@pytest.fixture
def case():
    """Three sequences of 7 steps, 5 inputs, 6 units, in float32."""
    return Case.random(3, 7, 5, 6).astype("float32")


@pytest.fixture
def unchecked():
    """Lets mis-shaped arrays past the type checker, as they get past it at a user's."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def optimized():
    """Programs are compiled as users have them, but for the emitters that turn a fusion into machine code."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def rng(request):
    """A generator of the test's own, the same at each run; its seed is printed when the test fails."""
    seed = zlib.crc32(request.node.nodeid.encode())
    print(f"seed {seed}")
    return np.random.default_rng(seed)
