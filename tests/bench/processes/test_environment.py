"""The variables that child processes get."""

import os

import pytest
from trigru.bench.processes.environment import (
    JaxEnvironmentError,
    check_jax,
    parts_of_cpu,
    shared_memory,
    with_variables,
)

TWO = "--xla_force_host_platform_device_count=2"
EIGHT = "--xla_force_host_platform_device_count=8"
PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"


def test_a_cpu_is_divided_by_a_flag_of_xla(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert parts_of_cpu(2) == {"XLA_FLAGS": TWO}


def test_flags_of_a_child_come_after_those_of_the_user_since_xla_takes_the_last(
    monkeypatch,
):
    monkeypatch.setenv("XLA_FLAGS", EIGHT)
    assert parts_of_cpu(2) == {"XLA_FLAGS": f"{EIGHT} {TWO}"}


@pytest.mark.parametrize("devices", [1, None])
def test_one_device_needs_no_flag(devices):
    assert parts_of_cpu(devices) == {}


def test_the_memory_of_a_gpu_is_shared_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv(PREALLOCATE, raising=False)
    assert shared_memory() == {PREALLOCATE: "false"}
    monkeypatch.setenv(PREALLOCATE, "true")
    assert shared_memory() == {}


def test_variables_are_there_within_the_context_alone(monkeypatch):
    monkeypatch.delenv("TRIGRU_TEST", raising=False)
    with with_variables({"TRIGRU_TEST": "1"}):
        assert os.environ["TRIGRU_TEST"] == "1"
    assert "TRIGRU_TEST" not in os.environ


def test_the_message_of_a_jax_that_does_not_start_is_passed_on(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "no_such_platform")
    with pytest.raises(JaxEnvironmentError, match="'no_such_platform'"):
        check_jax()
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    check_jax()
