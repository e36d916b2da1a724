"""From the command line to the printed cell, on a machine whose costs are known: every number is what arithmetic says.

What is asked goes in through the command line; what is looked at is results.json, report.md and the screen.
"""

import re
from itertools import groupby

import numpy as np
import pytest
from support.known import (
    DIVISIONS,
    FIRST,
    FLOOR,
    PEERS,
    PHASES,
    SIZE_NAMES,
    SIZES,
    STOCK,
    WORKLOADS,
    Arm,
    bench,
    check,
    groups,
    interval,
    limits,
    mean_interval,
    says,
    short,
    trigru,
    verdict,
)
from support.virtual import virtual_machine
from trigru.bench.reporting.answer import TRY_FUSED

FOLDED = ("arm", "why", "reason", "linen", "nnx", "equinox", "torch")
KERNELS_TITLE = "The fused kernel against each framework's own cell"


def arms(run, division, **chosen):
    return [arm for group in groups(division, **chosen) for arm in run.arms(group, DIVISIONS[division])]


def star(arm):
    return "*" * (not arm.same_program)


TIMES = {
    "arm": lambda a: a.name,
    "blocked": lambda a: (a.time_s,),
    "pipelined": lambda a: (np.median(a.pipelined_s),) if a.pipelined_s else "-",
    "/ pure[jit]": lambda a: a.other_ratio,
    "steps/s": lambda a: (a.steps / a.time_s,),
    "GFLOP/s, %": lambda a: a.rate,
    "time / pure[jit]": lambda a: "1 (baseline)" if a is a.baseline or a.name == "pure[jit]" else a.ratio,
    "verdict": lambda a: a.verdict,
}
PROGRAMS = {
    "arm": lambda a: a.name,
    **{column: lambda a, n=n: (1e-9 * a.build_ns[n],) for n, column in enumerate(("trace", "lower", "compile"))},
    "first": lambda a: (1e-9 * a.first_ns,),
    "leaves": lambda a: (a.called.leaves,),
    **{
        column: lambda a, name=name: "-" if a.port == "torch" else (a.called.counts[name],)
        for column, name in (("dots", "dot"), ("while", "while"), ("fusion", "fusion"), ("transp", "transpose"))
    },
    "temp": lambda a: "-" if a.port == "torch" else (a.called.temp_bytes,),
}


@pytest.mark.parametrize("group", [*groups("stock"), *groups("fused")])
def test_times_of_a_group(run, group):
    workload, phase, _, division = group.split("/")
    B, T, D, H = SIZES[workload]
    kernel = {"stock": "stock", "fused": "fused against stock"}[division]
    name = f"{workload} {phase}" + " fused" * (division == "fused")
    table = run.tables[f"{name}: B={B} T={T} D={D} H={H}, float32, kernel {kernel}"]
    found = run.arms(group, DIVISIONS[division])
    check(table, TIMES, found)
    for column in ("blocked", "time / pure[jit]"):
        cells = [row[table.columns.index(column)] for row in table.rows]
        assert len(set(cells)) == len(cells), f"{column}: a swap of these arms would not be seen"
    assert table.notes[0].startswith(f"18 paired rounds in 3 processes, {found[0].steps} steps a call.")
    assert table.notes[1].startswith(f"Noise floor ±{FLOOR:.1%}")
    programs = run.tables[f"{name}: programs"]
    prints = [row.pop() for row in programs.rows]
    assert programs.columns.pop() == "print"
    check(programs, PROGRAMS, found)
    assert [said == prints[0] for said in prints] == [arm.same_program for arm in found]


@pytest.mark.parametrize("group", [*groups("stock"), *groups("fused")])
def test_samples_in_the_file(run, group):
    """Each of its own arm: no call that was cold, and none that was waited for outside the clock."""
    for arm in run.arms(group, DIVISIONS[group.split("/")[3]]):
        found = run.measured[f"{group}/{arm.name}"]
        np.testing.assert_allclose(found.time_s, np.repeat(arm.blocked_s, 6), 1e-5, err_msg=arm.name)
        np.testing.assert_allclose(found.other_s, np.repeat(arm.pipelined_s, 2), 1e-5, err_msg=arm.name)
        assert [timed.calls for timed in found.timed.values()] == arm.calls
        assert found.process == list(np.repeat(range(3), 6))
        assert all(found.steady)
        assert found.facts.gate is not None
        assert (found.facts.program is None) == (arm.port == "torch")


def fused(run, **chosen):
    return [arm for arm in arms(run, "fused", **chosen) if ":" in arm.name]


def speedup(found):
    """Stock over fused: of one arm, or the mean of several."""
    logs = [arm.logs(arm.stock) for arm in found]
    log, low, high = interval(logs[0]) if len(logs) == 1 else mean_interval(logs)
    return 1 / log, 1 / high, 1 / low


