"""What changed between two runs: nothing where nothing did, and no more than what did.

The runs are drawn, not measured: each has its machine's mood, which all arms share, and each arm its luck in each
process.
"""

import io

import msgspec
import numpy as np
import pytest
from rich.console import Console
from trigru.bench.analysis.diff import FAIL_ABOVE, TOO_NOISY, diff
from trigru.bench.analysis.statistics import compare, noise_floor
from trigru.bench.arms.plan import Plan
from trigru.bench.reporting import diff as diff_tables_module
from trigru.bench.reporting.diff import diff_tables
from trigru.bench.reporting.sections import format_time, terminal
from trigru.bench.results.record import Benchmark, ExtraInfo, Facts, Provenance, Results, load, save, stats_of
from trigru.bench.timing.machine import Machine
from trigru.bench.timing.messages import Untimed
from trigru.bench.timing.roofline import Ceilings
from trigru.common.errors import TrigruError

ARMS = {  # times / pure[jit]'s
    "pure[jit]": 1.0,
    "pure[jit]#2": 1.0,
    "linen[apply]": 1.5,
    "nnx[nnx.jit]": 24.0,
    "nnx[cached_partial]": 7.9,
    "nnx[split-merge]": 1.3,
    "nnx[leaves]": 0.95,
    "equinox[filter_jit]": 3.0,
    "equinox[partition]": 1.25,
    "torch[compile]": 4.0,
}
GROUPS = ("tiny/forward", "tiny/train_step", "question@hidden=512/train_step")
MACHINE = Machine({"python": "3.13.5", "jax": "0.12.0"}, "AMD EPYC", "cpu", 16, "", {"OMP_NUM_THREADS": "8"}, "abc")


def run_of(seed, changed=None, *, arms=ARMS, groups=GROUPS, processes=5, rounds=11, noise=0.02, luck=0.01, mood=0.2):
    """Results of a run.

    Args:
        seed: of its draws.
        changed: by how much an arm (its name, or its port's) takes longer, as a factor; "all" is every arm.
        noise: of each sample, luck: of each arm in each process, mood: of the machine, for all arms; in log time.
    """
    rng = np.random.default_rng(seed)
    level = rng.uniform(-mood, mood)
    benchmarks = []
    for number, group in enumerate(groups):
        workload, phase = group.split("/")
        shape = (processes, rounds)
        drift = level + mood / 4 * np.sin(rng.uniform(0, 6) + np.linspace(0, 4, processes * rounds)).reshape(shape)
        time_s = {}
        for name, ratio in arms.items():
            changes = changed or {}
            factor = changes.get(name, changes.get(name.partition("[")[0], 1.0)) * changes.get("all", 1.0)
            own = rng.normal(0, luck, (processes, 1)) + rng.normal(0, noise, shape)
            time_s[name] = (10.0 ** (number - 5) * ratio * factor * np.exp(drift + own)).ravel()
        process = np.repeat(np.arange(processes), rounds).tolist()
        floor = noise_floor(compare(time_s["pure[jit]#2"], time_s["pure[jit]"], process, seed))
        benchmarks += [
            benchmark(workload, phase, name, t, process, floor, np.median(t / time_s["pure[jit]"]))
            for name, t in time_s.items()
        ]
    return Results(
        machine_info={},
        commit_info={},
        benchmarks=benchmarks,
        datetime="2026-11-04T10:00:00+00:00",
        version="5",
        trigru=Provenance(
            schema=2,
            command=["trigru", "bench"],
            plan=Plan(("tiny",), ("forward",), ("pure", "linen"), processes=processes, rounds=rounds),
            seed=seed,
            machine=MACHINE,
            ceilings=[{"float32": Ceilings(100.0, 40.0)}],
            matmul_precision="highest",
            load_before=0.0,
            load_after=0.0,
            interruptions=0,
            complete=True,
        ),
        untimed=[],
    )


