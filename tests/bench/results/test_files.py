"""The results file: what is saved is read, and what is cut or lacks a fact is
refused.
"""

import gzip
import json
import subprocess
import sys

import msgspec
import pytest
from support.processes import AGAIN, LINEN, PURE, FakeProcesses, ignore, journal_at
from support.runs import (
    MACHINE,
    make_arm,
    make_benchmark,
    make_results,
    plan,
    run_of,
    save,
    with_provenance,
)
from trigru.bench.analysis.merge import load, merge
from trigru.bench.results import files
from trigru.bench.results.arm import NO_BASELINE, Untimed
from trigru.bench.results.files import FILE, ResultsFileError, command_line
from trigru.bench.results.run import Ended, Run
from trigru.bench.timing.supervisor import run

ARMS = [make_arm(name) for name in ("pure[jit]", "pure[jit]#2", "linen[apply]")]
RESULTS = make_results([make_benchmark(arm, [1.0, 2.0, 3.0]) for arm in ARMS])


@pytest.fixture
def path(tmp_path):
    """The file of a run."""
    save(RESULTS, tmp_path / FILE)
    return tmp_path / FILE


def test_the_samples_and_what_was_asked_are_read_as_they_were_saved(path):
    lost = [
        msgspec.structs.replace(make_arm(name), division="fused")
        for name in ("pure[jit]", "pure[jit]#2")
    ]
    lost.append(make_arm("nnx[leaves]:fused", "tiny", division="fused"))
    planned = plan(
        ports=("pure", "linen", "nnx"),
        kernels=("stock", "fused"),
        processes=1,
        rounds=3,
    )
    idle = with_provenance(RESULTS, load=None, plan=planned)
    saved = msgspec.structs.replace(
        idle, untimed=[Untimed(arm, "not equal") for arm in lost]
    )
    save(saved, path)
    found = load(path)
    assert (found.untimed, found.datetime) == (saved.untimed, saved.datetime)
    for name in Run.__struct_fields__:
        assert getattr(found.trigru, name) == getattr(run_of(saved), name), name
    assert [b.samples for b in found.benchmarks] == [
        b.samples for b in saved.benchmarks
    ]
    assert load(path.parent) == found


@pytest.mark.parametrize(
    ("lost", "reasons"),
    [
        (LINEN, [Untimed(LINEN, "in one process: it broke")]),
        (
            AGAIN,
            [
                Untimed(PURE, NO_BASELINE),
                Untimed(AGAIN, "it broke"),
                Untimed(LINEN, NO_BASELINE),
            ],
        ),
    ],
    ids=["arm", "duplicate"],
)
def test_an_arm_that_lost_its_number_in_a_later_process_has_a_reason_in_the_file(
    path, lost, reasons
):
    journal = journal_at(path.with_name("journal"))
    run(journal, ignore, FakeProcesses(fails={(1, lost.id): "it broke"}).pool)
    journal.run.ended = Ended(RESULTS.datetime, None)
    results = merge(journal.run)
    files.save(journal.run, [b.arm for b in results.benchmarks], path)
    found = load(path)
    assert found.untimed == results.untimed == reasons
    assert found.benchmarks == results.benchmarks


def test_a_compressed_file_that_is_cut_is_refused(path):
    compressed = path.with_suffix(".json.gz")
    compressed.write_bytes(gzip.compress(path.read_bytes())[:-20])
    with pytest.raises(ResultsFileError, match="is no whole gzip file"):
        load(compressed)


def test_pytest_benchmark_reads_it(path):
    command = [
        sys.executable,
        "-m",
        "pytest_benchmark",
        "compare",
        str(path),
        "--columns=median,rounds",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "linen[apply]" in result.stdout
    assert "tiny/forward/float32/stock" in result.stdout


def test_the_commit_is_trigrus_own(path):
    for commit, id, dirty in (
        ("abc", "abc", False),
        ("abc-dirty", "abc", True),
        ("", "unversioned", False),
    ):
        save(
            with_provenance(
                RESULTS, machine=msgspec.structs.replace(MACHINE, commit=commit)
            ),
            path,
        )
        info = json.loads(path.read_text())["commit_info"]
        assert (info["id"], info["dirty"], info["project"]) == (id, dirty, "trigru")
        assert info.keys() == {
            "id",
            "time",
            "author_time",
            "dirty",
            "project",
            "branch",
        }, "pytest-benchmark's"


@pytest.mark.parametrize(
    "output",
    [
        (),
        ("-o", "mine"),
        ("-omine",),
        ("-o=mine",),
        ("--output", "mine"),
        ("--output=mine",),
        ("-o", "-x"),
    ],
)
def test_a_command_is_kept_without_where_the_results_went(monkeypatch, output):
    monkeypatch.setattr(
        sys,
        "argv",
        ["/home/me/bin/trigru", "compare", *output, "--quick", "--processes", "3"],
    )
    assert command_line() == ["trigru", "compare", "--quick", "--processes", "3"]


def test_a_sweep_varies_one_size_of_one_workload():
    for workloads, swept in (
        (
            ["tiny@batch=2@hidden=4", "tiny@batch=2@hidden=6"],
            "hidden",
        ),  # another size is fixed
        (["tiny@batch=2@hidden=4", "tiny@batch=3@hidden=6"], None),
        (["tiny@hidden=4", "question@hidden=6"], None),
        (["tiny", "tiny@hidden=4", "tiny@hidden=6"], None),
        (["tiny@hidden=4"], None),
    ):
        assert plan(workloads=workloads).swept == swept
