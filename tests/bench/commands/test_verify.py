"""`trigru verify`: ports, the frameworks' own parts, and planted faults."""

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
from trigru.bench.processes.child import Child
from trigru.bench.proving import prover as proving
from trigru.bench.proving.prover import Answered, Prover
from trigru.common.equality.checks import get_checks
from trigru.common.equality.measurement import Measurement
from trigru.common.equality.verification import Examiner
from trigru.impls import upstream
from trigru.impls.faults import FAULTS, Fault
from trigru.impls.pure import PORT
from trigru.impls.upstream import DEPARTURES

(NO_B_HN,) = (fault for fault in FAULTS if fault.name == "no-b-hn")


def test_verify_speaks_to_machines_of_what_was_asked_for():
    found = invoke(
        *(
            "verify",
            "--port",
            "pure",
            "--port",
            "linen",
            "--check",
            "conversion",
            "--check",
            "closed",
        ),
        *(
            "--dtype",
            "float64",
            "--kernel",
            "stock",
            "--kernel",
            "fused",
            "--format",
            "json",
        ),
    )
    assert found.exit_code == 0
    data = json.loads(found.stdout)
    assert (data["schema"], data["passed"], data["unavailable"]) == (2, True, {})
    assert data["versions"]["jax"]
    seen = {
        (m["port"], m["kernel"], m["check"], m["dtype"]) for m in data["measurements"]
    }
    assert seen == {
        *product(
            ("pure", "linen"),
            ("stock", "fused"),
            ("conversion", "closed"),
            ("float64",),
        )
    }


def test_each_kind_of_row_that_failed_has_a_script_of_its_own(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    row = Measurement(
        "pure", "contract", None, "carry", "float64", 1.0, 1e-12, levels={"T": "1"}
    )
    fused = replace(row, kernel="fused")
    command._write_scripts(
        [
            row,
            replace(row, quantity="outputs"),
            fused,
            replace(row, check="other", error=0.0),
        ]
    )
    written = [
        str(command.SCRIPTS / f"{name}.py")
        for name in ("pure-contract", "pure-fused-contract")
    ]
    assert capsys.readouterr().err.splitlines() == [
        f"alone: python {path}" for path in written
    ]
    assert sorted(str(path) for path in command.SCRIPTS.iterdir()) == written
    assert "fused" in (tmp_path / written[1]).read_text()


def test_what_needs_devices_is_asked_of_processes_that_have_as_many_and_the_rest_of_others(
    monkeypatch,
):
    asked = set()

    class Fake(Child):
        def __init__(self, _, variables):
            self.flags = variables.get("XLA_FLAGS")

        def __exit__(self, *_): ...

        def answers_to(self, request, *_):
            for number, question in enumerate(request.questions):
                asked.add((question.check == "devices", self.flags))
                yield from (number, Answered(number, EQUAL))

    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setattr(proving, "Child", Fake)
    monkeypatch.setattr(proving, "cores", lambda: 2)
    assert invoke("verify", "--port", "pure", "--devices", "3").exit_code == 0
    assert asked == {(False, None), (True, "--xla_force_host_platform_device_count=3")}


def test_verify_counts_what_failed(monkeypatch):
    asked = (
        "verify",
        "--port",
        "pure",
        "--check",
        "start",
        "--check",
        "held",
        "--dtype",
        "float64",
    )
    found = invoke(*asked)
    assert found.exit_code == 0
    assert "2 measurements, all within their bounds." in found.stderr
    whole = Examiner.ask
    one_more = lambda m: replace(m, error=m.error + (m.check == "held"))  # noqa: E731
    monkeypatch.setattr(Examiner, "ask", lambda *asked: one_more(whole(*asked)))
    found = invoke(*asked)
    assert found.exit_code == 1
    content = json.loads(invoke(*asked, "--format", "json").stdout)
    assert [m["passed"] for m in content["measurements"]].count(False) == 1
    assert "1 of 2 measurements failed." in found.stderr
    of_parts = (
        "verify",
        "--upstream",
        "--port",
        "linen",
        "--check",
        "held",
        "--dtype",
        "float32",
    )
    for nothing in (invoke(*asked[:-1], "float32"), invoke(*of_parts)):
        assert nothing.exit_code == 2
        assert "nothing was measured" in nothing.stderr


def test_upstream_fails_when_something_is_not_as_on_record(monkeypatch):
    monkeypatch.setattr(command, "OF_PARTS", get_checks("conversion", "start"))
    found = invoke("verify", "--upstream", "--port", "linen", "--dtype", "float64")
    assert found.exit_code == 0, found.stderr
    assert "1 departures, all on record" in found.stderr
    assert "FAILED" not in found.stdout
    other = DEPARTURES[0]._replace(what="converts otherwise", checks=("conversion",))
    monkeypatch.setattr(upstream, "DEPARTURES", (other,))
    asked = ("--check", "start", "--check", "conversion")
    found = invoke(
        "verify",
        "--upstream",
        "--port",
        "linen",
        "--dtype",
        "float64",
        "--format",
        "json",
        *asked,
    )
    assert found.exit_code == 1
    departures = {
        (d["part"], d["what"], d["seen"], d["status"])
        for d in json.loads(found.stdout)["departures"]
    }
    assert departures == {
        ("nn.RNN", "converts otherwise", "passes conversion", "GONE"),
        ("nn.RNN", "fails start", "explained by no departure", "NEW"),
    }
    assert "2 of 2 departures are not as on record" in found.stderr


@pytest.mark.parametrize("option", [(), ("--upstream",)], ids=["ports", "upstream"])
def test_a_framework_that_is_missing_is_said_and_the_rest_goes_on(option, tmp_path):
    (tmp_path / "equinox.py").write_text("raise ImportError('not here')")
    chosen = ("--check", "conversion", "--dtype", "float64", "--format", "json")
    command = [sys.executable, "-m", "trigru.bench.cli", "verify", *option, *chosen]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    found = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment
    )
    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    assert "not here" in data["unavailable"]["equinox"]
    assert option or "Not checked: equinox." in found.stderr
    assert data["measurements"]


