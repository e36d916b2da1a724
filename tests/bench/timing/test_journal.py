"""The journal, and what a run asks of its processes: nothing is lost when one dies,
hangs or says nothing.
"""

import os
from itertools import product

import msgspec
import pytest
from support import processes as fakes
from support.files import lines_of
from support.processes import (
    ARMS,
    FORWARD,
    KILLED,
    LINEN,
    PURE,
    STEP,
    FakeProcesses,
    begun,
    fill,
    ignore,
    journal_at,
    pool_of,
)
from support.runs import EQUAL, MACHINE, make_arm
from trigru.bench.analysis.merge import merge
from trigru.bench.processes.pool import ChildDiedError
from trigru.bench.results.arm import Untimed
from trigru.bench.results.files import Journal, ResumeError
from trigru.bench.results.run import Measured, Resumed
from trigru.bench.timing.supervisor import run, variables_of
from trigru.common.equality.verification import Measurement
from trigru.common.errors import TrigruError

EQUALITY = [
    EQUAL,
    Measurement(
        "nnx",
        "styles",
        "pytree",
        "loss",
        "float32",
        None,
        1e-6,
        "not offered: none",
        "fused",
    ),
]
LOST = Untimed(LINEN, "it broke")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "run.journal"


@pytest.fixture
def journal(path):
    return journal_at(path)


def test_lines_survive(path):
    journal = journal_at(path, equality=EQUALITY)
    fill(journal)
    journal.add(LOST)
    journal.add(Untimed(LINEN, "it broke again"))
    again = journal_at(path, command=["another", "call"], load=9.0, resume=True)
    assert again.run.begun == journal.run.begun == begun(equality=EQUALITY), (
        "what the run began with, not what resumes it"
    )
    assert again.run.started == [fakes.STARTED]
    assert again.run.samples == journal.run.samples
    assert again.run.facts == journal.run.facts
    assert again.run.measured == {(STEP, 0), (FORWARD, 0)}
    assert again.run.reasons == {LINEN.id: LOST}, "the first reason"
    assert (journal.run.interruptions, again.run.interruptions) == (0, 1)
    assert journal_at(path, resume=True).run.interruptions == 2


def test_a_file_is_neither_written_over_nor_begun_again_in_its_middle(path, journal):
    content = path.read_bytes()
    with pytest.raises(FileExistsError):
        journal_at(path)
    assert path.read_bytes() == content
    path.unlink()
    with pytest.raises(FileNotFoundError):
        journal.add(fakes.STARTED)
    assert not path.exists()


def test_a_link_is_neither_begun_nor_resumed(path, journal, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(path.read_bytes() + b"half a line")
    before = victim.read_bytes()
    path.unlink()
    path.symlink_to(victim)
    with pytest.raises(FileExistsError):
        journal_at(path)
    with pytest.raises(
        ResumeError, match="is a symbolic link, which is not written to"
    ):
        journal_at(path, resume=True)
    assert victim.read_bytes() == before


@pytest.mark.parametrize("cut", [1, 2, 200])
def test_a_last_line_that_was_cut_off_is_dropped_and_the_rest_is_kept(
    path, journal, cut
):
    fill(journal)
    path.write_bytes(path.read_bytes()[:-cut])
    again = journal_at(path, resume=True)
    assert again.run.measured == {(STEP, 0)}
    assert again.run.todo(0) == ARMS[3:]
    # what follows does not stick to the rest of that line
    fill(again, (FORWARD,))
    assert journal_at(path, resume=True).run.todo(0) == []


def test_discarding_removes_the_file_and_the_folder_that_was_made_for_it(path, journal):
    journal.discard()
    assert not path.parent.exists()
    journal.discard()
    path.parent.mkdir()
    journal_at(path).discard()
    assert path.parent.exists(), "it was there before"


WHOLE = lines_of([begun(), LOST, fakes.STARTED, Resumed()])
STRANGER = make_arm("nnx[leaves]", "medium")
UNREADABLE = {
    "no file": (None, "No such file or directory"),
    "nothing": (b"", "has no beginning"),
    "JSON of something else": (b'{"benchmarks": []}\n', "not a run of this trigru"),
    "no beginning": (lines_of([LOST]), "has no beginning"),
    "a second beginning": (lines_of([begun(), begun()]), "has a second beginning"),
    "an arm that was not asked for": (
        lines_of([begun(), fakes.STARTED, fakes.measured(0, [STRANGER])]),
        "is no arm of the run",
    ),
    "a control character": (
        lines_of([begun(), {"type": "\x9b31m"}]),
        r"Invalid value '\\x9b31m'",
    ),
    "a line of JSON of something else": (lines_of([begun(), {}]), "missing.*`type`"),
}


def test_a_journal_is_read_up_to_any_line(path):
    path.parent.mkdir()
    lines = WHOLE.splitlines(keepends=True)
    for number in range(1, 5):
        path.write_bytes(b"".join(lines[:number]) + b'{"half')
        run = Journal.read(path).run
        assert 1 + len(run.untimed) + len(run.started) + run.interruptions == number


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_resumed_is_named_and_left_alone(path, name):
    content, message = UNREADABLE[name]
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    with pytest.raises(TrigruError, match=message) as caught:
        journal_at(path, resume=True)
    assert str(path) in str(caught.value)
    assert content is None or path.read_bytes() == content


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"versions": MACHINE.versions | {"jax": "0.1"}}, "jax 0.12.0 -> 0.1"),
        ({"commit": "def"}, "commit abc -> def"),
    ],
)
def test_another_machine_or_commit_cannot_go_on(path, journal, changes, message):
    fill(journal, (STEP,))
    resumed = journal_at(path, resume=True)
    with pytest.raises(ResumeError) as caught:
        run(
            resumed,
            ignore,
            FakeProcesses(machine=msgspec.structs.replace(MACHINE, **changes)).pool,
        )
    said = (
        f"{path} was measured elsewhere: {message}. Begin anew with --fresh, or in "
        "another folder with --output."
    )
    assert str(caught.value) == said
    assert resumed.run.todo(0) == ARMS[3:]
    assert journal_at(path, resume=True).run.machine == MACHINE


