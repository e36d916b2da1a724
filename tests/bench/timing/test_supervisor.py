"""What a run asks of its processes, and what it loses when one of them dies, hangs or says nothing."""

import os

import msgspec
import pytest
from support.processes import ARMS, FORWARD, KILLED, LINEN, PLAN, PURE, STEP, FakeProcesses, ignore, journal_at
from trigru.bench.analysis.merge import merge
from trigru.bench.processes.child import ChildDiedError
from trigru.bench.results.arm import Untimed
from trigru.bench.results.run import GroupTimed
from trigru.bench.timing.supervisor import Request, ask_process, run

AGAIN = ARMS[1]
WITHOUT_LINEN = [arm for arm in ARMS if arm != LINEN]


@pytest.fixture
def journal(tmp_path):
    return journal_at(tmp_path / "run.journal")


def test_each_process_is_asked_for_everything_once(journal):
    processes = FakeProcesses()
    run(journal, ignore, processes)
    assert processes.asked == [(0, ARMS), (1, ARMS)]
    first, second = processes.requests
    assert first.folder == second.folder
    assert not os.path.exists(first.folder)
    assert first.plan == PLAN
    assert journal.complete


def test_progress_adds_up_to_the_whole_and_says_which_process(journal):
    seen = []
    run(journal, lambda what, share: seen.append((what, share)), FakeProcesses())
    assert sum(share for _, share in seen) == pytest.approx(1)
    assert seen[1][0] == f"compile {PURE.id} (1 of 2)"
    assert seen[-1][0] == f"time {FORWARD} (2 of 2)"


@pytest.mark.parametrize("of_proofs", ["gpu", None])
def test_processes_are_told_the_platform_of_the_proofs_or_of_the_first_of_them(tmp_path, of_proofs):
    processes = FakeProcesses()
    run(journal_at(tmp_path / "run", backend=of_proofs), ignore, processes)
    assert [request.backend for request in processes.requests] == [of_proofs, "cpu"]


#: By what is under way in which process when it dies, again and again: the requests, and the arms that are lost.
DEATHS = {
    (0, f"compile {LINEN.id}"): ([(0, ARMS), (0, WITHOUT_LINEN), (1, WITHOUT_LINEN)], [LINEN]),
    (0, f"time {LINEN.id}"): ([(0, ARMS), (0, WITHOUT_LINEN), (1, WITHOUT_LINEN)], [LINEN]),
    (0, f"compile {AGAIN.id}"): ([(0, ARMS), (0, ARMS[3:]), (1, ARMS[3:])], [AGAIN]),
    (0, f"time {STEP}"): ([(0, ARMS), (0, ARMS[3:]), (1, ARMS[3:])], ARMS[:3]),
    (1, f"compile {LINEN.id}"): ([(0, ARMS), (1, ARMS), (1, ARMS), (1, WITHOUT_LINEN)], [LINEN]),
    (1, f"time {PURE.id}"): ([(0, ARMS), (1, ARMS), (1, ARMS), (1, ARMS[3:])], [PURE]),
}


@pytest.mark.parametrize("place", DEATHS, ids=str)
def test_a_death_loses_what_is_to_blame_and_the_rest_goes_on(journal, place):
    """In a later process one death may be chance: only the second one has an arm to blame."""
    processes = FakeProcesses({place: KILLED})
    run(journal, ignore, processes)
    requests, lost = DEATHS[place]
    assert processes.asked == requests
    blamed = f"the measuring process died: killed by signal 9 while trying to {place[1]}"
    assert journal.untimed == {arm.id: Untimed(arm, blamed) for arm in lost}
    assert journal.complete


def test_one_death_of_a_later_process_may_be_chance(journal):
    processes = FakeProcesses({(1, f"time {PURE.id}"): KILLED})

    def killed_once(request, limit_s):
        try:
            yield from processes(request, limit_s)
        finally:
            if request.process:
                processes.dies.clear()

    run(journal, ignore, killed_once)
    assert processes.asked == [(0, ARMS), (1, ARMS), (1, ARMS)]
    assert journal.untimed == {}
    assert journal.complete


@pytest.mark.parametrize("process", [0, 1])
def test_dying_before_anything_is_measured_ends_the_run(journal, process):
    processes = FakeProcesses({(process, "measure the machine's limits"): KILLED})
    with pytest.raises(ChildDiedError, match="killed by signal 9"):
        run(journal, ignore, processes)
    assert len(processes.requests) == 1 + 2 * process, "a later one may try again"


def test_a_process_that_ends_well_without_an_answer_is_not_asked_for_ever(journal):
    asked = []

    def say_nothing(request, limit_s):
        asked.append(request)
        assert len(asked) < 10
        yield from ()

    with pytest.raises(ChildDiedError, match="ended without a word"):
        run(journal, ignore, say_nothing)


def test_a_group_that_is_measured_is_not_lost_by_what_comes_after(journal):
    def die_between_groups(request, limit_s):
        for answer in FakeProcesses()(request, limit_s):
            yield answer
            if isinstance(answer, GroupTimed):
                raise KILLED

    run(journal, ignore, die_between_groups)
    assert journal.untimed == {}
    assert journal.complete


def test_a_later_process_does_not_try_again_what_has_no_number(journal):
    processes = FakeProcesses(fails={(0, LINEN.id): "not equal to the oracle"})
    run(journal, ignore, processes)
    assert processes.asked == [(0, ARMS), (1, WITHOUT_LINEN)]


@pytest.mark.parametrize("place", [(0, f"compile {PURE.id}"), (0, f"time {FORWARD}"), (1, f"time {STEP}")], ids=str)
def test_an_interrupted_run_asks_only_for_what_is_missing(tmp_path, place):
    whole = journal_at(tmp_path / "whole")
    run(whole, ignore, FakeProcesses())
    journal = journal_at(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        run(journal, ignore, FakeProcesses({place: KeyboardInterrupt()}))
    assert not journal.complete
    resumed, processes = journal_at(tmp_path / "run", resume=True), FakeProcesses()
    missing = [(process, todo) for process in (0, 1) if (todo := journal.todo(process))]
    shares = []
    run(resumed, lambda _, share: shares.append(share), processes)
    assert processes.asked == missing
    assert sum(shares) == pytest.approx(1)
    (one, other) = (merge(journal) for journal in (whole, resumed))
    numbers = [[(b.arm, b.time_s.tolist(), b.ratio) for b in of.benchmarks] for of in (one, other)]
    assert numbers[0] == numbers[1], "whenever they were taken"
    assert (other.trigru.complete, other.trigru.interruptions, one.trigru.interruptions) == (True, 1, 0)


@pytest.mark.parametrize(
    ("devices", "user", "has_gpu", "variables"),
    [
        (1, None, True, {"CUDA_VISIBLE_DEVICES": "0"}),
        (2, None, True, {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}),
        (1, "3", True, {}),
        (1, None, False, {}),
    ],
)
def test_a_process_sees_one_gpu_unless_more_are_asked_for_or_the_user_says(
    monkeypatch, devices, user, has_gpu, variables
):
    seen = []

    def lines_of(module, request, limit_s, variables):
        seen.append(variables)
        yield from ()

    monkeypatch.setattr("trigru.bench.timing.supervisor.lines_of", lines_of)
    monkeypatch.setattr("os.path.exists", lambda path: has_gpu and path == "/dev/nvidia0")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if user:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", user)
    planned = msgspec.structs.replace(PLAN, devices=(*{1, devices},))
    list(ask_process(Request(planned, ARMS, 0, "cpu", "/folder"), 9.0))
    assert seen == [variables]
