"""The journal: each line is on disk before the next begins, and what is not of this run is refused."""

from dataclasses import replace

import msgspec
import pytest
from support.processes import (  # fmt: skip
    ARMS,
    FORWARD,
    LINEN,
    STARTED,
    STEP,
    FakeProcesses,
    begun,
    fill,
    ignore,
    journal_at,
    timed,
)
from support.runs import MACHINE, make_arm
from trigru.bench.results.arm import Untimed
from trigru.bench.results.run import GroupTimed, Resumed
from trigru.bench.timing.journal import Journal, ResumeError
from trigru.bench.timing.supervisor import run
from trigru.common.equality.verification import Measurement
from trigru.common.errors import TrigruError

EQUALITY = [
    Measurement("linen", "sequence", None, "outputs", "float64", 1e-16, 1e-12),
    Measurement("nnx", "styles", "pytree", "loss", "float32", None, 1e-6, "not offered: no such style", "fused"),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "run.journal"


@pytest.fixture
def journal(path):
    return journal_at(path, equality=EQUALITY)


def test_lines_survive(path, journal):
    fill(journal)
    journal.add(Untimed(LINEN, "it broke"))
    journal.add(Untimed(LINEN, "it broke again"))
    again = journal_at(path, command=["another", "call"], load=9.0, resume=True)
    assert again.begun == journal.begun == begun(equality=EQUALITY), "what the run began with, not what resumes it"
    assert (again.started, again.groups_timed) == ([STARTED], journal.groups_timed)
    assert [line.group for line in again.groups_timed] == [STEP, FORWARD]
    assert again.untimed == {LINEN.id: Untimed(LINEN, "it broke")}, "the first reason"


def test_each_line_is_on_disk_before_the_next_begins(path, journal):
    for number in range(3):
        journal.add(Untimed(LINEN, f"reason {number}"))
        lines = path.read_bytes().splitlines()
        assert len(lines) == number + 2
        assert msgspec.json.decode(lines[-1])["reason"] == f"reason {number}"


def test_a_run_whose_file_somebody_removed_is_not_begun_again_in_its_middle(path, journal):
    path.unlink()
    with pytest.raises(FileNotFoundError):
        journal.add(STARTED)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_file_that_is_there_is_never_written_over(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(FileExistsError):
        journal_at(path)
    assert path.read_bytes() == content


def test_a_link_is_neither_begun_nor_resumed(path, journal, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(path.read_bytes() + b"half a line")
    before = victim.read_bytes()
    path.unlink()
    path.symlink_to(victim)
    with pytest.raises(FileExistsError):
        journal_at(path)
    with pytest.raises(ResumeError, match="is a symbolic link, which is not written to"):
        journal_at(path, resume=True)
    assert victim.read_bytes() == before


GROUP = GroupTimed(STEP, 0, [timed(0, arm) for arm in ARMS[:3]])
LONGER = msgspec.structs.replace(timed(0, ARMS[0]), time_s=[1.0] * 5, position=[0] * 5, started_s=[0.0] * 5)
CONTRADICTIONS = {
    "has a second beginning": [begun()],
    "a group was timed before its process started": [GROUP],
    "process 0 has tiny/step/float32/stock twice": [STARTED, GROUP, GROUP],
    "process 7 has tiny/step/float32/stock twice, or is none of the run": [
        STARTED, msgspec.structs.replace(GROUP, process=7)
    ],
    "or has other arms": [STARTED, GroupTimed(STEP, 0, [timed(0, ARMS[4])])],
    "process 0 has nothing twice": [STARTED, GroupTimed("nothing", 0, [timed(0, ARMS[0])])],
    "is no arm of the run": [Untimed(make_arm("nnx[pytree]"), "it broke")],
    "lacks the limits of the machine": [msgspec.structs.replace(STARTED, ceilings={})],
    "its processes ran on different machines, versions or commits": [
        STARTED, msgspec.structs.replace(STARTED, machine=msgspec.structs.replace(MACHINE, threads=3))
    ],
    "two arms of group .* have one position": [
        msgspec.json.encode(GROUP).replace(b'"position":[1,2,0,1]', b'"position":[0,1,2,0]')
    ],
    "has more rounds of tiny/step/float32/stock than the plan": [
        STARTED, GroupTimed(STEP, 0, [LONGER])
    ],
    "an object has reason twice": [
        msgspec.json.encode(Untimed(LINEN, "")).replace(b'"reason"', b'"reason":"","reason"')
    ],
    "float` >= 1e-12": [STARTED, GroupTimed(STEP, 0, [msgspec.structs.replace(timed(0, ARMS[0]), time_s=[0.0] * 4)])],
    "position has 3 items, expected 4": [b'{"type": "GroupTimed", "group": "g", "process": 0, "timed": [TIMED]}'],
}  # fmt: skip


@pytest.mark.parametrize("said", CONTRADICTIONS)
def test_lines_that_cannot_be_of_one_run_are_refused(path, journal, said):
    short = msgspec.json.encode(timed(0, ARMS[0])).replace(b'"position":[0,1,2,0]', b'"position":[0,1,2]')
    for line in CONTRADICTIONS[said]:
        with path.open("ab") as file:
            file.write(
                (line.replace(b"TIMED", short) if isinstance(line, bytes) else msgspec.json.encode(line)) + b"\n"
            )
    with pytest.raises(ResumeError, match=said):
        Journal.read(path)


@pytest.mark.parametrize("arms", [ARMS[1:], [*ARMS, ARMS[0]]])
def test_a_beginning_without_one_baseline_in_each_group_is_refused(path, arms):
    path.parent.mkdir()
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(begun(), arms=arms)) + b"\n")
    with pytest.raises(ResumeError, match=r"has no baseline, or several|is there twice"):
        Journal.read(path)


BEGINNINGS = {
    "has a number, but was not proven equal": {"equality": [replace(EQUALITY[0], error=1.0)]},
    "is not what the plan asked for": {"arms": [*ARMS, make_arm("nnx[pytree]")]},
    "float` >= 0.0": {"load": -1.0},
    "is no arm of the run": {"untimed": [Untimed(make_arm("nnx[pytree]"), "it broke")]},
    "is there twice": {"untimed": [Untimed(LINEN, "it broke")] * 2},
}


@pytest.mark.parametrize("said", BEGINNINGS)
def test_a_beginning_that_contradicts_itself_is_refused(path, said):
    path.parent.mkdir()
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(begun(), **BEGINNINGS[said])) + b"\n")
    with pytest.raises(ResumeError, match=said):
        Journal.read(path)