def benchmark(workload, phase, name, time_s, process, floor, ratio):
    group = f"{workload}/{phase}/float32/stock"
    port, _, style = name.partition("[")
    facts = Facts(
        id=f"{group}/{name}",
        workload=workload,
        shape="B=1 T=8 D=4 H=8",
        steps=8,
        phase=phase,
        port=port,
        style=style.partition("]")[0],
        kernel="stock",
        dtype="float32",
        copy=2 if name.endswith("#2") else 1,
        slowed=0.0,
        is_baseline=name == "pure[jit]",
        differs=None,
        gate=0.1,
        process=process,
        position=[0] * len(process),
        started_s=[0.0] * len(process),
        calls=[10],
        pipelined_s=[],
        warm_up_calls=[10],
        steady=[True],
        leaves=9,
        build=None,
        program=None,
        flops=1e6,
        moved_bytes=1e6,
        ratio=float(ratio),
        ratio_low=float(ratio),
        ratio_high=float(ratio),
        floor=floor,
        verdict="indistinguishable",
    )
    return Benchmark(group, name, facts.id, None, None, ExtraInfo(facts), {}, stats_of(time_s, 10))


def with_provenance(results, **facts):
    return msgspec.structs.replace(results, trigru=msgspec.structs.replace(results.trigru, **facts))


def with_machine(results, **facts):
    return with_provenance(results, machine=msgspec.structs.replace(results.trigru.machine, **facts))


def with_facts(results, **facts):
    return msgspec.structs.replace(
        results,
        benchmarks=[
            msgspec.structs.replace(b, extra_info=ExtraInfo(msgspec.structs.replace(b.facts, **facts)))
            for b in results.benchmarks
        ],
    )


def without(results, arm, reason=None, name=None):
    """The same file, but an arm has no number in the first group."""
    lost = f"tiny/forward/float32/stock/{arm}"
    name = name or arm
    untimed = [Untimed(f"tiny/forward/float32/stock/{name}", "tiny/forward/float32/stock", name, reason or "")]
    return msgspec.structs.replace(
        results,
        benchmarks=[b for b in results.benchmarks if b.facts.id != lost],
        untimed=untimed if reason else [],
    )


def printed(found, details=True, width=100):
    """What a terminal shows."""
    console = Console(file=io.StringIO(), width=width)
    console.print(terminal([section for section in diff_tables(found) if details or not section.detail]))
    return console.file.getvalue()


@pytest.fixture(scope="module", autouse=True)
def _quick_bootstrap():
    """A hundredth of a standard error here or there is not what is tested, and there are ten thousand bootstraps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trigru.bench.analysis.statistics.RESAMPLES", 300)
        yield


@pytest.fixture(scope="module")
def old():
    """A run."""
    return run_of(1)


@pytest.fixture(scope="module")
def again():
    """Another of the same commit on the same machine."""
    return run_of(2)


def test_the_drawn_files_are_results_files(old, tmp_path):
    save(old, tmp_path / "results.json")
    assert load(tmp_path / "results.json") == old


# verdicts


@pytest.mark.parametrize("processes", [3, 5])
def test_runs_of_one_commit_show_no_regression(processes):
    for seed in range(20):
        found = diff(*(run_of(s + seed, processes=processes, groups=GROUPS[:2]) for s in (100, 200)))
        assert found.exit_code == 0, f"seed {seed}: {found.summary}"
        assert len(found.changes) == 20
        assert found.problems == []


def test_a_ten_percent_slowdown_of_a_port_is_caught_and_no_other_port_named():
    groups = GROUPS[:2]
    arms = {f"{group}/float32/stock/{arm}" for group in groups for arm in ARMS if arm.startswith("nnx[")}
    caught = 0
    for seed in range(20):
        found = diff(run_of(300 + seed, groups=groups), run_of(400 + seed, {"nnx": 1.10}, groups=groups))
        named = {change.id for change in found.regressions}
        assert named <= arms, f"seed {seed}: {named - arms}"
        caught += found.exit_code == 1 and len(named) > len(arms) / 2
    assert caught >= 19, f"{caught} of 20"


def test_three_percent_is_slower_and_no_regression_by_default():
    verdicts = []
    for seed in range(10):
        quiet = {"luck": 0.002, "groups": GROUPS[:2]}
        found = diff(run_of(500 + seed, **quiet), run_of(600 + seed, {"nnx": 1.03}, **quiet))
        assert found.exit_code == 0, f"seed {seed}: {found.summary}"
        verdicts += [change.verdict for change in found.changes if change.name.startswith("nnx[")]
    assert verdicts.count("slower") > len(verdicts) / 2
    assert "faster" not in verdicts


def test_what_is_allowed_can_be_set(old):
    slow = run_of(2, {"equinox": 1.10})
    assert diff(old, slow).exit_code == 1
    assert diff(old, slow, fail_above=0.15).exit_code == 0
    assert "faster" not in {change.verdict for change in diff(old, slow, fail_above=0.15).changes}
    slight = run_of(2, {"equinox": 1.03}, luck=0.001)
    quiet = run_of(1, luck=0.001)
    assert FAIL_ABOVE == 0.05
    assert diff(quiet, slight).exit_code == 0
    assert {c.name for c in diff(quiet, slight, fail_above=0.0).regressions} == {
        "equinox[filter_jit]",
        "equinox[partition]",
    }
    with pytest.raises(TrigruError, match=r"fail_above is -0.1, expected a share"):
        diff(old, slow, fail_above=-0.1)


def test_an_improvement_is_faster_and_no_regression(old):
    found = diff(old, run_of(2, {"linen": 0.8}))
    assert {change.name for change in found.changes if change.verdict == "faster"} == {"linen[apply]"}
    assert found.exit_code == 0
    for change in found.changes:
        if change.name == "linen[apply]":
            assert change.comparison.low < 0.8 < change.comparison.high


def test_the_change_is_of_the_ratio_to_the_baseline_and_new_over_old():
    """Nothing drawn but the machine's mood, which cancels."""
    quiet = {"noise": 0.0, "luck": 0.0}
    found = diff(run_of(1, **quiet), run_of(2, {"pure[jit]": 2.0, "pure[jit]#2": 2.0, "linen": 3.0}, **quiet))
    changes = {change.name: change for change in found.changes if change.group == "tiny/forward/float32/stock"}
    assert changes["linen[apply]"].comparison.ratio == pytest.approx(1.5)
    assert changes["nnx[leaves]"].comparison.ratio == pytest.approx(0.5)
    assert changes["pure[jit]#2"].comparison.ratio == pytest.approx(1.0)
    assert [change.id for change in found.regressions] == [f"{g}/float32/stock/linen[apply]" for g in GROUPS]


