"""`trigru compare`: what is not proven equal gets no number, and what was proven is kept."""

import os
import re
from collections.abc import Callable
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from support.cli import invoke
from support.processes import ask_here
from support.runs import make_results, plan
from trigru.bench.arms.plan import expand
from trigru.bench.commands import compare
from trigru.bench.commands.bench import unproven_arms
from trigru.bench.processes.child import ChildDiedError
from trigru.bench.results.files import load
from trigru.bench.timing.messages import Underway
from trigru.common.equality.checks import DTYPES, get_checks
from trigru.common.equality.measurement import Measurement
from trigru.impls import linen

TINY = ("--quick", "--processes", "1", "--workload", "tiny", "--phase", "forward", "--port", "linen")


def compared(patch, folder, *checks):
    """Runs it; returns what it said, the results and what was measured of equality."""
    measured, real = [], compare.verify_ports

    def verify_ports(*arguments, **options):
        found = real(*arguments, **options)
        measured.extend(found[0])
        return found

    patch.setattr(compare, "verify_ports", verify_ports)
    patch.setattr(compare, "load_average", lambda: 0.125)
    patch.setattr(compare, "checks_of", lambda plan: get_checks(*checks))
    patch.setattr("trigru.bench.timing.supervisor.ask_process", ask_here)
    said = invoke("compare", *TINY, "-o", str(folder))
    return SimpleNamespace(said=said, results=load(folder / "results.json"), measured=measured, folder=folder)


def test_every_measurement_is_kept_and_report_prints_the_screen_again(tmp_path, monkeypatch):
    found = compared(monkeypatch, tmp_path, "held")
    assert found.said.exit_code == 0, found.said.output
    assert found.results.trigru.equality == found.measured
    assert found.results.trigru.load_before == 0.125, "before it verified"
    assert "XLA_PYTHON_CLIENT_PREALLOCATE" not in os.environ
    proven = {(m.port, m.dtype) for m in found.measured}
    assert proven == {(p, "float64") for p in ("pure", "linen")}
    assert [b.name for b in found.results.benchmarks] == ["pure[jit]", "pure[jit]#2", "linen[apply]"]
    proven = r"^Proven equal: plain JAX, linen \(1 check; errors up to \de[-+]\d\d, 1e-12 is allowed\)\.$"
    assert re.search(proven, found.said.stdout, re.MULTILINE), "perhaps below a warning of the machine's load"
    assert invoke("report", str(tmp_path)).stdout == found.said.stdout
    assert "Equality with the NumPy oracle" in invoke("report", str(tmp_path), "--details").stdout


def without_b_hn(load: Callable) -> Callable:
    def loaded(self, config, params):
        model = load(self, config, params)
        cell = model.params.get("gru", model.params)["cell"]
        cell["hn"]["bias"] = cell["hn"]["bias"] * 0
        return model

    return loaded


def test_a_port_that_fails_is_named_exits_1_and_gets_no_number(tmp_path, monkeypatch):
    monkeypatch.setattr(linen.LinenPort, "load", without_b_hn(linen.LinenPort.load))
    checks, failure = ("conversion", "golden"), "conversion: defect in float64"
    found = compared(monkeypatch, tmp_path, *checks)
    assert found.said.exit_code == 1
    assert [b.name for b in found.results.benchmarks] == ["pure[jit]", "pure[jit]#2"]
    reasons = [(untimed.arm.name, untimed.reason) for untimed in found.results.untimed]
    assert reasons == [("linen[apply]", f"not proven equal: {', '.join(checks)}")]
    report = (tmp_path / "report.md").read_text()
    for text in (found.said.stdout, report):
        assert f"FAILED linen: {failure}" in text
        assert reasons[0][1] in re.sub(r"\s+", " ", text)
    screen = found.said.output
    assert screen.index("linen[apply]") < screen.index("written:")
    assert f"FAILED: linen is not proven equal ({', '.join(checks)})" in screen
    assert "Proven equal: plain JAX (" in screen


