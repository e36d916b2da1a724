"""From the command line to the printed cell, with processes that measure nothing and answer with times that are known.

What the numbers between become is computed here once more, by the simplest arithmetic that gives them.
"""

import numpy as np
import pytest
from support.cli import invoke
from support.processes import FakeProcesses, samples
from trigru.bench.analysis.merge import load
from trigru.bench.arms.arms import expand

OPTIONS = ("--workload", "tiny", "--workload", "question", "--phase", "forward", "--phase", "step")
PORTS = ("--port", "linen", "--port", "nnx", "--style", "functional", "--kernel", "stock", "--kernel", "fused")


def compare(folder, *options, processes=None, expected=0):
    """What `trigru compare` leaves and prints, of three processes that answer at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trigru.bench.timing.supervisor.ask_process", processes or FakeProcesses())
        result = invoke("compare", "--no-proof", *options, "--processes", "3", "-o", str(folder))
    assert result.exit_code == expected, result.output
    return load(folder / "results.json"), result.stdout


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two workloads, two phases and both kernels: its folder, its arms and its screen."""
    folder = tmp_path_factory.mktemp("run")
    return folder, *compare(folder, *OPTIONS, *PORTS)


def times_of(benchmark):
    """The samples of each process, as the processes answered."""
    return [samples(process, benchmark.arm, benchmark.process.count(process)) for process in range(3)]


def test_every_arm_of_the_plan_has_its_own_samples(whole):
    _, run, _ = whole
    assert [b.arm for b in run.benchmarks] == expand(run.trigru.plan)
    assert {b.arm.workload.name for b in run.benchmarks} == {"tiny", "question"}
    assert {(b.arm.phase, b.arm.division) for b in run.benchmarks} == {
        (phase, kernel) for phase in ("forward", "step") for kernel in ("stock", "fused")
    }
    for b in run.benchmarks:
        assert b.time_s.tolist() == np.concatenate(times_of(b)).tolist(), b.arm.id
        assert b.steady == [True, False, False]


def test_ratios_are_paired_within_the_rounds_of_each_process(whole):
    _, run, _ = whole
    for group in run.groups().values():
        baseline = np.log(times_of(group[0]))
        for b in group:
            log_ratio = np.median(np.log(times_of(b)) - baseline, axis=1).mean()
            assert b.ratio == pytest.approx(np.exp(log_ratio), rel=2e-3), b.arm.id
            assert b.low <= b.ratio <= b.high
            expected = "slower" if b.arm.port == "linen" else "indistinguishable"
            assert b.arm.role != "arm" or b.verdict == expected, b.arm.id


def test_report_prints_the_screen_again_and_a_cell_is_the_ratio_of_its_arm(whole):
    folder, run, screen = whole
    assert invoke("report", str(folder)).stdout == screen
    page = (folder / "report.html").read_text()
    for b in run.benchmarks:
        if b.arm.role == "arm":
            cells = [line for line in page.splitlines() if f">{b.name}</td>" in line]
            assert any(f"{b.ratio:.3f}" in line or f"{b.ratio:.2f}" in line for line in cells), b.arm.id