@pytest.mark.parametrize("floors", [(0.01, 0.4), (0.4, 0.01)])
def test_the_floor_is_the_larger_of_the_two(old, floors):
    slow = run_of(2, {"linen": 1.3})
    found = diff(with_facts(old, floor=floors[0]), with_facts(slow, floor=floors[1]))
    assert {change.floor for change in found.changes} == {0.4}
    assert found.exit_code == 0
    assert diff(with_facts(old, floor=0.01), with_facts(slow, floor=0.01)).exit_code == 1


def test_an_interval_that_holds_1_is_no_verdict():
    """A process in three is slow: twice as long at the mean, and nothing to be sure of."""
    old, new = (run_of(seed, processes=3) for seed in (1, 2))
    spiked = [
        msgspec.structs.replace(b, stats=stats_of(b.time_s * np.where(np.array(b.facts.process) == 0, 8, 1), 10))
        if b.name == "linen[apply]"
        else b
        for b in new.benchmarks
    ]
    found = diff(old, msgspec.structs.replace(new, benchmarks=spiked))
    linen = [change for change in found.changes if change.name == "linen[apply]"]
    assert all(c.comparison.ratio > 1.8 and c.comparison.low < 1 for c in linen)
    assert found.exit_code == 0


def test_the_duplicate_is_never_a_regression_and_says_that_the_noise_is_large(old):
    found = diff(with_facts(old, floor=0.01), with_facts(run_of(2, {"pure[jit]#2": 1.5}), floor=0.01))
    duplicates = [change for change in found.changes if change.name == "pure[jit]#2"]
    assert [(change.role, change.verdict, change.regression) for change in duplicates] == [("A/A", "slower", False)] * 3
    assert found.exit_code == 0
    assert any("pure[jit]#2 (A/A) is slower by the same measure" in note for note in found.notes)
    rows = diff_tables(found)[0].rows
    assert [row[4] for row in rows] == ["A/A"] * 3


# the baseline


