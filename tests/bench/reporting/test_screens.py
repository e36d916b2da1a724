"""Each screen, whole, against a file in `golden`; and that it fits a terminal."""

import io
import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from rich.console import Console
from support import runs
from support.cli import shown
from support.golden import ROOT, check_golden
from support.runs import (
    ARMS,
    EQUAL,
    PROGRAM,
    draw_run,
    make_arm,
    make_benchmark,
    make_results,
    plan,
    with_provenance,
)
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.diff import diff
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.timings import timings
from trigru.bench.reporting.answer import answer_screen, run_markdown
from trigru.bench.reporting.diff import check_comparable, diff_tables, outcome
from trigru.bench.reporting.equality import equality_tables
from trigru.bench.reporting.exports import runs_csv, runs_json
from trigru.bench.reporting.naming import provenance_lines
from trigru.bench.reporting.times import all_tables, overhead_tables, speedup_tables
from trigru.bench.results.arm import Untimed
from trigru.common.equality.verification import NOT_OFFERED
from trigru.common.errors import UnjudgedError
from trigru.common.port.hlo import Collective

OTHER = replace(PROGRAM, fingerprint="other", dots=6)
FAST = runs.FAST | {"linen[apply]": 1.3e-4}
pytestmark = pytest.mark.usefixtures("quick_bootstrap")


def timed(
    workload="question", phase="forward", programs=None, rounds=3, processes=5, **facts
):
    """Processes which agree but for parts of a thousandth."""
    process, arms = np.repeat(range(processes), rounds), []
    for name, time_s in FAST.items():
        facts["verdict"] = "slower" if time_s > 1.1e-4 else "indistinguishable"
        facts |= {
            "ratio": time_s / 1e-4,
            "program": (programs or {}).get(name, PROGRAM),
        }
        arms.append(
            make_benchmark(
                make_arm(name, workload, phase),
                time_s * (1 + 0.0001 * process),
                process,
                **facts,
            )
        )
    return arms


def mixed():
    """A run with all that a screen can say: failures, noise, arms without a number, and
    another device.
    """
    odd = [
        runs.with_facts(b, backend="gpu", device="A GPU")
        if b.arm.port == "equinox"
        else b
        for b in timed("tiny")
    ]
    benchmarks = [
        *timed(programs={"linen[apply]": OTHER}),
        *odd,
        *timed("medium", "train_step", floor=0.2),
    ]
    failed = replace(EQUAL, port="nnx", error=1.0)
    untimed = [
        Untimed(make_arm("haiku[?]"), "haiku is not installed"),
        Untimed(make_arm("linen[leaves]"), "its first results were wrong"),
    ]
    results = make_results(
        benchmarks,
        equality=[EQUAL, replace(EQUAL, check="step"), failed],
        complete=False,
    )
    return msgspec.structs.replace(with_provenance(results, load=99.0), untimed=untimed)


def one_process():
    return make_results(timed(processes=1))


def screen(shown):
    """What a terminal of 80 columns shows of an answer."""
    text = io.StringIO()
    console = Console(width=80, file=text)
    for part in answer_screen(shown):
        console.print(part, markup=False, highlight=False)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    return "\n".join(lines)


@pytest.mark.parametrize("make", [mixed, one_process])
def test_the_answer_with_warnings(make):
    check_golden(f"answer-{make.__name__}", screen(answer(make())))


def test_all_tables_of_a_run():
    run = mixed()
    tables = shown(all_tables(answer(run)))
    check_golden("tables", "\n".join([*provenance_lines(run), tables]))
    check_golden("tables-markdown", run_markdown(run))


def test_a_spreadsheet_has_a_row_for_each_arm():
    check_golden("times-csv", runs_csv([mixed()]))


def test_a_program_gets_the_rows_and_the_answer():
    run = mixed()
    content = json.loads(runs_json([run]))
    assert content["rows"] == msgspec.to_builtins(timings([run]))
    (first, *_) = content["answers"][0]["rows"]
    assert first["styles"]["documented"]["best"] == ["linen"]


def kernels():
    return speedup_tables(runs.draw_kernels(np.random.default_rng(0)))


def sweep():
    benchmarks = [
        make_benchmark(
            make_arm(name, f"tiny@hidden={size}"),
            [1e-3 * ratio] * 6,
            floor=0.01,
            ratio=ratio,
            low=0.999 * ratio,
            high=1.001 * ratio,
        )
        for size, cost in ((8, 1.2), (16, 1.02), (32, 1.001))
        for name, ratio in (
            ("pure[jit]", 1.0),
            ("pure[jit]#2", 1.0),
            ("linen[apply]", cost),
        )
    ]
    run = make_results(
        benchmarks,
        plan=plan(workloads=("tiny@hidden=8", "tiny@hidden=16", "tiny@hidden=32")),
    )
    return overhead_tables(run)


