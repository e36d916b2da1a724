"""The measuring itself: what a process does with the arms that it is handed, and what
it says of them.
"""

import shutil
import weakref
from contextlib import contextmanager, nullcontext, suppress

import jax
import msgspec
import pytest
from support.processes import ignore, journal_at, pool_here
from support.runs import MACHINE, make_arm, plan
from trigru.bench.analysis.merge import merge
from trigru.bench.arms.arms import expand
from trigru.bench.results.arm import NO_BASELINE, Untimed
from trigru.bench.results.machine import machine_differences
from trigru.bench.results.run import Measured
from trigru.bench.timing import worker
from trigru.bench.timing.messages import Stage, TimingRequest
from trigru.bench.timing.sampling import Schedule, WarmUp
from trigru.bench.timing.supervisor import run
from trigru.common.errors import TrigruError
from trigru.common.port.compilation import count_programs, programs_kept_in

PLAN = plan(phases=("step",), styles=("functional",), processes=1, rounds=3)
ARMS = expand(PLAN)
PURE, AGAIN, LINEN = ARMS


@pytest.fixture
def answers_to(tmp_path):
    """What this process answers to a request for these arms."""

    def answers_to(arms=ARMS, **changes):
        asked = {"process": 0, "backend": "cpu", "folder": str(tmp_path)}
        planned = {name: changes.pop(name) for name in [*changes] if name not in asked}
        answers = []
        of = msgspec.structs.replace(PLAN, sample_time_s=1e-4, **planned)
        request = TimingRequest(of, arms, **asked | changes)
        worker.measure(request, answers.append, nullcontext)
        return answers

    return answers_to


def timed_in(answers):
    """The arms that have a number, by name, and the reasons of those that have none."""
    timed = {
        facts.arm.rpartition("/")[2]: facts
        for a in answers
        if isinstance(a, Measured)
        for facts in a.facts
    }
    return timed, {a.arm.name: a.reason for a in answers if isinstance(a, Untimed)}


SHUFFLED = [2, 0, 1]  # in the first process


def test_what_is_under_way_adds_up_to_the_whole_and_names_the_arm_that_may_be_to_blame(
    answers_to,
):
    underway, ids = (
        [a for a in answers_to(backend=None) if isinstance(a, Stage)],
        [arm.id for arm in ARMS],
    )
    assert sum(a.share for a in underway) == pytest.approx(1)
    assert {a.group for a in underway[1:]} == {PURE.group}
    assert [a.arm for a in underway] == [
        None,
        *(ids[number] for number in SHUFFLED),
        *ids,
        *[None] * (1 + 3 + 1),
        *ids,
    ]


def test_a_real_run_is_whole_and_processes_agree_on_machine_and_program(tmp_path):
    """A run whose process is this one, and a run in a process of its own."""
    journals = [journal_at(tmp_path / where, PLAN) for where in ("here", "there")]
    run(journals[0], ignore, pool_here)
    run(journals[1], ignore)
    for journal in journals:
        results = merge(journal.run)
        assert (results.untimed, results.trigru.complete) == ([], True)
        pure, again, linen = (b.facts for b in results.benchmarks)
        assert (pure.program.dots, linen.program.dots) == (2, 6)
        assert pure.program == again.program
        assert (pure.leaves, linen.leaves) == (5, 11)
        machine = results.trigru.machine
        for b in results.benchmarks:
            facts = b.facts
            assert len(b.time_s) == 3
            assert 0 < facts.gate <= 1
            assert 0 < facts.build.compile_s < facts.build.first_call_s
            assert (facts.device, facts.backend) == (machine.device, machine.backend)
    here, there = (
        {facts.arm: facts.program.fingerprint for facts in j.run.facts}
        for j in journals
    )
    assert here == there
    assert machine_differences(*(j.run.machine for j in journals)) == []


def test_another_platform_than_expected_is_said_before_anything_is_measured(answers_to):
    with pytest.raises(
        worker.OtherPlatformError, match="^it found cpu, where gpu was expected"
    ):
        answers_to(backend="gpu")