def test_what_began_without_a_number_has_none_later(path):
    fill(journal_at(path, untimed=[Untimed(LINEN, "not proven equal")]), (STEP,))
    with pytest.raises(ResumeError, match="has a number, though the run began with a reason why it cannot have one"):
        Journal.read(path)


@pytest.mark.parametrize("cut", [1, 2, 200])
def test_a_last_line_that_was_cut_off_is_dropped_and_the_rest_is_kept(path, journal, cut):
    fill(journal)
    path.write_bytes(path.read_bytes()[:-cut])
    again = journal_at(path, resume=True)
    assert [line.group for line in again.groups_timed] == [STEP]
    assert again.todo(0) == ARMS[3:]
    # what follows does not stick to the rest of that line
    fill(again, (FORWARD,))
    assert journal_at(path, resume=True).todo(0) == []


def test_todo_shrinks_until_all_is_measured(journal):
    assert (journal.todo(0), journal.todo(1), journal.complete) == (ARMS, ARMS, False)
    fill(journal, (STEP,), 0)
    assert (journal.todo(0), journal.todo(1), journal.complete) == (ARMS[3:], ARMS, False)
    fill(journal, (FORWARD,), 0)
    fill(journal, (FORWARD,), 1)
    assert (journal.todo(0), journal.todo(1), journal.complete) == ([], ARMS[:3], False)
    fill(journal, (STEP,), 1)
    assert (journal.todo(0), journal.todo(1), journal.complete) == ([], [], True)