def test_the_baselines_own_change_is_said_and_not_judged():
    quiet = {"noise": 0.001, "luck": 0.001, "mood": 0.0}
    found = diff(run_of(1, **quiet), run_of(2, {"all": 1.23}, **quiet))
    assert found.exit_code == 0
    assert {change.verdict for change in found.changes if change.role == "baseline"} == {"-"}
    assert any(
        "3 of 3 groups: pure[jit] itself took 1.2" in note and "that is jax, or the machine" in note
        for note in found.notes
    )
    _, baselines, *_ = diff_tables(found)
    assert baselines.title == "pure[jit] itself"
    assert [row[0] for row in baselines.rows] == ["tiny forward", "tiny train_step", "question@hidden=512 train_step"]
    same = diff(run_of(1, **quiet), run_of(2, {"all": 1.02}, **quiet))
    assert not any("itself" in note for note in same.notes)


def test_where_most_arms_moved_alike_the_baseline_is_suspected(old):
    faster_baseline = {"pure[jit]": 0.7, "pure[jit]#2": 0.7}
    found = diff(old, run_of(2, faster_baseline))
    assert found.exit_code == 1
    notes = [note for note in found.notes if "8 of 8 arms are slower. pure[jit], now " in note]
    assert len(notes) == 3
    assert all(note.endswith("may be what changed.") for note in notes)
    few = diff(old, run_of(2, {"nnx": 1.3}))
    assert not any("may be what changed" in note for note in few.notes), "four of eight are no majority"


@pytest.mark.parametrize("absolute", [False, True])
def test_a_slowdown_of_all_is_caught_by_absolute_times_alone(absolute):
    calm = {"mood": 0.0}
    found = diff(run_of(1, **calm), run_of(2, {"all": 1.3}, **calm), absolute=absolute)
    assert found.exit_code == absolute
    if absolute:
        assert {change.name for change in found.regressions} == set(ARMS) - {"pure[jit]#2"}
        assert all(change.comparison.ratio == pytest.approx(1.3, rel=0.06) for change in found.changes)
        assert any("9 of 9 arms are slower. Jax, or the machine, may be what changed" in note for note in found.notes)
        assert "Changes of time\n" in printed(found)


# problems


def test_a_missing_arm_is_a_problem_unless_allowed(old, again):
    for name, files in (("NEW", (old, without(again, "linen[apply]"))), ("OLD", (without(old, "linen[apply]"), again))):
        found = diff(*files)
        assert found.exit_code == 2
        assert [problem.sentence for problem in found.problems] == [
            f"tiny/forward/float32/stock: linen[apply] missing in {name}"
        ]
        assert "--allow-missing" in found.summary
        assert diff(*files, allow_other_machine=True).exit_code == 2
        allowed = diff(*files, allow_missing=True)
        assert allowed.exit_code == 0
        assert "accepted by --allow-missing" in printed(allowed, details=False)
        assert len(allowed.changes) == 29


@pytest.mark.parametrize("name", ["linen[apply]", "linen[?]"])
def test_a_missing_arm_says_why_where_that_is_known(old, again, name):
    found = diff(old, without(again, "linen[apply]", "flax is not installed.", name))
    (problem,) = found.problems
    assert problem.sentence == "tiny/forward/float32/stock: linen[apply] missing in NEW: flax is not installed"
    assert "FAILED" in printed(found)


def test_a_renamed_arm_is_missing_on_both_sides(old, again):
    renamed = {name.replace("cached_partial", "cached"): ratio for name, ratio in ARMS.items()}
    found = diff(old, run_of(2, arms=renamed, groups=GROUPS[:1]), allow_missing=False)
    sentences = [problem.sentence for problem in found.problems]
    assert "tiny/forward/float32/stock: nnx[cached_partial] missing in NEW" in sentences
    assert "tiny/forward/float32/stock: nnx[cached] missing in OLD" in sentences
    assert "tiny/train_step/float32/stock: all 10 arms missing in NEW" in sentences
    assert found.exit_code == 2


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"device": "NVIDIA H100"}, "device 'NVIDIA H100', was 'AMD EPYC'"),
        ({"backend": "gpu"}, "backend 'gpu', was 'cpu'"),
        ({"threads": 2}, "threads 2, was 16"),
        ({"xla_flags": "--xla_a=1"}, "xla_flags '--xla_a=1', was ''"),
        ({"environment": {}}, "OMP_NUM_THREADS not set, was 8"),
    ],
)
def test_another_machine_is_a_problem_unless_allowed(old, again, changed, sentence):
    other = with_machine(again, **changed)
    found = diff(old, other)
    (problem,) = found.problems
    assert problem.kind == "machine"
    assert problem.sentence.endswith(f"another machine or in another environment: {sentence}")
    assert found.exit_code == 2
    assert "--allow-other-machine" in found.summary
    assert sentence in printed(found, details=False, width=300)
    assert diff(old, other, allow_missing=True).exit_code == 2
    assert diff(old, other, allow_other_machine=True).exit_code == 0


