"""Who is named as the fastest, and what is not compared."""

import numpy as np
import pytest
from support.runs import make_arm, make_benchmark, make_results, with_facts
from trigru.bench.analysis.answer import answer

FAST = {
    "pure[jit]": 1e-4, "pure[jit]#2": 1e-4, "linen[apply]": 1e-4, "nnx[nnx.jit]": 3.5e-4, "nnx[split-merge]": 1e-4,
    "equinox[filter_jit]": 1.4e-4, "equinox[partition]": 1e-4,
}  # fmt: skip


def timed(times_s, workload="question", process=None, **facts):
    process = np.repeat(range(5), 3) if process is None else process
    return [
        make_benchmark(
            make_arm(name, workload), s * (1 + 1e-4 * process), process, ratio=float(np.mean(s)) / 1e-4, **facts
        )
        for name, s in times_s.items()
    ]  # fmt: skip


def test_documented_styles_part_frameworks_that_are_alike():
    (row,) = answer(make_results(timed(FAST))).rows
    assert row.fastest == {"documented": ["linen"], "functional": ["linen", "nnx", "equinox"]}
    styles = {port: cell.style for port, cell in row.cells["documented"].items()}
    assert styles == {"linen": "apply", "nnx": "nnx.jit", "equinox": "filter_jit"}
    assert row.styles["nnx"].difference_s == pytest.approx(2.5e-4, rel=1e-3)
    assert row.cells["documented"]["nnx"].time_s == pytest.approx(3.5e-4, rel=1e-3)


def test_the_fastest_style_that_keeps_state_is_advised_and_not_ranked():
    own = {"nnx[nnx.jit-tree]": 2e-4, "nnx[jit_partial]": 1.5e-4, "nnx[cached_partial]": 1e-4}
    (row,) = answer(make_results(timed(FAST | own))).rows
    assert {port: cell.style for port, cell in row.keeping.items()} == {"nnx": "jit_partial"}
    assert {port: d.other for port, d in row.advised.items()} == {
        "nnx": "nnx[jit_partial]",
        "equinox": "equinox[partition]",
    }
    assert row.cells == answer(make_results(timed(FAST))).rows[0].cells


def test_who_is_fastest_does_not_depend_on_a_baseline_that_jumps():
    """The ratio to plain JAX may order frameworks otherwise than their own times do."""
    times = {"pure[jit]": np.tile([3e-5, 4e-5], 6), "linen[apply]": np.full(12, 5.6e-5)}
    times |= {"nnx[split-merge]": np.full(12, 5.7e-5), "equinox[partition]": np.full(12, 5.2e-5)}
    (row,) = answer(make_results(timed(times, process=np.repeat([0, 1], 6)))).rows
    assert row.fastest["functional"] == ["equinox"]


def test_another_device_or_other_equations_are_not_compared():
    for change in ({"backend": "gpu", "device": "A GPU"}, {"differs": "resets before the product", "gate": None}):
        odd = [with_facts(b, **change) if b.arm.port == "equinox" else b for b in timed(FAST)]
        (row,) = answer(make_results(odd)).rows
        assert row.fastest == {"documented": ["linen"], "functional": ["linen", "nnx"]}
        assert [(d.one, d.other) for d in row.pairs["functional"]] == [("linen[apply]", "nnx[split-merge]")]


def test_too_few_rounds_or_a_single_framework_name_nobody():
    few = answer(make_results(timed(FAST, process=np.zeros(3, int))))
    alone = answer(make_results(timed({name: FAST[name] for name in ("pure[jit]", "pure[jit]#2", "linen[apply]")})))
    for (row,) in (few.rows, alone.rows):
        assert row.fastest == {"documented": [], "functional": []}
