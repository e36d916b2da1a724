"""A file in the current folder is not imported by the processes that trigru starts."""

import subprocess

import pytest
from trigru.bench.processes import probe
from trigru.bench.processes.child import Child, ChildDiedError, environment, interpreter
from trigru.impls.upstream.known import ends

WORKERS = ("timing.worker", "timing.coldstart", "proving.worker", "upgrades.worker")
#: Modules that Python, the workers and JAX import.
NAMES = ("queue", "types", "signal", "msgspec", "jax", "numpy", "secrets")


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A file that exists once one of the modules in the current folder has run."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'a').write('{name} ')")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "marker"


@pytest.mark.parametrize("module", WORKERS)
def test_a_worker_imports_nothing_from_the_current_folder(module, marker):
    with (
        Child(f"trigru.bench.{module}:answer_request") as child,
        pytest.raises(ChildDiedError, match="measuring process died"),
    ):
        list(child.lines_of(b"no request", 60.0))
    assert not marker.exists()


def test_nor_does_a_program_that_is_tried(marker):
    assert ends("import queue, secrets")
    assert probe._try.__wrapped__((("JAX_PLATFORMS", "cpu"),)) is None
    assert not marker.exists()


def test_nor_does_what_such_a_process_starts(marker):
    inner = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import secrets'], check=True)"
    subprocess.run(interpreter("-c", inner), env=environment(), check=True)
    assert not marker.exists()