@pytest.mark.parametrize("kernels", [("stock",), ("stock", "fused")])
def test_what_ratios_are_relative_to_is_verified_too(tmp_path, monkeypatch, kernels):
    seen, timed = [], []

    def verify_ports(names, dtypes, checks, kernels, styles, *, prover, anew):
        seen.append((names, dtypes, checks, tuple(map(str, kernels)), styles))
        assert not anew
        prover.backend = "tpu"
        return [], {"linen": "no flax"}

    monkeypatch.setattr(compare, "verify_ports", verify_ports)
    monkeypatch.setattr(compare, "benchmark", lambda *_, **options: timed.append(options) or make_results([]))
    options = [word for kernel in kernels[1:] for word in ("--kernel", kernel)]
    assert invoke("compare", "--port", "linen", *options, "-o", str(tmp_path)).exit_code == 0
    assert seen == [(("pure", "linen"), DTYPES, None, kernels, None)], "in every check, dtype and call style"
    ((equality, backend),) = [(t["equality"], t["backend"]) for t in timed]
    assert (equality, backend) == ([], "tpu"), "the one on which it was proven"


@pytest.mark.parametrize(
    ("kernel", "lost"), [("fused", {"linen[apply]:fused"}), ("stock", {"linen[apply]", "linen[apply]:fused"})]
)
def test_a_kernel_that_is_not_proven_equal_loses_its_own_arms_alone(kernel, lost):
    wrong = Measurement("linen", "chunks", None, "carry", "float64", 1.0, 0.0, kernel=kernel)
    arms = expand(plan(kernels=("fused",)))
    unproven = unproven_arms(arms, [wrong])
    assert {untimed.arm.name: untimed.reason for untimed in unproven} == dict.fromkeys(lost, "not proven equal: chunks")
    assert all(untimed.arm in arms for untimed in unproven)


def interrupted(request, limit_s):
    yield Underway("measure the machine's limits", 0.0)
    raise ChildDiedError("killed")


def test_a_run_that_is_resumed_keeps_what_was_proven_and_times_nothing_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr(linen.LinenPort, "load", without_b_hn(linen.LinenPort.load))
    monkeypatch.setattr(compare, "checks_of", lambda plan: get_checks("golden"))
    monkeypatch.setattr("trigru.bench.timing.supervisor.ask_process", interrupted)
    died = invoke("compare", *TINY, "-o", str(tmp_path))
    assert isinstance(died.exception, ChildDiedError)
    assert "0 of 1 parts are kept" in died.stderr, "the proof is"
    monkeypatch.setattr(compare, "verify_ports", lambda *_, **__: pytest.fail("it was verified again"))
    monkeypatch.setattr("trigru.bench.timing.supervisor.ask_process", ask_here)
    assert invoke("compare", *TINY, "-o", str(tmp_path), "--resume").exit_code == 1
    results = load(tmp_path / "results.json")
    assert [b.name for b in results.benchmarks] == ["pure[jit]", "pure[jit]#2"]
    assert [u.reason for u in results.untimed] == ["not proven equal: golden"]
    assert {m.port for m in results.trigru.equality} == {"pure", "linen"}


def test_a_run_of_bench_or_of_other_versions_is_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr("trigru.bench.timing.supervisor.ask_process", interrupted)
    path = tmp_path / "results.partial.jsonl"
    monkeypatch.setattr("trigru.bench.commands.bench.kept", lambda *_: "")
    assert isinstance(invoke("bench", *TINY, "-o", str(tmp_path)).exception, ChildDiedError)
    found = invoke("compare", *TINY, "-o", str(tmp_path), "--resume")
    assert "nothing was proven in it" in str(found.exception)
    path.write_bytes(path.read_bytes().replace(version("jax").encode(), b"0.1"))
    found = invoke("bench", *TINY, "-o", str(tmp_path), "--resume")
    assert "was begun elsewhere: jax " in str(found.exception)
    assert "was 0.1. Begin anew with --discard." in str(found.exception)


def test_where_plain_jax_is_not_equal_that_is_said_and_nothing_is_written(tmp_path, monkeypatch):
    found = [Measurement("pure", "chunks", None, "carry", "float64", 1.0, 0.0)]
    monkeypatch.setattr(compare, "verify_ports", lambda *_, **__: (found, {}))
    said = invoke("compare", *TINY, "-o", str(tmp_path))
    assert said.exit_code == 1
    assert "FAILED pure: chunks" in said.stdout
    assert "FAILED: plain JAX is not proven equal (chunks)" in said.stdout
    assert "no arm has a number" in said.stderr
    assert list(tmp_path.iterdir()) == []