def test_the_arm_that_is_being_timed_is_marked_and_none_after_that(
    answers_to, monkeypatch, tmp_path
):
    real, seen, marker = (
        worker.sample_rounds,
        [],
        TimingRequest(PLAN, ARMS, 0, "cpu", str(tmp_path)).marker,
    )

    def sample_rounds(ready, *given, entering, **options):
        def watched(index):
            entering(index)
            seen.append(
                (ready[index].arm.port, int.from_bytes(marker.read_bytes(), "little"))
            )

        return real(ready, *given, entering=watched, **options)

    monkeypatch.setattr(worker, "sample_rounds", sample_rounds)
    answers_to([PURE, AGAIN, make_arm("nnx[refused]", phase="step"), LINEN])
    assert set(seen) == {("pure", 1), ("pure", 2), ("linen", 4)}
    assert not any(marker.read_bytes())


def test_a_program_elsewhere_than_on_jaxs_device_has_no_number_and_says_where(
    answers_to, monkeypatch
):
    real = worker.prepare

    def prepare(arm, folder):
        ready = real(arm, folder)
        if arm.port == "linen":
            ready.program.device, ready.program.backend = "A GPU", "cuda"
        return ready

    monkeypatch.setattr(worker, "prepare", prepare)
    timed, without = timed_in(answers_to())
    assert list(timed) == ["pure[jit]", "pure[jit]#2"]
    assert without["linen[apply]"].startswith("it runs on A GPU, and the ports on ")
    assert timed["pure[jit]"].backend == "cpu"


def test_the_plan_sets_the_clock_and_later_processes_read_no_programs(
    answers_to, monkeypatch
):
    real, seeds = worker.sample_rounds, []
    monkeypatch.setattr(worker, "warm_up", lambda *_: WarmUp(False, call_time_s=1e-4))
    monkeypatch.setattr(
        worker,
        "sample_rounds",
        lambda *of, seed, **more: seeds.append(seed) or real(*of, **more),
    )
    answers = answers_to(process=1, processes=2, rounds=6)
    compiled = [
        a.arm for a in answers if isinstance(a, Stage) and a.what.startswith("compile")
    ]
    assert compiled != [ARMS[number].id for number in SHUFFLED], (
        "each process gets ready in an order of its own"
    )
    timed, _ = timed_in(answers)
    assert seeds == [1], "and has orders of its own"
    (measured,) = (a for a in answers if isinstance(a, Measured))
    for facts in timed.values():
        assert (facts.build, facts.program) == (None, None)
        assert (facts.calls, facts.steady) == (1, False)
        clocks = [s.clock for s in measured.samples if s.arm == facts.arm]
        assert clocks == ["blocked"] * 6 + ["pipelined"] * 2


@pytest.fixture
def counted(monkeypatch):
    """Of each arm that is prepared, whether programs were compiled, and whether some
    were found compiled.
    """
    whole, counted = worker.prepare, []

    def prepare(arm, folder):
        with count_programs() as count:
            found = whole(arm, folder)
        counted.append(tuple(number > 0 for number in count()))
        return found

    monkeypatch.setattr(worker, "prepare", prepare)
    return counted


def test_the_second_process_compiles_for_the_later_ones_and_the_first_for_its_own_times(
    answers_to, tmp_path, counted
):
    kept = tmp_path / "programs"

    def of_each_arm(process, processes=9):
        jax.clear_caches()
        counted.clear()
        answers_to(process=process, processes=processes)
        return counted

    with programs_kept_in(None):  # as a measuring process does
        anew, taken = [(True, False)] * 3, [(False, True)] * 3
        assert of_each_arm(0) == anew
        assert not kept.exists()
        assert of_each_arm(1) == anew, (
            "a duplicate that takes the baseline's program has no luck of its own"
        )
        assert len(list(kept.iterdir())) == 3
        assert all(reused for _, reused in of_each_arm(2)), (
            "whichever comes first also makes small programs for all"
        )
        assert of_each_arm(2) == taken
        shutil.rmtree(kept)
        assert of_each_arm(0, processes=4) == anew
        assert of_each_arm(1, processes=4) == taken, (
            "of a few, the first alone compiles"
        )