def test_another_precision_is_a_problem_unless_allowed(old, again):
    other = with_provenance(again, matmul_precision="tensorfloat32")
    found = diff(old, other)
    assert [p.sentence for p in found.problems] == [
        "NEW was measured in another precision of matrix products: 'tensorfloat32', was 'highest'"
    ]
    assert found.exit_code == 2
    assert diff(old, other, allow_other_machine=True).exit_code == 0


def test_an_interrupted_run_is_a_problem_unless_allowed(old, again):
    for name, files in (
        ("OLD", (with_provenance(old, complete=False), again)),
        ("NEW", (old, with_provenance(again, complete=False))),
    ):
        found = diff(*files)
        assert [(p.kind, p.sentence) for p in found.problems] == [
            ("incomplete", f"{name} is of a run that was interrupted: not all was measured")
        ]
        assert found.exit_code == 2
        assert diff(*files, allow_missing=True).exit_code == 0


def test_other_work_under_the_same_name_is_not_compared(old, again):
    benchmarks = [
        b
        if b.facts.workload == "tiny"
        else msgspec.structs.replace(b, extra_info=ExtraInfo(msgspec.structs.replace(b.facts, shape="B=9")))
        for b in again.benchmarks
    ]
    found = diff(old, msgspec.structs.replace(again, benchmarks=benchmarks))
    (problem,) = found.problems
    assert "other work, and not compared: B=9, 8 steps, baseline pure[jit], was B=1 T=8 D=4 H=8" in problem.sentence
    assert len(found.changes) == 20
    assert found.exit_code == 2


def test_problems_win_over_regressions_and_the_table_is_still_there(old):
    found = diff(old, with_machine(run_of(2, {"linen": 1.3}), threads=2))
    assert found.exit_code == 2
    assert len(found.regressions) == 3
    assert "linen[apply]" in printed(found, details=False)
    assert diff(old, with_machine(run_of(2, {"linen": 1.3}), threads=2), allow_other_machine=True).exit_code == 1


def test_files_without_a_common_arm_are_refused(old):
    with pytest.raises(TrigruError, match=r"no arm in common\. OLD has tiny/forward.*; NEW has medium/forward"):
        diff(old, run_of(2, groups=("medium/forward",)))
    alone = {"pure[jit]": 1.0, "pure[jit]#2": 1.0}
    with pytest.raises(TrigruError, match=r"no arm in common but pure\[jit\], pure\[jit\]#2, whose ratio to itself"):
        diff(old, run_of(2, arms=alone), allow_missing=True)
    assert diff(old, run_of(2, arms=alone), allow_missing=True, absolute=True).changes


# doubts


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"load_before": 9.0}, "9.0 runnable processes on 16 threads before the run"),
        ({"load_after": 25.0}, "25.0 runnable processes on 16 threads at the end of the run"),
    ],
)
def test_a_busy_machine_is_said_in_table_and_summary(old, again, facts, said):
    for name, files in (
        ("OLD", (with_provenance(old, **facts), again)),
        ("NEW", (old, with_provenance(again, **facts))),
    ):
        found = diff(*files)
        (doubt,) = found.doubts
        assert doubt.startswith(f"{name} may be too noisy to tell. The machine was busy")
        assert said in doubt
        assert doubt in found.summary.splitlines()
        assert doubt in diff_tables(found)[0].notes
        assert found.exit_code == 0
    assert diff(old, again).doubts == []


def with_floors(results, floors):
    """The same file, but groups have these noise floors."""
    return msgspec.structs.replace(
        results,
        benchmarks=[
            b
            for group, benchmarks in results.groups().items()
            for b in with_facts(msgspec.structs.replace(results, benchmarks=benchmarks), floor=floors[group]).benchmarks
        ],
    )