def test_interruptions_are_counted(path, journal):
    resumed = [journal_at(path, resume=True) for _ in range(3)]
    assert [j.interruptions for j in (journal, *resumed)] == [0, 1, 2, 3]
    assert msgspec.json.decode(path.read_bytes().splitlines()[-1], type=Resumed) == Resumed()


def test_closing_removes_the_file_and_the_folder_that_was_made_for_it(path, journal):
    journal.close()
    assert not path.parent.exists()
    journal.close()
    path.parent.mkdir()
    journal_at(path).close()
    assert path.parent.exists(), "it was there before"


BEGUN = msgspec.json.encode(begun())
LOST = msgspec.json.encode(Untimed(LINEN, "it broke"))
OTHER = "not a run of this trigru"
UNREADABLE = {
    "no file": (None, "No such file or directory"),
    "nothing": (b"", "has no beginning"),
    "half a first line": (BEGUN[:-10], "has no beginning"),
    "no JSON": (b"a run\nwithout an end of line", OTHER),
    "no UTF-8": (b"\xff\xfe\n", OTHER),
    "JSON of something else": (b'{"benchmarks": []}\n', OTHER),
    "an unknown line": (BEGUN + b'\n{"type": "Other"}\n', OTHER),
    "no beginning": (LOST + b"\n", "has no beginning"),
    "a line that lacks something": (BEGUN + b'\n{"type": "Untimed", "reason": "b"}\n', OTHER),
    "a string that is not UTF-8": (BEGUN + b"\n" + LOST.replace(b"it broke", b"\xff") + b"\n", OTHER),
}


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


@pytest.mark.parametrize("change", [{"rounds": 5}, {"seed": 4}, {"ports": ("pure",)}, {"processes": 3}], ids=str)
def test_another_plan_cannot_be_resumed(path, journal, change):
    path.write_bytes(path.read_bytes() + b'{"type"')
    before = path.read_bytes()
    other = msgspec.structs.replace(journal.plan, **change)
    with pytest.raises(ResumeError, match=r"unfinished run with other options, \? UTC: trigru bench") as caught:
        journal_at(path, other, resume=True)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_a_resumed_run_has_its_own_arms(path, monkeypatch):
    journal_at(path, untimed=[Untimed(LINEN, "not equal")])
    monkeypatch.setattr("support.processes.expand", lambda plan: ARMS[:1])  # the registry has changed
    resumed = journal_at(path, resume=True)
    assert resumed.begun.arms == ARMS
    assert resumed.untimed == {LINEN.id: Untimed(LINEN, "not equal")}, "known before the run, in its first line"
    assert LINEN not in resumed.todo(0)


ELSEWHERE = {
    "versions": ({"versions": MACHINE.versions | {"jax": "0.1"}}, "jax 0.1, was 0.12.0"),
    "device": ({"device": "Another CPU"}, "device 'Another CPU', was 'A CPU'"),
    "environment": ({"environment": {}}, "OMP_NUM_THREADS not set, was 8"),
    "commit": ({"commit": "def"}, "commit def, was abc"),
}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_another_machine_or_commit_cannot_go_on(path, journal, what):
    fill(journal, (STEP,))
    changes, message = ELSEWHERE[what]
    resumed = journal_at(path, resume=True)
    with pytest.raises(ResumeError) as caught:
        run(resumed, ignore, FakeProcesses(machine=msgspec.structs.replace(MACHINE, **changes)))
    said = f"{path} was measured elsewhere: {message}. Begin anew with --fresh, or in another folder with --output."
    assert str(caught.value) == said
    assert resumed.todo(0) == ARMS[3:]
    assert journal_at(path, resume=True).machine == MACHINE