def test_a_first_look_keeps_its_programs_for_the_next_one_of_the_same_software(
    tmp_path, counted
):
    def taken(name, **changes):
        """Whether each arm was found compiled."""
        jax.clear_caches()
        counted.clear()
        journal = journal_at(tmp_path / name, PLAN, **changes)
        run(journal, ignore, pool_here, quick=True, programs=tmp_path / "programs")
        is_unknown = journal.run.begun.backend == "cpu"
        assert [f.build is None for f in journal.run.facts] == [is_unknown] * 3
        return [is_reused for _, is_reused in counted]

    with programs_kept_in(None):
        assert taken("first") == [False] * 3
        assert taken("again") == [True] * 3
        assert taken("other", versions={"jax": "other"}) == [False] * 3
        assert len([*(tmp_path / "programs").iterdir()]) == 1, (
            "those of the software before are removed"
        )
        assert (
            taken("gpu or unknown", backend=None, versions={"jax": "other"})
            == [False] * 3
        )


def test_a_process_works_alone_while_it_times_and_beside_others_while_it_prepares(
    tmp_path, monkeypatch
):
    steps = []

    def watch(name):
        whole = getattr(worker, name)

        def watched(*of, **more):
            steps.append(name)
            return whole(*of, **more)

        monkeypatch.setattr(worker, name, watched)

    for name in ("prepare", "warm_up", "sample_rounds", "read_program"):
        watch(name)

    @contextmanager
    def alone():
        steps.append("alone")
        yield
        steps.append("together")

    arms = expand(msgspec.structs.replace(PLAN, phases=("step", "forward")))
    request = TimingRequest(PLAN, arms, 0, "cpu", str(tmp_path))
    worker.measure(request, [].append, alone)
    group = ["prepare"] * 3 + ["alone"] + ["warm_up"] * 3 + ["sample_rounds"]
    group += ["together"] + ["read_program"] * 3
    assert steps == group + group


def test_arms_are_measured_in_their_precision(answers_to, monkeypatch):
    seen, prepare = [], worker.prepare

    def watched(*given):
        seen.append(jax.config.jax_default_matmul_precision)
        return prepare(*given)

    monkeypatch.setattr(worker, "prepare", watched)
    of = {"dtype": "bfloat16", "precision": "high"}
    arms = expand(msgspec.structs.replace(PLAN, **of))
    answers_to(arms, **of)
    assert seen == ["high"] * 3


def test_on_an_accelerator_no_program_is_kept_since_it_holds_what_was_tuned(
    monkeypatch,
):
    kept = []
    monkeypatch.setattr(
        worker, "programs_kept_in", lambda folder: kept.append(folder) or nullcontext()
    )
    for backend in ("cpu", "gpu"):
        machine = msgspec.structs.replace(MACHINE, backend=backend)
        with suppress(worker.OtherPlatformError):
            worker.prepare_in_process(
                TimingRequest(plan(processes=9), ARMS, 2, backend, "/folder"),
                PURE,
                machine,
            )
    assert [folder is None for folder in kept] == [False, True]


@pytest.fixture
def breaks(monkeypatch):
    """Lets a stage of the measuring fail for some arms."""

    def breaks(stage, is_hit, error):
        real = getattr(worker, stage)

        def broken(subject, *rest, **options):
            if stage != "sample_rounds" and is_hit(
                subject if stage == "prepare" else subject.arm
            ):
                raise type(error)(*error.args)
            found = real(subject, *rest, **options)
            if stage != "sample_rounds":
                return found
            return [
                error if is_hit(ready.arm) else of
                for ready, of in zip(subject, found, strict=True)
            ]

        monkeypatch.setattr(worker, stage, broken)

    return breaks