WITHOUT_LINEN = [arm for arm in ARMS if arm != LINEN]


def test_each_process_is_asked_for_everything_once_and_progress_adds_up(journal):
    processes, seen = FakeProcesses(), []
    run(journal, lambda what, share: seen.append((what, share)), processes.pool)
    assert sum(share for _, share in seen) == pytest.approx(1)
    assert (seen[1][0], seen[-1][0]) == (
        f"compile {PURE.id} (1 of 2)",
        f"time {FORWARD} (2 of 2)",
    )
    assert processes.asked == [(0, ARMS), (1, ARMS)]
    first, second = processes.requests
    assert first.folder == second.folder
    assert not os.path.exists(first.folder)
    assert first.plan == fakes.PLAN
    assert journal.run.complete


def test_processes_are_told_the_platform_of_the_proofs_or_of_the_first_of_them(
    tmp_path,
):
    for of_proofs in ("gpu", None):
        processes = FakeProcesses()
        run(
            journal_at(tmp_path / f"run {of_proofs}", backend=of_proofs),
            ignore,
            processes.pool,
        )
        assert [request.backend for request in processes.requests] == [of_proofs, "cpu"]


#: By what is under way in which process when it dies, again and again: the requests,
#: and the arms that are lost.
DEATHS = {
    (0, f"compile {LINEN.id}"): (
        [(0, ARMS), (0, WITHOUT_LINEN), (1, WITHOUT_LINEN)],
        [LINEN],
    ),
    (0, f"time {LINEN.id}"): (
        [(0, ARMS), (0, WITHOUT_LINEN), (1, WITHOUT_LINEN)],
        [LINEN],
    ),
    (0, f"compile {fakes.AGAIN.id}"): (
        [(0, ARMS), (0, ARMS[3:]), (1, ARMS[3:])],
        [fakes.AGAIN],
    ),
    (0, f"time {STEP}"): ([(0, ARMS), (0, ARMS[3:]), (1, ARMS[3:])], ARMS[:3]),
    (1, f"compile {LINEN.id}"): (
        [(0, ARMS), (1, ARMS), (1, ARMS), (1, WITHOUT_LINEN)],
        [LINEN],
    ),
    (1, f"time {PURE.id}"): ([(0, ARMS), (1, ARMS), (1, ARMS), (1, ARMS[3:])], [PURE]),
}


@pytest.mark.parametrize("place", DEATHS, ids=str)
def test_a_death_loses_what_is_to_blame_and_the_rest_goes_on(journal, place):
    """In a later process one death may be chance: only the second one has an arm to
    blame.
    """
    processes = FakeProcesses({place: KILLED})
    run(journal, ignore, processes.pool)
    requests, lost = DEATHS[place]
    assert processes.asked == requests
    blamed = f"the process died: killed by signal 9 while trying to {place[1]}"
    assert journal.run.reasons == {arm.id: Untimed(arm, blamed) for arm in lost}
    assert journal.run.complete


def test_one_death_of_a_later_process_or_between_groups_loses_nothing(
    journal, tmp_path
):
    processes = FakeProcesses({(1, f"time {PURE.id}"): KILLED})

    def killed_once(request):
        try:
            yield from processes(request)
        finally:
            if request.process:
                processes.dies.clear()

    def die_between_groups(request):
        for answer in FakeProcesses()(request):
            yield answer
            if isinstance(answer, Measured):
                raise KILLED

    run(journal, ignore, pool_of(killed_once))
    assert processes.asked == [(0, ARMS), (1, ARMS), (1, ARMS)]
    other = journal_at(tmp_path / "other")
    run(other, ignore, pool_of(die_between_groups))
    assert all(of.run.complete and not of.run.untimed for of in (journal, other))


