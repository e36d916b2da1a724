"""What sentences of the docs say of committed results is what the results say."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.rates import rates_of
from trigru.bench.analysis.speedups import speedups

ROOT = Path(__file__).parents[2]
WORKLOADS = ("question", "medium", "long", "large")
#: The rows that docs/which-framework.md and docs/claims.md show.
SITUATIONS = (
    ("question", "step"),
    ("question", "forward"),
    ("question", "train_step"),
    ("vowels", "train_step"),
    ("medium", "train_step"),
    ("large", "train_step"),
)


@cache
def run(name):
    return load(ROOT / "docs" / "results" / f"{name}.json.gz")


def facts(name, workload, phase, arm):
    """Of an arm of a run."""
    (found,) = (
        b for b in run(name).benchmarks if (str(b.arm.workload), b.arm.phase, b.arm.name) == (workload, phase, arm)
    )
    return found


def says(page, *sentences):
    """Whether a page has the sentences, however its lines are broken."""
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    for sentence in sentences:
        assert sentence in text


def test_the_layouts_make_the_difference_in_the_published_run():
    linen, nnx = (facts("cpu", "question", "train_step", arm) for arm in ("linen[apply]", "nnx[split-merge]"))
    shown = [f"{f.ratio:.2f} [{f.ratio_low:.2f}, {f.ratio_high:.2f}]" for f in (linen, nnx)]
    says("docs/measurement-method.md", f"linen takes {shown[0]} and NNX {shown[1]}.")


def test_transposes_of_equinox():
    equinox, pure = (
        facts("cpu", "medium", "train_step", arm).facts.program for arm in ("equinox[partition]", "pure[jit]")
    )
    says(
        "docs/measurement-method.md",
        f"({equinox.transposes} times in the train step of `medium`, where plain JAX has {pure.transposes})",
    )
    for phase in ("forward", "train_step", "step"):
        program = facts("cpu", "question", phase, "equinox[partition]").facts.program
        assert program.transposes == 0, "on one sequence"


@pytest.mark.parametrize("workload", ["tiny", "medium"])
def test_linen_trains_fastest_on_these(workload):
    ratios = {
        arm: facts("cpu", workload, "train_step", arm).ratio
        for arm in ("linen[apply]", "nnx[split-merge]", "equinox[partition]")
    }
    assert min(ratios, key=ratios.get) == "linen[apply]"
    says("docs/measurement-method.md", "on `tiny` and `medium`, linen's train step is the fastest.")


def test_what_the_fused_kernel_gains_and_takes():
    found = {(str(s.benchmark.arm.workload), s.benchmark.arm.port): s for s in speedups(run("kernel"))}
    assert not [at for at, speedup in found.items() if speedup.verdict == "slower"]
    says("docs/kernel.md", "it was in no framework slower than the own cell")
    exception = found.pop(("question", "linen")).temp_share
    shares = [speedup.temp_share for speedup in found.values()]
    says(
        "docs/kernel.md",
        f"takes {min(shares):.2f} to {max(shares):.2f} times the temporary memory of the frameworks' own cells, "
        f"except in linen with 200 units on one sequence: {exception:.2f} times",
    )


def test_that_versions_differ_is_said_of_linen():
    for name in ("kernel", "cpu"):
        linen, jax = (facts(name, "question", "train_step", "linen[apply]"), run(name).trigru.machine.versions["jax"])
        shown = f"{linen.ratio:.2f} [{linen.ratio_low:.2f}, {linen.ratio_high:.2f}] times"
        says("docs/kernel.md", shown, f"(jax {jax})")


@pytest.mark.parametrize("kernel", ["stock", "fused"])
def test_how_near_large_is_to_the_machines_limit(kernel):
    shares = [
        rates_of(run("kernel"), b).share
        for b in run("kernel").benchmarks
        if str(b.arm.workload) == "large"
        and b.arm.kernel == kernel
        and b.arm.port in ("pure", "linen", "nnx", "equinox")
        and b.arm.role != "duplicate"
    ]
    low, high = (f"{100 * share:.0f}" for share in (min(shares), max(shares)))
    says("docs/kernel.md", f"{kernel} runs at {low} to {high} % of the rate")


def test_no_forward_pass_of_the_kernel_is_slower_than_that_of_onnx_runtime():
    found = [s for s in speedups(run("inference"), peers=True) if s.other.arm.port == "onnxruntime"]
    assert len(found) == 16, "four ports on four workloads"
    assert {s.verdict for s in found} == {"faster", "indistinguishable"}
    assert {s.verdict for s in found if str(s.benchmark.arm.workload) == "long"} == {"faster"}
    says("docs/kernel.md", "In no framework was the kernel's forward pass found slower than ONNX Runtime's.")


def test_what_the_kernel_does_to_a_forward_pass():
    verdicts = {(str(s.benchmark.arm.workload), s.benchmark.arm.port): s.verdict for s in speedups(run("inference"))}
    assert {verdicts[workload, port] for workload in WORKLOADS for port in ("pure", "nnx")} == {"indistinguishable"}
    assert [found for found, verdict in verdicts.items() if verdict == "slower"] == [("question", "linen")]
    faster = {found for found, verdict in verdicts.items() if verdict == "faster"}
    assert faster == {("long", "linen"), ("long", "equinox")}
    says("docs/kernel.md", "The forward pass is the same loop as plain JAX's and NNX's.")


def test_call_styles_matter_in_one_step_and_frameworks_differ_little_in_a_large_model():
    rows = {(str(row.workload), row.phase): row for row in answer(run("cpu")).rows}
    for workload in ("tiny", "question", "vowels", "medium"):
        step = rows[workload, "step"]
        between = max(max(d.ratio, 1 / d.ratio) for d in step.pairs["functional"])
        assert max(d.ratio for d in step.styles.values()) > between, workload
    says("docs/which-framework.md", "In one time step a call, the call style matters more than the framework.")
    for way in ("documented", "functional"):
        assert all(0.94 < d.ratio < 1.06 for d in rows["large", "train_step"].pairs[way])
    says("docs/which-framework.md", "**the three differ by a few per cent,** as documented and in functional style")


def test_versions_matter():
    """To linen's train step on one sequence."""
    new, old = (facts(name, "question", "train_step", "linen[apply]") for name in ("cpu", "cpu-py311"))
    assert new.ratio_high < old.ratio_low
    says("docs/which-framework.md", "**It depends on your versions**, too:")