@pytest.mark.parametrize(
    ("stage", "error", "reason"),
    [
        (
            "prepare",
            MemoryError("out of memory\nand more"),
            "MemoryError: out of memory",
        ),
        (
            "warm_up",
            RuntimeError("RESOURCE_EXHAUSTED"),
            "RuntimeError: RESOURCE_EXHAUSTED",
        ),
        (
            "sample_rounds",
            TrigruError("XLA compiled while the clock ran."),
            "XLA compiled while the clock ran.",
        ),
    ],
)
def test_an_arm_that_fails_loses_its_own_cell_and_says_why(
    breaks, answers_to, monkeypatch, stage, error, reason
):
    breaks(stage, lambda arm: arm.port == "linen", error)
    alive, seen, warm_up, rounds_in = (
        weakref.WeakValueDictionary(),
        [],
        worker.warm_up,
        worker.rounds_in,
    )
    monkeypatch.setattr(
        worker,
        "warm_up",
        lambda one, *how: warm_up(alive.setdefault(one.arm.port, one), *how),
    )
    monkeypatch.setattr(
        worker, "rounds_in", lambda *of: seen.extend(alive) or rounds_in(*of)
    )
    timed, without = timed_in(answers_to())
    assert (list(timed), without) == (
        ["pure[jit]", "pure[jit]#2"],
        {"linen[apply]": reason},
    )
    assert ("linen" in seen) == (stage == "sample_rounds"), (
        "it is in memory no longer while others are timed"
    )


@pytest.mark.parametrize(
    ("stage", "broken"), [("prepare", "pure[jit]"), ("warm_up", "pure[jit]#2")]
)
def test_without_the_baseline_or_its_duplicate_nothing_is_timed(
    breaks, answers_to, broken, stage
):
    breaks(stage, lambda arm: arm.name == broken, TrigruError("it broke"))
    assert timed_in(answers_to()) == (
        {},
        {arm.name: NO_BASELINE for arm in ARMS} | {broken: "it broke"},
    )


#: processes, rounds asked for, the worker's limits, rounds given to three arms: 0.3 ms
#: a round, as the other
ROUNDS = [
    (
        1,
        1000,
        {"GROUP_TIME_S": 0.05, "MIN_ROUNDS": 4},
        132,
    ),  # whole squares, where time is short
    (
        1,
        20,
        {"GROUP_TIME_S": 8 * 3e-4, "MIN_ROUNDS": 4},
        6,
    ),  # six rounds, and two of the other clock
    (
        2,
        1000,
        {"GROUP_TIME_S": 0.0, "MIN_ROUNDS": 5},
        3,
    ),  # the few are shared by the processes
    (1, None, {"SHORT_GROUP_TIME_S": 0.0, "ROUNDS": 4.5, "MOST_ROUNDS": 12}, 9),
    (
        1,
        None,
        {"SHORT_GROUP_TIME_S": 9.1 * 3e-4, "ROUNDS": 1, "MOST_ROUNDS": 12},
        9,
    ),  # by the clock that leads
    (2, None, {"SHORT_GROUP_TIME_S": 0.0, "ROUNDS": 3, "MOST_ROUNDS": 12}, 3),
    (2, None, {"SHORT_GROUP_TIME_S": 60.0, "ROUNDS": 3, "MOST_ROUNDS": 12}, 12),
    (1, 7, {}, 7),  # as asked for
]


@pytest.mark.parametrize(("processes", "asked", "limits", "given"), ROUNDS)
def test_a_group_gets_as_many_rounds_as_fit_its_time(
    monkeypatch, processes, asked, limits, given
):
    for name, value in limits.items():
        monkeypatch.setattr(worker, name, value)
    schedule = Schedule(
        {"blocked": [4] * 3, "pipelined": [4] * 3}, {"blocked": 3e-4, "pipelined": 3e-4}
    )
    assert (
        worker.rounds_in(plan(processes=processes, rounds=asked), schedule, 3) == given
    )
