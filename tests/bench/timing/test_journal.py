"""The journal: each line is on disk before the next begins, and what is not of this run is refused."""

import json

import msgspec
import pytest
from support.files import lines_of
from support.processes import ARMS, FORWARD, LINEN, STARTED, STEP, FakeProcesses, begun, fill, ignore, journal_at
from support.runs import MACHINE
from trigru.bench.results.arm import Untimed
from trigru.bench.results.run import Resumed
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
    assert (journal.interruptions, again.interruptions) == (0, 1)
    assert journal_at(path, resume=True).interruptions == 2


def test_a_file_is_neither_written_over_nor_begun_again_in_its_middle(path, journal):
    content = path.read_bytes()
    with pytest.raises(FileExistsError):
        journal_at(path)
    assert path.read_bytes() == content
    path.unlink()
    with pytest.raises(FileNotFoundError):
        journal.add(STARTED)
    assert not path.exists()


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


def test_closing_removes_the_file_and_the_folder_that_was_made_for_it(path, journal):
    journal.close()
    assert not path.parent.exists()
    journal.close()
    path.parent.mkdir()
    journal_at(path).close()
    assert path.parent.exists(), "it was there before"


LOST = Untimed(LINEN, "it broke")
WHOLE = lines_of([begun(), LOST, STARTED, Resumed()])
FIRST, SECOND, THIRD, FOURTH = WHOLE.splitlines(keepends=True)
CHANGED = "changed after trigru wrote it"
UNREADABLE = {
    "no file": (None, "No such file or directory"),
    "nothing": (b"", "has no beginning"),
    "JSON of something else": (b'{"benchmarks": []}\n', "not a run of this trigru"),
    "no beginning": (lines_of([LOST]), "has no beginning"),
    "a second beginning": (lines_of([begun(), begun()]), "has a second beginning"),
    "a field twice": (WHOLE.replace(b'"reason"', b'"reason":"","reason"'), "has reason twice"),
    "another fact": (WHOLE.replace(b"it broke", b"it BROKE"), CHANGED),
    "a control character": (lines_of([begun(), {"type": "\x9b31m"}]), r"Invalid value '\\x9b31m'"),
    "a line removed": (FIRST + THIRD + FOURTH, CHANGED),
    "the first line removed": (SECOND + THIRD + FOURTH, CHANGED),
    "a line twice": (FIRST + SECOND + SECOND + THIRD, CHANGED),
    "lines exchanged": (FIRST + THIRD + SECOND + FOURTH, CHANGED),
    "a line of another run": (FIRST + lines_of([begun(), STARTED]).splitlines(keepends=True)[1] + FOURTH, CHANGED),
    "lines without checksums": (b'{"type":"Resumed"}\n', CHANGED),
}


def test_a_journal_is_read_up_to_any_line_and_whatever_its_whitespace_and_order_of_keys(path):
    path.parent.mkdir()
    for number in range(1, 5):
        path.write_bytes(b"".join((FIRST, SECOND, THIRD, FOURTH)[:number]) + b'["half')
        assert len(Journal.read(path).lines) == number
    path.write_text("".join(f"{reversed_keys(json.loads(line))}\n" for line in WHOLE.splitlines()))
    assert Journal.read(path).lines == [begun(), LOST, STARTED, Resumed()]


def reversed_keys(line):
    """The same line as another program writes it."""
    return json.dumps([line[0], dict(reversed(line[1].items()))], separators=(" , ", " : "))


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


def test_another_plan_cannot_be_resumed(path, journal):
    path.write_bytes(path.read_bytes() + b'{"type"')
    before = path.read_bytes()
    other = msgspec.structs.replace(journal.plan, rounds=5)
    with pytest.raises(ResumeError, match=r"unfinished run with other options, \? UTC: trigru bench") as caught:
        journal_at(path, other, resume=True)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


ELSEWHERE = {
    "versions": ({"versions": MACHINE.versions | {"jax": "0.1"}}, "jax 0.1, was 0.12.0"),
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
