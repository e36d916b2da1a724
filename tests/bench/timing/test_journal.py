"""A run: what it asks of its processes, what it keeps if one of them or itself dies, and what comes of it."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field

import jax
import msgspec
import numpy as np
import pytest
from trigru.bench.analysis.statistics import compare, noise_floor, verdict
from trigru.bench.arms import admission as references
from trigru.bench.arms.plan import MATMUL_PRECISION, Plan
from trigru.bench.arms.work import work_of
from trigru.bench.arms.workloads import Workload, get_workload
from trigru.bench.results.record import load, save
from trigru.bench.timing import roofline as ceilings
from trigru.bench.timing import worker
from trigru.bench.timing.journal import Begun, Journal, Lost, ResumeError, check_resumable
from trigru.bench.timing.machine import describe_machine
from trigru.bench.timing.messages import Answer, GroupRecord, Measured, Request, Started, Underway, Untimed
from trigru.bench.timing.roofline import Ceilings
from trigru.bench.timing.supervisor import WorkerDiedError, ask_process, merge, run
from trigru.common.errors import TrigruError
from trigru.common.port.programs import Build

PLAN = Plan(("tiny",), ("step", "forward"), ("pure", "linen"), processes=2, rounds=4, seed=3)
STEP, FORWARD = PLAN.groups()
PURE, AGAIN, LINEN = (arm.id for arm in PLAN.groups()[STEP])
KILLED = WorkerDiedError("the measuring process died: killed by signal 9")
MACHINE = describe_machine()
STARTED = Started(MACHINE, {"float32": Ceilings(100.0, 10.0)})
NO_BASELINE = "the baseline or its duplicate has no number, so there is nothing to compare with"


def ignore(what, share):
    """Progress that nobody looks at."""


def samples(process, arm, rounds=PLAN.rounds):
    """Times that are known: around 1 s, linen about half as long again, and processes that differ."""
    rng = np.random.default_rng([process, *arm.encode()])
    factor = 1.5 if "linen" in arm else 1.0
    return (factor * (1 + 0.01 * process) * rng.lognormal(0, 0.001, rounds)).tolist()


def measured(process, arm):
    return Measured(
        id=arm,
        gate=0.25 + 0.125 * process,
        leaves=5,
        build=Build(1.0, 2.0, 3.0, 7.0) if process == 0 else None,
        program=None,
        calls=10 + process,
        warm_up_calls=20 + process,
        steady=process == 0,
        time_s=samples(process, arm),
        pipelined_s=[0.5 + process],
        position=[0, 1, 2, 0],
        started_s=[100.0 * process + second for second in range(4)],
    )


@dataclass
class FakeProcesses:
    """Answers as `trigru.bench.timing.worker` does, without measuring; at some places it raises instead.

    Args:
        dies: what to raise, by process and what is under way.
        fails: reasons, by process and the arm that gets no number there.
    """

    dies: dict = field(default_factory=dict)
    fails: dict = field(default_factory=dict)
    machine: object = MACHINE
    requests: list = field(default_factory=list)

    def __call__(self, request):
        def underway(what, share, *of):
            yield Underway(what, share, *of)
            if (request.process, what) in self.dies:
                raise self.dies[request.process, what]

        self.requests.append(request)
        assert len(self.requests) < 20, "asked for ever"
        yield from underway("measure the machine's limits", 0.0)
        yield Started(self.machine, STARTED.ceilings)
        part = 1 / len(request.groups)
        for group in request.groups:
            arms = [arm.id for arm in request.plan.groups()[group]]
            reasons = dict(request.lost)
            for arm in arms:
                if arm not in reasons:
                    yield from underway(f"compile {arm}", part / 2 / len(arms), group, arm)
                    if (request.process, arm) in self.fails:
                        reasons[arm] = self.fails[request.process, arm]
            if reasons.keys() & {arms[0], arms[1]}:
                reasons = dict.fromkeys(arms, NO_BASELINE) | reasons
            else:
                yield from underway(f"time {group}", part / 2, group)
            untimed = [
                Untimed(arm, group, arm.removeprefix(f"{group}/"), reasons[arm]) for arm in arms if arm in reasons
            ]
            yield GroupRecord(
                group, request.process, [measured(request.process, arm) for arm in arms if arm not in reasons], untimed
            )

    @property
    def asked(self):
        """Process and groups of each request."""
        return [(request.process, request.groups) for request in self.requests]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "run.journal"


def begin(path, plan=PLAN, **options):
    return Journal(path, plan, ["trigru", "bench"], 0.5, **options)


@pytest.fixture
def journal(path):
    return begin(path)


def fill(journal, groups=(STEP, FORWARD), process=0):
    journal.add(STARTED)
    for group in groups:
        arms = [arm.id for arm in journal.plan.groups()[group]]
        journal.add(GroupRecord(group, process, [measured(process, arm) for arm in arms], []))


def contents(journal):
    """All that a journal tells."""
    names = ("plan", "command", "load_before", "machine", "started", "records", "lost", "complete")
    return {name: getattr(journal, name) for name in names}


# The journal


def test_lines_survive(path, journal):
    fill(journal)
    journal.add(Lost(LINEN, "it broke"))
    again = Journal(path, PLAN, ["another", "call"], 9.0, resume=True)
    assert contents(again) == contents(journal)
    assert (again.command, again.load_before) == (["trigru", "bench"], 0.5)
    assert again.machine == MACHINE
    assert [record.group for record in again.records] == [STEP, FORWARD]
    assert again.records[0].measured[2].time_s == samples(0, LINEN)
    assert again.lost == {LINEN: "it broke"}


def test_each_line_is_on_disk_before_the_next_begins(path, journal):
    for number in range(3):
        journal.add(Lost(f"arm {number}", "it broke"))
        lines = path.read_bytes().splitlines()
        assert len(lines) == number + 2
        assert msgspec.json.decode(lines[-1])["id"] == f"arm {number}"


def test_without_resume_a_run_starts_anew(path, journal):
    fill(journal)
    again = begin(path)
    assert again.records == []
    assert len(path.read_bytes().splitlines()) == 1


@pytest.mark.parametrize("cut", [1, 2, 200])
def test_a_last_line_that_was_cut_off_is_dropped_and_the_rest_is_kept(path, journal, cut):
    fill(journal)
    path.write_bytes(path.read_bytes()[:-cut])
    again = begin(path, resume=True)
    assert [record.group for record in again.records] == [STEP]
    assert again.todo(0) == [FORWARD]
    # what follows does not stick to the rest of that line
    fill(again, [FORWARD])
    assert begin(path, resume=True).todo(0) == []


def test_todo_shrinks_until_all_is_measured(journal):
    assert (journal.todo(0), journal.todo(1), journal.complete) == ([STEP, FORWARD], [STEP, FORWARD], False)
    fill(journal, [STEP], 0)
    assert (journal.todo(0), journal.todo(1), journal.complete) == ([FORWARD], [STEP, FORWARD], False)
    fill(journal, [FORWARD], 0)
    fill(journal, [FORWARD], 1)
    assert (journal.todo(0), journal.todo(1), journal.complete) == ([], [STEP], False)
    fill(journal, [STEP], 1)
    assert (journal.todo(0), journal.todo(1), journal.complete) == ([], [], True)


def test_interruptions_are_counted(path, journal):
    assert [journal.interruptions, *(begin(path, resume=True).interruptions for _ in range(3))] == [0, 1, 2, 3]


def test_an_arm_is_lost_by_a_line_or_by_a_record(journal):
    journal.add(GroupRecord(STEP, 0, [], [Untimed(LINEN, STEP, "linen[apply]", "not equal")]))
    journal.add(Lost(PURE, "killed"))
    assert journal.lost == {LINEN: "not equal", PURE: "killed"}


def test_closing_removes_the_file(path, journal):
    journal.close()
    assert not path.exists()
    journal.close()


BEGUN = msgspec.json.encode(Begun(PLAN, ["trigru"], None))
UNREADABLE = {
    "no file": (None, "No such file or directory. There is no run to resume; start one without --resume"),
    "nothing": (b"", "has no beginning"),
    "half a first line": (BEGUN[:-10], "has no beginning"),
    "no JSON": (b"a run\n", "not a run of this trigru"),
    "no UTF-8": (b"\xff\xfe\n", "not a run of this trigru"),
    "JSON of something else": (b'{"benchmarks": []}\n', "not a run of this trigru"),
    "an unknown line": (BEGUN + b'\n{"type": "Other"}\n', "not a run of this trigru"),
    "no beginning": (b'{"type": "Lost", "id": "a", "reason": "b"}\n', "has no beginning"),
    "a line that lacks something": (BEGUN + b'\n{"type": "Lost", "id": "a"}\n', "not a run of this trigru"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_resumed(path, name):
    content, message = UNREADABLE[name]
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    with pytest.raises(ResumeError, match=message) as caught:
        begin(path, resume=True)
    assert str(path) in str(caught.value)


def test_a_string_that_is_not_utf_8_cannot_be_resumed(path):
    path.parent.mkdir()
    path.write_bytes(BEGUN + b'\n{"type": "Lost", "id": "\xff", "reason": "b"}\n')
    with pytest.raises(ResumeError, match="not a run of this trigru"):
        begin(path, resume=True)


def test_a_file_that_is_no_run_is_left_alone(path):
    path.parent.mkdir()
    path.write_bytes(b"somebody's work\nwithout an end of line")
    with pytest.raises(ResumeError):
        begin(path, resume=True)
    assert path.read_bytes() == b"somebody's work\nwithout an end of line"


@pytest.mark.parametrize(
    "change", [{"rounds": 5}, {"seed": 4}, {"ports": ("pure",)}, {"processes": 3}, {"excluded": {"linen": "not equal"}}]
)
def test_another_plan_cannot_be_resumed(path, journal, change):
    before = path.read_bytes()
    with pytest.raises(ResumeError, match=r"is of another plan: trigru bench\. Resume with the same options") as caught:
        begin(path, msgspec.structs.replace(PLAN, **change), resume=True)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_another_plan_is_refused_before_it_is_known_what_is_excluded(path, journal):
    half = path.read_bytes() + b'{"type"'
    path.write_bytes(half)
    check_resumable(path, msgspec.structs.replace(PLAN, excluded={"linen": "not equal"}))
    with pytest.raises(ResumeError, match="is of another plan"):
        check_resumable(path, msgspec.structs.replace(PLAN, seed=4))
    assert path.read_bytes() == half
    with pytest.raises(ResumeError, match="There is no run to resume"):
        check_resumable(path.with_name("absent"), PLAN)


ELSEWHERE = {
    "versions": ({"versions": MACHINE.versions | {"jax": "0.1"}}, f"jax 0.1, was {MACHINE.versions['jax']}"),
    "device": ({"device": "Another CPU"}, f"device 'Another CPU', was {MACHINE.device!r}"),
    "xla_flags": ({"xla_flags": "--xla_other"}, f"xla_flags '--xla_other', was {MACHINE.xla_flags!r}"),
    "environment": ({"environment": {"XLA_X": "1"}}, "XLA_X 1, was not set"),
}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_another_machine_cannot_go_on(path, journal, what):
    fill(journal, [STEP])
    changes, message = ELSEWHERE[what]
    processes = FakeProcesses(machine=msgspec.structs.replace(MACHINE, **changes))
    resumed = begin(path, resume=True)
    with pytest.raises(ResumeError) as caught:
        run(resumed, ignore, processes)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "Start again without --resume" in str(caught.value)
    assert resumed.todo(0) == [FORWARD]
    assert begin(path, resume=True).machine == MACHINE


def test_another_commit_may_not_go_on(path, journal):
    fill(journal, [STEP])
    resumed = begin(path, resume=True)
    with pytest.raises(ResumeError, match="was measured elsewhere: commit another, was"):
        run(resumed, ignore, FakeProcesses(machine=msgspec.structs.replace(MACHINE, commit="another")))


# The run


def test_each_process_is_asked_for_everything_once(journal):
    processes = FakeProcesses()
    run(journal, ignore, processes)
    assert processes.asked == [(0, [STEP, FORWARD]), (1, [STEP, FORWARD])]
    assert {request.folder for request in processes.requests} == {processes.requests[0].folder}
    assert not os.path.exists(processes.requests[0].folder)
    assert all(request.plan == PLAN and request.lost == {} for request in processes.requests)
    assert journal.complete


def test_progress_adds_up_to_the_whole_and_says_which_process(journal):
    seen = []
    run(journal, lambda what, share: seen.append((what, share)), FakeProcesses())
    assert sum(share for _, share in seen) == pytest.approx(1)
    assert seen[1][0] == f"compile {PURE} (1 of 2)"
    assert seen[-1][0] == f"time {FORWARD} (2 of 2)"


def test_one_process_is_not_numbered(path):
    seen = []
    run(begin(path, msgspec.structs.replace(PLAN, processes=1)), lambda what, _: seen.append(what), FakeProcesses())
    assert f"time {STEP}" in seen


def test_dying_while_an_arm_compiles_loses_that_arm_only(journal):
    processes = FakeProcesses({(0, f"compile {LINEN}"): KILLED})
    run(journal, ignore, processes)
    reason = f"the measuring process died: killed by signal 9 while trying to compile {LINEN}"
    assert journal.lost == {LINEN: reason}
    assert [(request.process, request.lost) for request in processes.requests] == [
        (0, {}),
        (0, {LINEN: reason}),
        (1, {LINEN: reason}),
    ]
    results = merge(journal)
    assert [b.facts.id for b in results.groups()[STEP]] == [PURE, AGAIN]
    assert len(results.groups()[FORWARD]) == 3
    assert results.untimed == [Untimed(LINEN, STEP, "linen[apply]", reason)]
    assert results.trigru.complete


def test_dying_while_timing_loses_the_group_and_the_others_go_on(journal):
    processes = FakeProcesses({(0, f"time {STEP}"): KILLED})
    run(journal, ignore, processes)
    assert processes.asked[:2] == [(0, [STEP, FORWARD]), (0, [FORWARD])]
    results = merge(journal)
    assert list(results.groups()) == [FORWARD]
    assert len(results.groups()[FORWARD][0].time_s) == 2 * PLAN.rounds
    assert {u.id: u.reason for u in results.untimed} == dict.fromkeys(
        (PURE, AGAIN, LINEN), f"{KILLED} while trying to time {STEP}"
    )
    assert results.trigru.complete


def test_dying_in_a_later_process_takes_the_numbers_of_the_first(journal):
    run(journal, ignore, FakeProcesses({(1, f"compile {LINEN}"): KILLED}))
    results = merge(journal)
    assert [b.facts.id for b in results.groups()[STEP]] == [PURE, AGAIN]
    assert [u.id for u in results.untimed] == [LINEN]


@pytest.mark.parametrize("process", [0, 1])
def test_dying_before_anything_ends_the_run(journal, process):
    processes = FakeProcesses({(process, "measure the machine's limits"): KILLED})
    with pytest.raises(WorkerDiedError, match="killed by signal 9"):
        run(journal, ignore, processes)
    assert journal.lost == {}
    assert journal.todo(process) == [STEP, FORWARD]


def die_at_once(request):
    raise KILLED
    yield


def test_dying_without_a_word_ends_the_run(journal):
    with pytest.raises(WorkerDiedError, match="killed by signal 9"):
        run(journal, ignore, die_at_once)


def test_a_group_that_is_measured_is_not_lost_by_what_comes_after(journal):
    def die_between_groups(request):
        for answer in FakeProcesses()(request):
            yield answer
            if isinstance(answer, GroupRecord):
                raise KILLED

    run(journal, ignore, die_between_groups)
    assert journal.lost == {}


def test_an_arm_that_was_lost_keeps_its_reason_when_its_group_is_lost(journal):
    run(journal, ignore, FakeProcesses({(0, f"compile {LINEN}"): KILLED, (0, f"time {STEP}"): KILLED}))
    assert journal.lost[LINEN].endswith(f"while trying to compile {LINEN}")


def test_a_process_that_ends_well_without_an_answer_is_not_asked_for_ever(journal):
    asked = []

    def say_nothing(request):
        asked.append(request)
        assert len(asked) < 10
        return iter(())

    with pytest.raises(TrigruError):
        run(journal, ignore, say_nothing)


@pytest.mark.parametrize("place", [(0, f"compile {PURE}"), (0, f"time {FORWARD}"), (1, f"time {STEP}")])
def test_an_interrupted_run_asks_only_for_what_is_missing(tmp_path, place):
    whole = begin(tmp_path / "whole")
    run(whole, ignore, FakeProcesses())
    journal = begin(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        run(journal, ignore, FakeProcesses({place: KeyboardInterrupt()}))
    assert not journal.complete
    resumed, processes = begin(tmp_path / "run", resume=True), FakeProcesses()
    missing = [(process, todo) for process in (0, 1) if (todo := journal.todo(process))]
    run(resumed, ignore, processes)
    assert processes.asked == missing
    (one, other) = (merge(journal) for journal in (whole, resumed))
    assert one.benchmarks == other.benchmarks
    assert (other.trigru.complete, other.trigru.interruptions, one.trigru.interruptions) == (True, 1, 0)


def test_what_is_measured_can_be_merged_before_all_is(journal):
    with pytest.raises(KeyboardInterrupt):
        run(journal, ignore, FakeProcesses({(1, f"time {FORWARD}"): KeyboardInterrupt()}))
    results = merge(journal)
    assert not results.trigru.complete
    assert {group: len(found[0].time_s) for group, found in results.groups().items()} == {STEP: 8, FORWARD: 4}
    verdicts = {group: found[2].facts.verdict for group, found in results.groups().items()}
    assert verdicts == {STEP: "slower", FORWARD: "indistinguishable"}, "four rounds in one process bear no verdict"


def test_nothing_cannot_be_merged(journal):
    with pytest.raises(TrigruError, match="nothing was measured"):
        merge(journal)


# What comes of it


@pytest.fixture
def merged(journal):
    run(journal, ignore, FakeProcesses())
    return merge(journal)


def test_ratios_are_those_of_paired_rounds_within_processes(merged):
    times_s = {arm: np.array(samples(0, arm) + samples(1, arm)) for arm in (PURE, AGAIN, LINEN)}
    process = [0] * 4 + [1] * 4
    floor = noise_floor(compare(times_s[AGAIN], times_s[PURE], process, PLAN.seed))
    for benchmark in merged.groups()[STEP]:
        facts, expected = benchmark.facts, compare(times_s[benchmark.fullname], times_s[PURE], process, PLAN.seed)
        assert facts.process == process
        np.testing.assert_array_equal(benchmark.time_s, times_s[benchmark.fullname])
        assert (facts.ratio, facts.ratio_low, facts.ratio_high) == (expected.ratio, expected.low, expected.high)
        assert (facts.floor, facts.verdict) == (floor, verdict(expected, floor))
    pure, again, linen = (b.facts for b in merged.groups()[STEP])
    assert pure.ratio == 1
    assert linen.verdict == "slower"
    pooled = compare(times_s[LINEN], times_s[PURE], None, PLAN.seed)
    assert linen.ratio_high != pooled.high, "processes count"
    assert again.ratio_low != 1


def test_processes_are_joined_in_their_order(merged):
    facts = merged.groups()[STEP][2].facts
    assert facts.position == [0, 1, 2, 0] * 2
    assert facts.started_s == [0.0, 1.0, 2.0, 3.0, 100.0, 101.0, 102.0, 103.0]
    assert (facts.calls, facts.warm_up_calls, facts.steady) == ([10, 11], [20, 21], [True, False])
    assert facts.pipelined_s == [0.5, 1.5]
    assert facts.gate == 0.375, "the largest"
    assert facts.build == Build(1.0, 2.0, 3.0, 7.0), "the first process's"


def test_facts_are_the_arms(merged):
    pure, again, linen = (b.facts for b in merged.groups()[FORWARD])
    tiny = get_workload("tiny")
    assert [f.id for f in (pure, again, linen)] == [arm.id for arm in PLAN.groups()[FORWARD]]
    assert [f.is_baseline for f in (pure, again, linen)] == [True, False, False]
    assert [f.copy for f in (pure, again, linen)] == [1, 2, 1]
    assert (linen.port, linen.style, linen.phase, linen.shape) == ("linen", "apply", "forward", tiny.shape)
    assert linen.work == work_of(tiny, "forward")
    # of a forward pass all time steps count, of a step one for each sequence
    assert linen.steps == tiny.steps == 8
    assert merged.groups()[STEP][0].facts.steps == tiny.batch_size == 1
    assert merged.groups()[STEP][0].facts.work == work_of(tiny, "step")


def test_an_arm_keeps_its_kernel_and_its_division(path):
    plan = msgspec.structs.replace(PLAN, phases=("forward",), kernels=("stock", "fused@save=none"))
    journal = begin(path, plan)
    run(journal, ignore, FakeProcesses())
    facts = [b.facts for b in merge(journal).benchmarks]
    arms = [arm for group in plan.groups().values() for arm in group]
    assert [(f.id, f.kernel, f.division) for f in facts] == [(arm.id, arm.kernel, arm.division) for arm in arms]


def test_a_groups_batch_is_made_once_for_all_its_arms(journal, monkeypatch):
    run(journal, ignore, FakeProcesses())
    made, make = [], Workload.batch
    monkeypatch.setattr(Workload, "batch", lambda workload: made.append(workload.name) or make(workload))
    merge(journal)
    assert made == ["tiny"] * 2, "of the forward pass, for its steps and its work; of a step, none"


def test_where_it_comes_from(merged):
    facts = merged.trigru
    assert (facts.plan, facts.seed, facts.command, facts.machine) == (PLAN, 3, ["trigru", "bench"], MACHINE)
    assert (facts.load_before, facts.matmul_precision, facts.complete) == (0.5, MATMUL_PRECISION, True)
    assert facts.ceilings == [STARTED.ceilings] * 2


def test_a_merged_run_is_a_results_file(merged, tmp_path):
    save(merged, tmp_path / "results.json")
    assert load(tmp_path / "results.json") == merged


@pytest.mark.parametrize("process", [0, 1])
def test_an_arm_that_fails_in_one_process_has_no_number_at_all(journal, process):
    processes = FakeProcesses(fails={(process, LINEN): "not equal to the oracle"})
    run(journal, ignore, processes)
    results = merge(journal)
    assert [b.facts.id for b in results.groups()[STEP]] == [PURE, AGAIN]
    assert results.untimed == [Untimed(LINEN, STEP, "linen[apply]", "not equal to the oracle")]
    # a later process does not try again
    assert processes.requests[1].lost == ({LINEN: "not equal to the oracle"} if process == 0 else {})


@pytest.mark.parametrize("process", [0, 1])
@pytest.mark.parametrize("missing", [PURE, AGAIN])
def test_without_the_baseline_or_its_duplicate_nobody_has_a_number(journal, process, missing):
    run(journal, ignore, FakeProcesses(fails={(process, missing): "it broke"}))
    results = merge(journal)
    assert list(results.groups()) == [FORWARD]
    expected = dict.fromkeys((PURE, AGAIN, LINEN), NO_BASELINE) | {missing: "it broke"}
    assert {u.id: u.reason for u in results.untimed} == expected
    assert len(results.untimed) == 3


def test_a_baseline_that_dies_in_a_later_process_leaves_nobody_a_number(journal):
    run(journal, ignore, FakeProcesses({(1, f"compile {PURE}"): KILLED}))
    results = merge(journal)
    assert list(results.groups()) == [FORWARD]
    assert {u.id for u in results.untimed} == {PURE, AGAIN, LINEN}
    assert {u.reason for u in results.untimed if u.id != PURE} == {NO_BASELINE}


@pytest.mark.parametrize("missing", [PURE, AGAIN])
def test_a_baseline_that_is_lost_after_it_was_measured_leaves_nobody_a_number(journal, missing):
    fill(journal, [STEP])
    journal.add(Lost(missing, "killed"))
    results = merge(journal)
    assert results.benchmarks == []
    expected = dict.fromkeys((PURE, AGAIN, LINEN), NO_BASELINE) | {missing: "killed"}
    assert {u.id: u.reason for u in results.untimed} == expected


# The measuring itself

REAL = Plan(("tiny",), ("step",), ("pure", "linen"), processes=1, rounds=3, sample_time_s=1e-4)


@pytest.fixture(scope="module")
def measured_here(tmp_path_factory):
    """A journal of a run whose process is this one, and what it answered."""
    answers = []

    def ask(request):
        before = len(answers)
        worker.measure(request, answers.append)
        yield from answers[before:]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ceilings, "GEMM_SIZE", {"cpu": 64})
        patch.setattr(ceilings, "COPY_BYTES", {"cpu": 2**16})
        patch.setattr(references, "_folder", None)
        journal = begin(tmp_path_factory.mktemp("here") / "journal", REAL)
        cached = jax.config.jax_enable_compilation_cache
        try:
            run(journal, ignore, ask)
        finally:
            jax.config.update("jax_enable_compilation_cache", cached)
    return journal, answers


@pytest.fixture(scope="module")
def measured_there(tmp_path_factory):
    """A journal of a run in a process of its own."""
    journal = begin(tmp_path_factory.mktemp("there") / "journal", REAL)
    run(journal, ignore)
    return journal


def test_the_worker_says_what_it_will_do_before_it_does(measured_here):
    _, answers = measured_here
    what = [a.what if isinstance(a, Underway) else type(a).__name__ for a in answers]
    arms = [PURE, AGAIN, LINEN]
    assert what == [
        "measure the machine's limits",
        "Started",
        f"ask the oracle about {STEP}",
        *(f"compile {arm}" for arm in arms),
        *(f"warm up {arm}" for arm in arms),
        *[f"time {STEP}"] * (1 + REAL.rounds),
        "GroupRecord",
    ]
    underway = [a for a in answers if isinstance(a, Underway)]
    assert sum(a.share for a in underway) == pytest.approx(1)
    assert {a.group for a in underway[1:]} == {STEP}
    assert [a.arm for a in underway] == [None, None, *arms, *arms, *[None] * (1 + REAL.rounds)]


@pytest.mark.parametrize("where", ["measured_here", "measured_there"])
def test_a_real_run_is_whole(where, request):
    found = request.getfixturevalue(where)
    results = merge(found if where == "measured_there" else found[0])
    assert results.untimed == []
    assert results.trigru.complete
    pure, again, linen = (b.facts for b in results.groups()[STEP])
    assert (pure.program.dots, linen.program.dots) == (2, 6)
    assert pure.program == again.program
    assert (pure.leaves, linen.leaves) == (5, 11)
    for benchmark in results.benchmarks:
        facts = benchmark.facts
        assert len(benchmark.time_s) == len(facts.position) == len(facts.started_s) == REAL.rounds
        assert 0 < facts.gate <= 1
        assert 0 < facts.build.compile_s < facts.build.first_call_s
    assert [sorted(b.facts.position[r] for b in results.benchmarks) for r in range(3)] == [[0, 1, 2]] * 3


def test_processes_agree_on_machine_and_program(measured_here, measured_there):
    here, there = measured_here[0], measured_there
    assert here.machine.differences(there.machine) == []
    programs = [{m.id: m.program.fingerprint for m in j.records[0].measured} for j in (here, there)]
    assert programs[0] == programs[1]


# The process

REQUEST = Request(PLAN, 0, True, [STEP], {LINEN: "it broke"}, "/folder")
LINE = '{"type":"Underway","what":"sit","share":0.5}'
SAT = Underway("sit", 0.5)
PATIENCE_S = 20


@pytest.fixture
def worker_does(tmp_path, monkeypatch):
    """Puts a shell script in the interpreter's place; it reads the request to `request` in its folder."""

    def put(script):
        file = tmp_path / "python"
        file.write_text(f'#!/bin/sh\ncd {tmp_path}\necho "$@" > arguments\n{script}\n')
        file.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(file))
        return tmp_path

    return put


