"""What JAX says about the environment is said before anything depends on it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from trigru.bench.processes import probe
from trigru.bench.processes.probe import JaxEnvironmentError, check_jax


@pytest.fixture
def plain(monkeypatch):
    """An environment that says nothing about JAX."""
    for name in list(probe.os.environ):
        if name.startswith(("JAX_", "XLA_", "TF_XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "LIBTPU_")):
            monkeypatch.delenv(name)
    probe._try.cache_clear()


def test_where_nothing_is_set_nothing_is_tried(plain, monkeypatch):
    monkeypatch.setattr(probe, "_try", lambda settings: pytest.fail(f"tried {settings}"))
    check_jax()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("JAX_PLATFORMS", "cuda", ""),  # without a GPU, JAX may raise an error without a word
        ("JAX_PLATFORMS", "abacus", "abacus"),
        ("JAX_ENABLE_X64", "perhaps", "perhaps"),
        ("JAX_DEFAULT_MATMUL_PRECISION", "finest", "finest"),
        ("XLA_FLAGS", "--xla_no_such_flag=1", "xla_no_such_flag"),
    ],
)
def test_what_is_wrong_is_one_sentence(plain, monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(JaxEnvironmentError) as raised:
        check_jax()
    message = str(raised.value)
    assert message.startswith(f"JAX does not start with {name}={value}: ")
    assert said in message.partition(": ")[2] > ""
    assert "\n" not in message
    assert "Traceback" not in message


def test_what_jax_says_last_is_what_is_said(plain, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(probe, "_CODE", "import sys; print('a warning', file=sys.stderr); sys.exit('the error')")
    with pytest.raises(JaxEnvironmentError, match=": the error$"):
        check_jax()


def test_what_is_right_is_tried_once(plain, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    check_jax()
    monkeypatch.setattr(probe.subprocess, "Popen", lambda *_, **__: pytest.fail("tried again"))
    check_jax()


def test_a_jax_that_never_starts_is_given_up(plain, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(probe, "_CODE", "import time; time.sleep(600)")
    monkeypatch.setattr(probe, "LIMIT_S", 0.2)
    with pytest.raises(JaxEnvironmentError, match=r"has not started after 0\.2 s"):
        check_jax()


STARTED = """
import os, sys
from trigru.bench.processes import probe
probe._CODE = probe._CODE.partition("try:")[0] + "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
real = probe.subprocess.Popen
probe.subprocess.Popen = lambda *a, stdout, **k: real(*a, stdout=sys.stdout, **k)
os.environ["JAX_PLATFORMS"] = "cpu"
probe.check_jax()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends it there alone")
def test_what_is_tried_ends_with_the_process_that_tries_it():
    with subprocess.Popen([sys.executable, "-c", STARTED], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 5.0
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.05)
    assert time.monotonic() < deadline, "it lives on"
