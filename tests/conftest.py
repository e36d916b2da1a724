"""Shared fixtures. The type checker goes in before anything of trigru is imported."""

import importlib.util
import os
import signal
import tempfile
import zlib
from importlib.metadata import version
from pathlib import Path

import jaxtyping
from packaging.version import Version

if Version(version("jaxlib")) < Version(
    "0.11"
):  # later ones know no other emitters; an unknown flag ends the process
    FASTER = (
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    )
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FASTER}"

if importlib.util.find_spec(
    "beartype"
):  # not where pytest-benchmark loads this file to compare results
    jaxtyping.install_import_hook("trigru", "beartype.beartype")

import jax
import numpy as np
import pytest
from trigru.impls import get_port, port_names, unavailable

# what is compared in helpers is shown where they fail, as in tests
pytest.register_assert_rewrite("support")

# what is claimed is claimed within one worker; the font cache is not made anew for each
os.environ.setdefault("MPLCONFIGDIR", str(Path.home() / ".cache" / "matplotlib"))
os.environ["MPLBACKEND"] = "agg"  # as what draws sets it, for good
_CACHE = tempfile.TemporaryDirectory(prefix="trigru-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name

ROOT = Path(__file__).parents[1]

jax.config.update("jax_numpy_rank_promotion", "raise")
# for tests alone: never set where anything is timed
jax.config.update(
    "jax_compilation_cache_dir",
    os.environ.get("TRIGRU_TEST_CACHE", str(ROOT / ".jax_cache")),
)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
# the same HLO, but LLVM takes less time over it
jax.config.update("jax_disable_most_optimizations", True)


#: The long tier: real trainings, snapshots, kills, the snippets of the docs. `-m long`
#: runs it.
LONG = (
    "bench/proving/test_compiled_programs.py::test_damaged_programs",
    "bench/test_devices.py",
    "bench/timing/test_worker.py::test_the_second_process_compiles",
    "bench/upgrades/test_parts.py::test_every_part",
    "common/equality/test_verification.py::test_assert_equivalent_names_what_differs",
    "docs",
    "bench/processes/test_interrupts.py::test_a_run_that_is_ended",
    "bench/results/test_hostile.py::test_a_damaged",
    "fuzz",
)
#: Files and folders that together give a first answer within 40 seconds. `-m quick`
#: runs them.
QUICK = (
    *(
        "test_architecture.py",
        "bench/reporting",
        "bench/results",
        "common/equality/test_oracle.py",
    ),
    *("common/parameters", "common/port", "common/program", "common/test_files.py"),
)


def pytest_collection_modifyitems(items):
    for item in items:
        name = item.path.relative_to(ROOT / "tests").as_posix()
        if f"{name}::{item.name}".startswith(LONG):
            item.add_marker(pytest.mark.long)
        elif name.startswith(QUICK):
            item.add_marker(pytest.mark.quick)


@pytest.fixture(params=port_names())
def port(request):
    reason = unavailable(request.param)
    if reason:
        pytest.skip(reason)
    return get_port(request.param)


def _settings():
    """What a test may change for itself alone, by name."""
    options = (
        "jax_enable_x64",
        "jax_default_matmul_precision",
        "jax_numpy_rank_promotion",
    )
    options += ("jax_enable_compilation_cache",)
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return {
        **{option: getattr(jax.config, option) for option in options},
        "jax_disable_most_optimizations": jax.config.read(
            "jax_disable_most_optimizations"
        ),
        **{
            "handlers of signals": [*map(signal.getsignal, signals)],
            "folder": os.getcwd(),
        },
    }


@pytest.fixture(autouse=True)
def settings_kept():
    """No test passes on its settings, on which the next ones would depend."""
    before = _settings()
    yield
    assert _settings() == before


@pytest.fixture
def unchecked():
    """Lets mis-shaped arrays past the type checker, as they get past it at a user's."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def rng(request):
    """A generator of the test's own, the same at each run; its seed is printed when the
    test fails.
    """
    seed = zlib.crc32(request.node.nodeid.encode())
    print(f"seed {seed}")
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def quick_bootstrap():
    """A hundredth of a standard error here or there is not what is tested, and there
    are ten thousand bootstraps.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RESAMPLES", "RESAMPLES_EACH"):
            patch.setattr(f"trigru.bench.analysis.statistics.{name}", 100)
        yield