def answers_until_death(request=REQUEST):
    """What a worker answers, and how it died."""
    answers = []
    with pytest.raises(WorkerDiedError) as caught:
        answers += ask_process(request)
    return answers, str(caught.value)


def test_a_worker_gets_the_request_and_its_answers_come_back(worker_does):
    folder = worker_does(f"head -n 1 > request; echo '{LINE}'; echo '{LINE}'; echo noise >&2")
    assert list(ask_process(REQUEST)) == [SAT, SAT]
    assert msgspec.json.decode((folder / "request").read_bytes(), type=Request) == REQUEST
    assert (folder / "arguments").read_text().split() == ["-m", "trigru.bench.timing.worker"]


DEATHS = {
    "kill -9 $$": "killed by signal 9",
    "kill -11 $$": "killed by signal 11",
    "echo Traceback >&2; echo 'ValueError: no such thing' >&2; exit 1": "ValueError: no such thing",
    "echo killed on purpose >&2; kill -9 $$": "killed by signal 9",
    "exit 3": "exit code 3",
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_death_comes_with_its_cause(worker_does, death):
    worker_does(f"head -n 1 > request; echo '{LINE}'; {death}")
    answers, said = answers_until_death()
    assert answers == [SAT]
    assert said == f"the measuring process died: {DEATHS[death]}"


def test_a_death_in_the_middle_of_an_answer_is_a_death(worker_does):
    worker_does(f"head -n 1 > request; echo '{LINE}'; printf '{LINE[:9]}'; kill -9 $$")
    assert answers_until_death() == ([SAT], "the measuring process died: killed by signal 9")


def test_a_death_before_the_request_is_read_is_a_death(worker_does):
    worker_does("echo 'ImportError: no JAX' >&2; exit 1")
    long = msgspec.structs.replace(REQUEST, lost={LINEN: "x" * 10**6})
    assert answers_until_death(long) == ([], "the measuring process died: ImportError: no JAX")


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def close(answers):
    answers.close()


def interrupt(answers):
    with pytest.raises(KeyboardInterrupt):
        answers.throw(KeyboardInterrupt())


@pytest.mark.parametrize("leave", [close, interrupt])
def test_leaving_kills_the_worker(worker_does, leave):
    folder = worker_does(f"head -n 1 > request; echo $$ > pid; echo '{LINE}'; exec sleep 20")
    answers = ask_process(REQUEST)
    assert next(answers) == SAT
    pid = int((folder / "pid").read_text())
    assert is_alive(pid)
    assert os.getsid(pid) == pid, "a session of its own, which Ctrl-C does not reach"
    start = time.monotonic()
    leave(answers)
    assert time.monotonic() - start < 10, "it was left to end by itself"
    assert not is_alive(pid)


def test_a_worker_ends_with_its_parent_though_it_has_nothing_to_say():
    code = f"""
import time
from trigru.bench import worker
from trigru.bench.timing.messages import Underway

def measure(request, answer):
    answer(Underway("sit", 0.5))
    time.sleep({PATIENCE_S})

worker.measure = measure
worker.main()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(msgspec.json.encode(REQUEST) + b"\n")
        process.stdin.flush()
        assert msgspec.json.decode(process.stdout.readline(), type=Answer) == SAT
        start = time.monotonic()
        process.stdin.close()
        assert process.wait() == 1
        assert time.monotonic() - start < PATIENCE_S / 2


def test_a_run_that_is_interrupted_leaves_no_process_behind(worker_does, journal):
    folder = worker_does(f"head -n 1 > request; echo $$ > pid; echo '{LINE}'; exec sleep 20")

    def stop(what, share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(journal, stop)
    assert not is_alive(int((folder / "pid").read_text()))