def test_the_kernel_in_each_workload_and_on_average(run):
    means = [
        [Arm(run, f"{w}/{phase}/float32/fused", f"{name}:fused") for w in WORKLOADS]
        for phase in PHASES
        for name in FIRST
    ]
    columns = {
        "workload": lambda found: found[0].workload if len(found) == 1 else f"mean of {len(found)}",
        "phase": lambda found: found[0].phase,
        "arm": lambda found: found[0].stock.name,
        "stock": lambda found: (found[0].stock.time_s,) if len(found) == 1 else "-",
        "fused": lambda found: (found[0].time_s,) if len(found) == 1 else "-",
        "speedup": speedup,
        "verdict": lambda found: verdict([1 / x for x in speedup(found)]),
        "memory": lambda found: (
            (found[0].called.temp_bytes / found[0].stock.called.temp_bytes,) if len(found) == 1 else "-"
        ),
    }
    check(run.tables[KERNELS_TITLE], columns, [*means, *([arm] for arm in fused(run))])


def test_the_kernel_against_peers(run):
    sets = [WORKLOADS, *((w,) for w in WORKLOADS)]
    rows = [(found, phase, peer) for found in sets for phase in PHASES for peer in PEERS]

    def against(name):
        def cell(row):
            workloads, phase, peer = row
            logs = []
            for workload in workloads:
                group = f"{workload}/{phase}/float32/fused"
                logs.append(Arm(run, group, peer).logs(Arm(run, group, f"{name}:fused")))
            return short(mean_interval(logs) if len(logs) > 1 else interval(logs[0]))

        return cell

    columns = {
        "workload": lambda row: row[0][0] if len(row[0]) == 1 else f"mean of {len(row[0])}",
        "phase": lambda row: row[1],
        "peer": lambda row: row[2],
        **{name.partition("[")[0]: against(name) for name in FIRST},
    }
    check(run.tables["The fused kernel against peers"], columns, rows)


def test_the_limits(run):
    gemm, copy = limits(run)
    text = (run.folder / "report.md").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("Limits of the machine"))
    assert says(re.sub(r".*run: ", "", line).replace("GB/s", "").replace("GFLOP/s", ""), (gemm, copy))
    for process, by_dtype in enumerate(run.results["trigru"]["ceilings"]):
        said = by_dtype["float32"]
        assert (said["gemm_gflop_per_s"], said["copy_gbyte_per_s"]) == pytest.approx(
            run.machine.limits(process), rel=1e-6
        )


def test_report_shows_the_same_screen_and_with_details_all_that_the_page_has(run):
    with virtual_machine():
        found = [trigru("report", run.folder, *options).stdout for options in ((), ("--details",))]
    assert found[0] == run.screen
    usual, end = (text.replace(f"{TRY_FUSED}\n", "") for text in found)  # a full screen, as on a busy machine, lacks it
    assert end.endswith(usual[usual.index("Not verified") :])
    detailed = re.sub(r"\s+", "", found[1])
    for title, table in run.tables.items():
        assert re.sub(r"\s+", "", title) in detailed, title
        for row in table.rows:
            columns = zip(table.columns, row, strict=True)
            for folded, cells in groupby(columns, lambda column: column[0] in FOLDED):
                text = re.sub(r"\s+", "", "".join(cell for _, cell in cells))
                assert folded or text in detailed, f"{title}: {row}"


# A sweep.


@pytest.mark.parametrize("size", SIZE_NAMES)
def test_a_sweep_changes_one_size_and_says_so(tmp_path, size):
    values = (3, 90)
    options = ("--workload", "tiny", "--size", f"{size}=3,90", "--phase", "forward", "--port", "linen")
    run = bench(tmp_path, *options, "--port", "nnx")
    rows = {}
    for value in values:
        group = f"tiny@{size}={value}/forward/float32/stock"
        found = run.arms(group, STOCK[:5])
        B, T, D, H = (value if size == s else n for s, n in zip(SIZE_NAMES, SIZES["tiny"], strict=True))
        title = f"tiny@{size}={value} forward: B={B} T={T} D={D} H={H}, float32, kernel stock"
        check(run.tables[title], TIMES, found)
        for arm in found[2:]:
            rows.setdefault(arm.name, {})[value] = arm
    columns = {
        "arm": lambda row: f"{row[3].name} forward",
        **{str(v): lambda row, v=v: ("%" + star(row[v]), row[v].ratio[0] - 1) for v in values},
        "under 1% from": lambda row: (
            "beyond" if row[90].ratio[0] > 1.01 else "90" if row[90].ratio[2] < 1.01 else "90 by estimate"
        ),
    }
    check(
        run.tables[f"Framework overhead against size: share of pure[jit]'s time, by {size}"],
        columns,
        list(rows.values()),
    )
    assert re.search(r"Framework\s+overhead\s+against\s+size", run.screen)
    assert (tmp_path / "sweep.png").stat().st_size > 10_000