def test_above_a_floor_of_30_percent_it_is_too_noisy_to_tell(old, again):
    noisy, quiet, edge = (f"{group}/float32/stock" for group in GROUPS)
    floors = {noisy: 0.31, quiet: 0.02, edge: TOO_NOISY}
    found = diff(with_floors(old, floors), again)
    assert found.doubts == [
        "Too noisy to tell: tiny forward (±31%). These noise floors are above 30%. Measure again on an idle machine."
    ]
    assert found.summary.splitlines()[1:] == found.doubts
    changes, _, *groups = diff_tables(found)
    assert changes.title == "No change of time / pure[jit] that shows above the noise"
    assert "Indistinguishable from before: 16 arms; --details lists them." in changes.notes
    assert "Too noisy to tell: 8 arms; --details lists them." in changes.notes
    assert found.doubts[0] in changes.notes
    words = [{row[5] for row in group.rows} - {"-", "A/A"} for group in groups]
    assert words == [{"too noisy to tell"}, {"indistinguishable"}, {"indistinguishable"}]


def test_what_moved_beyond_the_noise_is_told(old):
    floors = {f"{group}/float32/stock": 0.4 for group in GROUPS}
    found = diff(with_floors(old, floors), run_of(2, {"linen": 2.0}))
    assert {change.name for change in found.regressions} == {"linen[apply]"}
    assert found.exit_code == 1
    changes = diff_tables(found)[0]
    assert changes.title == "Changes of time / pure[jit]"
    assert "Too noisy to tell: 21 arms; --details lists them." in changes.notes
    assert not any(note.startswith("Indistinguishable") for note in changes.notes)


# what is only said


def test_versions_that_differ_are_said(old, again):
    new = with_machine(again, versions={"python": "3.13.5", "jax": "0.13.0", "flax": "0.12"}, commit="def-dirty")
    found = diff(old, new)
    assert found.exit_code == 0
    assert found.problems == []
    assert found.notes[:2] == [
        "Versions: flax 0.12, was not set; jax 0.13.0, was 0.12.0.",
        "Commit of trigru: def-dirty, was abc.",
    ]
    assert "jax 0.13.0, was 0.12.0" in printed(found, details=False)
    assert not any(note.startswith(("Versions", "Commit")) for note in diff(old, again).notes)


def test_other_samples_swapped_files_and_single_processes_are_said(old, again):
    plan = msgspec.structs.replace(again.trigru.plan, sample_time_s=0.004)
    found = diff(old, with_provenance(again, plan=plan))
    assert found.exit_code == 0
    assert any(note.startswith("Samples last at least 4 ms, were ") for note in found.notes)
    assert any("are they swapped?" in note for note in diff(old, msgspec.structs.replace(again, datetime="2")).notes)
    single = diff(old, run_of(2, processes=1))
    assert any(note.startswith("One process alone in NEW: ") for note in single.notes)
    said = " ".join(diff(old, again).notes)
    assert not any(words in said for words in ("Samples", "swapped", "One process"))


def test_one_group_of_one_process_is_enough_to_say_so(old, again):
    begun = [b for b in run_of(2, processes=1).benchmarks if b.group.startswith(GROUPS[2])]
    whole = [b for b in again.benchmarks if not b.group.startswith(GROUPS[2])]
    found = diff(old, msgspec.structs.replace(again, benchmarks=[*whole, *begun]))
    assert any(note.startswith("One process alone in NEW: ") for note in found.notes)


# tables


def test_changes_come_first_and_the_rest_is_counted_and_in_details(old):
    found = diff(old, run_of(2, {"equinox[filter_jit]": 1.3, "linen": 0.7}))
    changes, _, *details = diff_tables(found)
    assert [(row[1], row[4]) for row in changes.rows] == [("equinox[filter_jit]", "FAILED")] * 3 + [
        ("linen[apply]", "faster")
    ] * 3
    assert "Indistinguishable from before: 18 arms; --details lists them." in changes.notes
    assert [section.detail for section in details] == [True] * 3
    assert [row[0] for row in details[0].rows] == list(ARMS)
    assert details[0].rows[0][3] == "1 (baseline)"
    assert "indistinguishable" in printed(found)
    assert "indistinguishable" not in printed(found, details=False)
    assert found.summary.startswith("3 of 24 arms slower than before by more than 5.0%: tiny/forward/float32/stock/eq")