def two(workload, phase, way, port, other="equinox"):
    """Of a framework against another, the difference in a row of the published run."""
    (row,) = (r for r in answer(run("cpu")).rows if (str(r.workload), r.phase) == (workload, phase))
    (found,) = (d for d in row.pairs[way] if {d.one.partition("[")[0], d.other.partition("[")[0]} == {port, other})
    assert found.one.startswith(port)
    return found


def test_what_the_page_of_claims_says():
    small = [two("tiny", phase, "documented", "nnx").ratio for phase in ("step", "forward", "train_step")]
    assert min(small) > 3
    everywhere = (("tiny", "step"), ("tiny", "forward"), *SITUATIONS)
    assert all(1 / 1.2 < two(*at, "functional", "nnx").ratio < 1.2 for at in everywhere)
    says("docs/claims.md", "it is more than three times", "In functional style the two are close at every size.")
    for workload, phase in SITUATIONS[:3]:
        nnx, equinox = (facts("cpu", workload, phase, arm) for arm in ("nnx[nnx.jit-tree]", "equinox[filter_jit]"))
        assert np.median(nnx.other_s) < np.median(equinox.other_s)
    says("docs/claims.md", "in calls that are not waited for, it is then the faster one")
    for phase in ("step", "forward", "train_step"):
        nnx, equinox = (facts("cpu", "tiny", phase, arm) for arm in ("nnx[nnx.jit-tree]", "equinox[filter_jit]"))
        assert nnx.ratio / equinox.ratio < 2
    linen = [two("tiny", phase, "documented", "linen").ratio for phase in ("step", "forward", "train_step")]
    assert all(1.8 < 1 / ratio < 2.3 for ratio in linen)
    says("docs/claims.md", "about twice at the smallest size")
    nnx, equinox = (
        {(str(row.workload), row.phase): row.styles[port] for row in answer(run("cpu")).rows}
        for port in ("nnx", "equinox")
    )
    assert nnx["question", "train_step"].difference_low_s > nnx["question", "step"].difference_high_s
    assert "slower" not in (nnx["large", "train_step"].verdict, equinox["large", "train_step"].verdict)
    says("docs/claims.md", "longer where an optimiser goes along, hidden by long calls")
