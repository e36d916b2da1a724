"""What NVIDIA's driver says, from its answers in the form that it has (nvidia-smi, CSV without units)."""

import subprocess

import jax
import pytest
from support.runs import with_machine
from trigru.bench.reporting.provenance import provenance_lines
from trigru.bench.timing import accelerators, machine
from trigru.bench.timing.accelerators import describe_gpus, read_gpus

ONE = "NVIDIA H100 80GB HBM3, 580.65.06, 1980, 345, 700.00, Disabled, 81559, 4, 0\n"
CONSUMER = "NVIDIA GeForce RTX 4090, 550.54.14, 3105, 210, 450.00, [N/A], 24564, 812, 3\n"


def test_each_gpu_is_described_and_what_is_not_known_is_left_out():
    first, second = read_gpus(ONE + CONSUMER)
    assert first == {
        "name": "NVIDIA H100 80GB HBM3", "driver": "580.65.06", "most MHz": "1980", "MHz": "345",
        "W at most": "700.00", "MIG": "Disabled", "MiB": "81559", "MiB used": "4", "% busy": "0",
    }  # fmt: skip
    assert "MIG" not in second
    assert second["MiB used"] == "812"


@pytest.mark.parametrize("text", ["", "\n", "No devices were found\n", "NVIDIA H100, 580\n"])
def test_another_answer_is_no_gpu(text):
    assert read_gpus(text) == []


def test_a_driver_that_fails_or_is_not_there_says_nothing(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert describe_gpus() == []
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")

    def fail(*_, **__):
        raise subprocess.TimeoutExpired("nvidia-smi", 1)

    monkeypatch.setattr(accelerators.subprocess, "run", fail)
    assert describe_gpus() == []


def test_a_cpu_is_not_asked_for_gpus_and_a_run_shows_what_was_said(monkeypatch, rng):
    from support.runs import draw_run

    monkeypatch.setattr(machine, "describe_gpus", lambda: pytest.fail("asked"))
    assert jax.devices()[0].platform == "cpu"
    assert machine.describe_machine().gpus == []
    run = with_machine(draw_run(1), gpus=read_gpus(ONE))
    assert [line for line in provenance_lines(run) if line.startswith("GPU: name NVIDIA H100 80GB HBM3, driver 580")]