@pytest.mark.parametrize("process", [0, 1])
def test_dying_before_anything_is_measured_ends_the_run(journal, process):
    processes = FakeProcesses({(process, "look at the machine"): KILLED})
    with pytest.raises(ChildDiedError, match="killed by signal 9"):
        run(journal, ignore, processes.pool)
    assert len(processes.requests) == 1 + 2 * process, "a later one may try again"


@pytest.mark.parametrize("process", [0, 1])
def test_of_two_side_by_side_the_one_that_dies_loses_its_arm_and_the_other_nothing(
    journal, monkeypatch, process
):
    monkeypatch.setattr("trigru.bench.timing.supervisor.cores", lambda: 2)
    processes = FakeProcesses({(process, f"time {LINEN.id}"): KILLED})
    run(journal, ignore, processes.pool, quick=True)
    assert [request.process for request in processes.requests][:2] == [0, 1]
    assert journal.run.complete
    assert list(journal.run.reasons) == [LINEN.id]
    assert journal.run.measured == set(product((STEP, FORWARD), (0, 1)))


@pytest.mark.parametrize(
    ("cores", "quick", "backend", "expected"),
    [
        (2, True, "cpu", 2),
        (1, True, "cpu", 1),
        (2, False, "cpu", 1),
        (2, True, "gpu", 1),
    ],
)
def test_processes_work_side_by_side_in_a_first_look_on_a_cpu_of_two_cores(
    path, monkeypatch, cores, quick, backend, expected
):
    monkeypatch.setattr("trigru.bench.timing.supervisor.cores", lambda: cores)
    numbers = []

    def watched(plan, processes):
        numbers.append(processes)
        return FakeProcesses().pool(plan, processes)

    run(journal_at(path, backend=backend), ignore, watched, quick=quick)
    assert numbers == [expected]


def test_a_process_that_ends_well_without_an_answer_is_not_asked_for_ever(journal):
    asked = []

    def say_nothing(request):
        asked.append(request)
        assert len(asked) < 10
        return ()

    with pytest.raises(ChildDiedError, match="ended without a word"):
        run(journal, ignore, pool_of(say_nothing))


def test_a_later_process_does_not_try_again_what_has_no_number(journal):
    processes = FakeProcesses(fails={(0, LINEN.id): "not equal to the oracle"})
    run(journal, ignore, processes.pool)
    assert processes.asked == [(0, ARMS), (1, WITHOUT_LINEN)]


@pytest.mark.parametrize(
    "place",
    [(0, f"compile {PURE.id}"), (0, f"time {FORWARD}"), (1, f"time {STEP}")],
    ids=str,
)
def test_an_interrupted_run_asks_only_for_what_is_missing(tmp_path, place):
    whole = journal_at(tmp_path / "whole")
    run(whole, ignore, FakeProcesses().pool)
    journal = journal_at(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        run(journal, ignore, FakeProcesses({place: KeyboardInterrupt()}).pool)
    assert not journal.run.complete
    resumed, processes = journal_at(tmp_path / "run", resume=True), FakeProcesses()
    missing = [
        (process, todo) for process in (0, 1) if (todo := journal.run.todo(process))
    ]
    shares = []
    run(resumed, lambda _, share: shares.append(share), processes.pool)
    assert processes.asked == missing
    assert sum(shares) == pytest.approx(1)
    (one, other) = (merge(journal.run) for journal in (whole, resumed))
    numbers = [
        [(b.arm, b.time_s.tolist(), b.comparison) for b in of.benchmarks]
        for of in (one, other)
    ]
    assert numbers[0] == numbers[1], "whenever they were taken"
    assert (
        other.trigru.complete,
        other.trigru.interruptions,
        one.trigru.interruptions,
    ) == (True, 1, 0)


@pytest.mark.parametrize(
    ("devices", "user", "has_gpu", "expected"),
    [
        (1, {}, True, {"CUDA_VISIBLE_DEVICES": "0"}),
        (2, {}, True, {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}),
        (1, {"CUDA_VISIBLE_DEVICES": "3"}, True, {}),
        (1, {}, False, {}),
    ],
)
def test_a_process_sees_one_gpu_unless_more_are_asked_for_or_the_user_says(
    monkeypatch, devices, user, has_gpu, expected
):
    monkeypatch.setattr(
        "os.path.exists", lambda path: has_gpu and path == "/dev/nvidia0"
    )
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    planned = msgspec.structs.replace(fakes.PLAN, devices=(*{1, devices},))
    assert variables_of(planned, user) == expected