def test_the_self_test_fails_when_a_fault_goes_unnoticed_or_the_sound_port_fails(
    monkeypatch,
):
    harmless = Fault("harmless", "none", "sequence", PORT)
    for faults, exit_code in (((NO_B_HN,), 0), ((NO_B_HN, harmless), 1)):
        monkeypatch.setattr("trigru.impls.faults.FAULTS", faults)
        found = invoke("verify", "--self-test")
        assert found.exit_code == exit_code
        assert f"1 of {len(faults)} noticed" in found.stdout
        assert ("NONE" in found.stdout) == bool(exit_code)
        assert "says nothing" not in found.stderr
    whole = Examiner.ask

    def ask(examiner, port, *question):
        found = whole(examiner, port, *question)
        return replace(found, error=1.0) if port is PORT else found

    monkeypatch.setattr("trigru.impls.faults.FAULTS", (NO_B_HN,))
    monkeypatch.setattr(Examiner, "ask", ask)
    found = invoke("verify", "--self-test")
    assert found.exit_code == 1
    assert (
        "the port without a fault failed, too: the above says nothing" in found.stderr
    )
    proved = Prover.prove

    def prove(prover, asked, on):
        found = proved(prover, asked, on)
        prover.died = asked
        return found

    monkeypatch.setattr(Prover, "prove", prove)
    found = invoke("verify", "--self-test")
    assert (found.exit_code, "0 of 1 noticed" in found.stdout) == (1, True), (
        "a death is no notice"
    )


def test_verify_says_what_it_compiled_and_where_it_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = ("verify", "--port", "pure", "--check", "counted")
    first, again, without = (
        invoke(*asked),
        invoke(*asked),
        invoke(*asked, TRIGRU_NO_CACHE="1"),
    )
    assert [f.exit_code for f in (first, again, without)] == [0, 0, 0]
    (kept,) = (tmp_path / "trigru" / "programs").iterdir()
    assert re.search(
        rf"^[1-9]\d* programs compiled, 0 taken from {kept}$", first.stderr, re.M
    ), first.stderr
    assert re.search(
        rf"^0 programs compiled, [1-9]\d* taken from {kept}$", again.stderr, re.M
    ), again.stderr
    assert re.search(r"^[1-9]\d* programs compiled$", without.stderr, re.M), (
        without.stderr
    )