def test_each_row_has_its_interval_and_floor(old):
    found = diff(old, run_of(2, {"linen": 1.3}))
    for row, change in zip(diff_tables(found)[0].rows, sorted(found.regressions, key=by_ratio), strict=True):
        c = change.comparison
        assert row[2] == f"{c.ratio:.3f} [{c.low:.3f}, {c.high:.3f}]"
        assert row[3] == f"±{change.floor:.1%}"
        assert c.low < c.ratio < c.high


def test_times_stand_in_their_columns(old):
    new = run_of(2, {"all": 1.3})
    found = diff(old, new)
    assert found.changes[0].old_time_s == np.median(old.benchmarks[0].time_s)
    assert found.changes[0].new_time_s == np.median(new.benchmarks[0].time_s)
    _, baselines, *groups = diff_tables(found)
    rows = [(row[0], *row[1:3]) for group in groups for row in group.rows]
    assert rows == [(c.name, format_time(c.old_time_s), format_time(c.new_time_s)) for c in found.changes]
    expected = [(format_time(c.old_time_s), format_time(c.new_time_s)) for c in found.changes if c.role == "baseline"]
    assert [row[1:3] for row in baselines.rows] == expected


def test_problems_come_first_and_regressions_before_what_only_moved():
    quiet = {"luck": 0.001, "noise": 0.002}
    old = with_facts(run_of(1, **quiet), floor=0.01)
    new = with_facts(run_of(2, {"linen": 1.10, "equinox": 1.06, "pure[jit]#2": 1.5}, **quiet), floor=0.01)
    found = diff(old, with_provenance(new, complete=False), fail_above=0.08)
    problems, changes, *_ = diff_tables(found)
    assert problems.title == "Where the files do not compare"
    assert [row[1] for row in problems.rows] == ["FAILED"]
    assert [row[4] for row in changes.rows] == ["FAILED"] * 3 + ["A/A"] * 3 + ["slower"] * 6
    assert {change.name for change in found.regressions} == {"linen[apply]"}


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.5, "0.500"), (9.99, "9.990"), (10.04, "10.0"), (999.0, "999.0"), (12345.0, "1e+04")]
)
def test_a_ratio_has_the_digits_that_fit(ratio, text):
    assert diff_tables_module._number(ratio) == text


def by_ratio(change):
    return -change.comparison.ratio


@pytest.mark.parametrize("ratio", [1.3, 0.7, 9.999, 123.4])
def test_tables_fit_100_columns_with_the_longest_names(old, ratio):
    new = run_of(2, {"nnx": ratio, "equinox": ratio})
    problems = with_machine(without(new, "linen[apply]", "flax is not installed " * 9), device="NVIDIA " * 20)
    found = diff(old, problems)
    text = printed(found)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert "…" not in text
    for whole in ("question@hidden=512 train_step", "nnx[cached_partial]", "equinox[filter_jit]", "indistinguishable"):
        assert whole in text
    for change in found.changes:
        if change.moved:
            assert f"±{change.floor:.1%}" in text


def still(changed=None):
    """A run without noise, in one process."""
    return run_of(0, changed, groups=("tiny/forward",), processes=1, noise=0, luck=0, mood=0)


def test_an_arm_at_the_very_share_that_is_allowed_is_no_regression():
    old, new = still(), still({"linen[apply]": 1.25})
    (change,) = (c for c in diff(old, new).changes if c.name == "linen[apply]")
    ratio = change.comparison.ratio
    assert ratio == pytest.approx(1.25)
    assert change.verdict == "slower"
    for allowed, slow in ((ratio, []), (np.nextafter(ratio, 0), ["linen[apply]"])):
        found = diff(old, new, fail_above=float(allowed - 1))
        assert [c.name for c in found.regressions] == slow
        assert found.exit_code == len(slow)


@pytest.mark.parametrize(("floor", "noisy"), [(TOO_NOISY, False), (np.nextafter(TOO_NOISY, 1), True)])
def test_a_floor_is_too_noisy_above_its_limit(floor, noisy):
    replace, new = msgspec.structs.replace, still()
    benchmarks = [replace(b, extra_info=ExtraInfo(replace(b.facts, floor=float(floor)))) for b in new.benchmarks]
    found = diff(still(), replace(new, benchmarks=benchmarks))
    assert any(doubt.startswith("Too noisy to tell") for doubt in found.doubts) == noisy
    assert {c.lost_in_noise for c in found.changes if c.role == "arm"} == {noisy}