def devices():
    arms = [
        make_arm(name, "medium", "train_step")
        for name in ("pure[jit]", "pure[jit]#2", "linen[apply]")
    ]
    two = msgspec.structs.replace(arms[2], devices=2, way="placed")
    program = replace(PROGRAM, collectives=(Collective("all-reduce", 1024, 50, True),))
    benchmarks = [make_benchmark(arm, [1e-3] * 6) for arm in arms]
    benchmarks.append(make_benchmark(two, [6e-4] * 6, program=program))
    some = (
        Collective("all-reduce", 1024, 50, True),
        Collective("all-reduce", 8, None, True),
    )
    mixed = replace(
        PROGRAM, collectives=(*some, Collective("all-reduce", 2048, 1, False))
    )
    benchmarks.append(
        make_benchmark(
            msgspec.structs.replace(two, way="shard_map"), [6e-4] * 6, program=mixed
        )
    )
    return speedup_tables(make_results(benchmarks, plan=plan(devices=(1, 2))))


def equality():
    measured = [
        EQUAL,
        replace(EQUAL, port="nnx", dtype="float32", error=0.2, bound=1.0),
        replace(EQUAL, check="conversion", error=0.0, bound=0.0),
        replace(EQUAL, check="conversion", port="nnx", error=1.0),
        replace(
            EQUAL,
            check="step",
            port="nnx",
            error=None,
            problem=f"{NOT_OFFERED}: no such thing",
        ),
        replace(EQUAL, kernel="fused"),
    ]
    return equality_tables(measured)


@pytest.mark.parametrize("make", [kernels, sweep, devices, equality])
def test_tables(make):
    check_golden(make.__name__, shown(make()))


SMALL = {"groups": ("tiny/forward", "tiny/train_step"), "processes": 3, "rounds": 5}


def changed():
    """A slower framework, newer versions, and a proof that was lost."""
    old = with_provenance(
        draw_run(1, **SMALL), equality=[EQUAL, replace(EQUAL, port="nnx")]
    )
    new = draw_run(2, {"linen": 1.5}, **SMALL)
    new = runs.with_machine(
        new, versions={"python": "3.13.5", "jax": "0.12.1"}, commit="def"
    )
    return diff(
        old,
        with_provenance(new, equality=[EQUAL, replace(EQUAL, port="nnx", error=1.0)]),
    )


def unlike():
    """Another machine, arms that are missing, noise, load, and files the wrong way
    round.
    """
    arms = {name: ratio for name, ratio in ARMS.items() if name != "equinox[partition]"}
    old = runs.with_facts(draw_run(1, arms=arms, **SMALL), floor=0.4)
    new = runs.with_machine(
        draw_run(2, {"all": 1.2}, **(SMALL | {"processes": 1})), threads=8
    )
    new = with_provenance(new, complete=False, load=99.0)
    return diff(
        old, with_provenance(new, datetime="2025-01-01T00:00:00+00:00"), anyway=True
    )


def many():
    """More changes than have rows; most of them, and the second copy of the
    baseline.
    """
    calm = {"noise": 0.001, "luck": 0.001, "mood": 0.0}
    return diff(
        draw_run(1, **calm),
        draw_run(2, {"nnx": 1.3, "equinox": 0.5, "pure[jit]#2": 1.1}, **calm),
    )


def same():
    return diff(draw_run(1, **SMALL), draw_run(1, **SMALL))


@pytest.mark.parametrize("make", [changed, unlike, many, same])
def test_what_changed_between_two_runs(make):
    found = make()
    check_golden(
        f"diff-{make.__name__}",
        "\n".join([*outcome(found), "", shown(diff_tables(found))]),
    )


def test_what_differs_is_no_comparison_unless_it_is_accepted():
    check_golden("diff-refused", "\n".join(outcome(replace(unlike(), anyway=False))))
    with pytest.raises(UnjudgedError, match="the files have no arm in common"):
        check_comparable(
            diff(draw_run(1, **SMALL), draw_run(2, groups=("question/forward",)))
        )


def published(name):
    return answer(load(ROOT / "docs" / "results" / f"{name}.json.gz"))


def test_two_sizes_of_the_published_run():
    shown = published("cpu")
    rows = [row for row in shown.rows if str(row.workload) in ("question", "medium")]
    check_golden("answer", screen(msgspec.structs.replace(shown, rows=rows)))


def test_an_interrupted_run_says_so_first():
    shown = published("cpu")
    run = with_provenance(shown.run, complete=False)
    text = screen(msgspec.structs.replace(shown, run=run))
    assert text.startswith("INTERRUPTED: not all was measured.")


def test_a_busy_machine_is_told_where_noise_hides_differences():
    assert "The machine was busy" in screen(published("cpu-py311"))
