"""Whether JAX starts with the settings of the environment."""

import os

import pytest
from trigru.bench.processes.jax_start import JaxEnvironmentError, check_jax

WORKERS = """
import os, time
from trigru.bench.processes.child import Parent

def good(parent: Parent[None]) -> None:
    for task in parent.tasks():
        with open(os.environ["STARTED"], "a") as file:
            file.write("started ")

def silent(parent: Parent[None]) -> None:
    for task in parent.tasks():
        time.sleep(600)
"""
SETTINGS = ("JAX_", "XLA_", "TF_XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "LIBTPU_")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in list(os.environ):
        if name.startswith(SETTINGS):
            monkeypatch.delenv(name)


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The file that a good worker writes to."""
    (tmp_path / "jax_workers.py").write_text(WORKERS, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("STARTED", str(tmp_path / "started"))
    return tmp_path / "started"


def test_without_settings_no_start_is_tried(started):
    check_jax("jax_workers:good")
    assert not started.exists()


def test_the_same_settings_are_tried_once(started, monkeypatch):
    # which no other test has tried
    monkeypatch.setenv("JAX_PLATFORMS", f"cpu,{started}")
    check_jax("jax_workers:good")
    check_jax("jax_workers:good")
    assert started.read_text(encoding="utf-8") == "started "


def test_a_jax_that_says_nothing_is_given_up(started, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    message = "JAX does not start with JAX_PLATFORMS=cpu: said nothing for 0.2 s"
    with pytest.raises(JaxEnvironmentError, match=message):
        check_jax("jax_workers:silent", limit_s=0.2)


def test_jax_starts_with_good_settings(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    check_jax()


def test_the_message_of_jax_is_passed_on(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "no_such_platform")
    with pytest.raises(JaxEnvironmentError, match="no_such_platform"):
        check_jax()
