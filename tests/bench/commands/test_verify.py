"""`trigru verify`: what it says of ports, to people and to machines."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import product

import pytest
from support.cli import invoke
from support.runs import EQUAL
from trigru.bench.commands import verify as command
from trigru.bench.proving.prover import Proven, Prover
from trigru.common.equality.checks import CHECKS
from trigru.common.equality.measurement import Measurement
from trigru.common.equality.verification import Examiner

ROW = Measurement(
    "pure", "contract", None, "carry", "float64", 1.0, 1e-12, levels={"time": "1"}
)
HELD = ["--port", "pure", "--check", "start", "--check", "held", "--dtype", "float64"]


def test_the_json_has_what_was_asked_for():
    words = "--port pure --port linen --check conversion --check closed"
    words += " --dtype float64 --kernel stock --kernel fused --format json"
    result = invoke("verify", *words.split())
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    assert content["schema"] == 2
    assert content["passed"]
    assert content["unavailable"] == {}
    assert content["versions"]["jax"]
    measured = []
    for m in content["measurements"]:
        assert m["dtype"] == "float64"
        measured.append((m["port"], m["kernel"], m["check"]))
    kernels = ("stock", "fused")
    checks = ("conversion", "closed")
    assert set(measured) == set(product(("pure", "linen"), kernels, checks))


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """The scripts that are written for measurements, by their names."""
    monkeypatch.chdir(tmp_path)

    def write(measurements):
        command._write_scripts(measurements)
        paths = command.SCRIPTS.iterdir() if command.SCRIPTS.exists() else []
        return {path.name: path.read_text(encoding="utf-8") for path in paths}

    return write


def test_each_kind_of_row_that_failed_has_a_script_of_its_own(scripts, capsys):
    fused = replace(ROW, kernel="fused")
    written = scripts([ROW, replace(ROW, quantity="outputs"), fused])
    assert sorted(written) == ["pure-contract.py", "pure-fused-contract.py"]
    assert "fused" in written["pure-fused-contract.py"]
    assert capsys.readouterr().err.splitlines() == [
        "alone: python verify-failures/pure-contract.py",
        "alone: python verify-failures/pure-fused-contract.py",
    ]


def test_what_passed_has_no_script(scripts):
    assert scripts([replace(ROW, error=0.0)]) == {}


def test_what_needs_devices_is_asked_of_processes_that_have_as_many(monkeypatch):
    asked = {}

    class EqualProver(Prover):
        def __init__(self, devices=None):
            super().__init__(devices=devices)
            self.devices = devices

        def prove(self, questions, progress):
            asked[self.devices] = {question.check for question in questions}
            return Proven([EQUAL] * len(questions), [], 0, 0, "cpu")

    monkeypatch.setattr(command, "Prover", EqualProver)
    command.verify_ports(
        ("pure",), ("float64",), CHECKS, devices=3, prover=EqualProver()
    )
    assert asked[3] == {"devices"}
    assert "devices" not in asked[None]


def test_exit_code_0_if_all_measurements_pass():
    result = invoke("verify", *HELD)
    assert result.exit_code == 0
    assert "2 measurements, all within their bounds." in result.stderr


@pytest.fixture
def held_fails(monkeypatch):
    ask = Examiner.ask

    def ask_and_fail(*arguments):
        measurement = ask(*arguments)
        if measurement.check == "held":
            return replace(measurement, error=1.0)
        return measurement

    monkeypatch.setattr(Examiner, "ask", ask_and_fail)


@pytest.mark.usefixtures("held_fails")
def test_exit_code_1_if_a_measurement_fails():
    result = invoke("verify", *HELD)
    assert result.exit_code == 1
    assert "1 of 2 measurements failed." in result.stderr


@pytest.mark.usefixtures("held_fails")
def test_a_measurement_that_fails_is_a_finding():
    result = invoke("verify", *HELD, "--format", "github")
    assert result.exit_code == 1
    levels = [line.partition(" ")[0] for line in result.stdout.splitlines()[1:]]
    assert levels == ["::error", "::notice"]


def test_exit_code_2_if_nothing_is_measured():
    result = invoke("verify", *HELD[:-1], "float32")
    assert result.exit_code == 2
    assert "nothing was measured" in result.stderr


def test_a_framework_that_is_missing_is_said_and_the_rest_goes_on(tmp_path):
    code = "raise ImportError('not here')"
    (tmp_path / "equinox.py").write_text(code, encoding="utf-8")
    words = ["verify", "--check", "conversion", "--dtype", "float64"]
    command = [sys.executable, "-m", "trigru.bench.cli", *words, "--format", "json"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert "not here" in content["unavailable"]["equinox"]
    assert "Not checked: equinox." in done.stderr
    assert content["measurements"]


COUNTED = ("verify", "--port", "pure", "--check", "counted")
NUMBERS = re.compile(r"^(\d+) programs compiled(?:, (\d+) taken from (.+))?$", re.M)


def test_verify_says_what_it_compiled_and_where_it_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled, reused, kept_in = NUMBERS.search(invoke(*COUNTED).stderr).groups()
    (folder,) = (tmp_path / "trigru" / "programs").iterdir()
    assert int(compiled) > 0
    assert reused == "0"
    assert kept_in == str(folder)

    compiled, reused, _ = NUMBERS.search(invoke(*COUNTED).stderr).groups()
    assert compiled == "0"
    assert int(reused) > 0


def test_verify_says_what_it_compiled_where_nothing_is_kept(monkeypatch):
    monkeypatch.setenv("TRIGRU_NO_CACHE", "1")
    compiled, _, kept_in = NUMBERS.search(invoke(*COUNTED).stderr).groups()
    assert int(compiled) > 0
    assert kept_in is None
