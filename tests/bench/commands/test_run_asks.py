"""What `trigru compare`, `bench` and their claims hand on: options, proofs, loads, and who has the machine."""

import dataclasses
import os
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from support.known import tables_on_screen
from support.runs import EQUAL, draw_run, make_results, plan
from trigru.bench.analysis.coverage import coverage as of_runs
from trigru.bench.commands import bench, claims, compare, coverage
from trigru.bench.processes.cluster import Cluster
from trigru.bench.proving.prover import Prover
from trigru.bench.results.files import load, save
from trigru.bench.timing.journal import PARTIAL
from trigru.common.equality.checks import DTYPES
from trigru.common.errors import InputError

WRONG = dataclasses.replace(EQUAL, check="masks", error=1.0)
PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"


@pytest.fixture
def compared(monkeypatch, tmp_path):
    """Compares, without proving and timing; what these are asked for."""
    seen = SimpleNamespace(proven=[], timed=[], taken=[], environment=[])

    def run(asked=None, unfinished="discard", equality=(EQUAL,), **how):
        def verify_ports(*given, **options):
            seen.proven.append((*given, options))
            seen.environment.append(os.environ.get(PREALLOCATE))
            return list(equality), {}

        def benchmark(*given, **options):
            seen.timed.append((*given, options))
            seen.environment.append(os.environ.get(PREALLOCATE))
            return make_results([], equality=None if equality is None else list(equality))

        monkeypatch.setattr(compare, "verify_ports", verify_ports)
        monkeypatch.setattr(compare, "benchmark", benchmark)
        monkeypatch.setattr(compare, "load_average", lambda: 0.125 if not seen.proven else 9.0)
        take = "trigru.bench.commands.snapshot.snapshot"
        monkeypatch.setattr(take, lambda *given, **options: seen.taken.append((*given, options)))
        compare.compare(asked or plan(), tmp_path, unfinished, **{"prover": Prover(keep=False)} | how)
        return seen

    return run


@pytest.mark.parametrize("unfinished", ["discard", "refuse", "resume"])
@pytest.mark.parametrize("how", [{"details": True, "json": False}, {"details": False, "json": True}])
def test_what_is_timed_after_a_proof_has_it_and_is_shown_as_asked(compared, tmp_path, unfinished, how):
    prover, asked = Prover(keep=False), plan()
    prover.backend = "tpu"
    seen = compared(asked, unfinished, prover=prover, **how)
    proof = {} if unfinished == "resume" else {"load_before": 0.125, "equality": [EQUAL], "backend": "tpu"}
    assert seen.timed == [(asked, tmp_path, unfinished, proof | how)]
    assert len(seen.proven) == (unfinished != "resume")


STOCK, STYLES = ["stock"], ("documented", "functional")


@pytest.mark.parametrize(
    ("changes", "quick", "dtypes", "checks", "styles"),
    [
        ({}, False, DTYPES, None, None),
        ({"styles": STYLES}, False, DTYPES, None, None),
        ({"styles": STYLES}, True, ("float64", "float32"), {"styles"}, {"forward": (*STYLES, "jit")}),
        ({"dtype": "float16"}, True, ("float64", "float16"), {"styles"}, {"forward": None}),
    ],
)
@pytest.mark.parametrize(
    ("kernels", "proven"),
    [(("stock",), STOCK), (("fused",), ["stock", "fused"]), (("fused", "stock"), ["stock", "fused"])],
)
@pytest.mark.parametrize(("ports", "names"), [(("linen",), ("pure", "linen")), (("nnx", "pure"), ("pure", "nnx"))])
def test_what_is_proven_before_it_is_timed(
    compared, changes, quick, dtypes, checks, styles, kernels, proven, ports, names
):
    seen = compared(plan(kernels=kernels, ports=ports, **changes), quick=quick, prover=(prover := Prover(keep=False)))
    ((*given, options),) = seen.proven
    assert (given[0], given[1], given[4], options) == (names, dtypes, styles, {"prover": prover, "anew": False})
    assert checks == (given[2] and {check.name for check in given[2]})
    assert list(map(str, given[3])) == proven


@pytest.mark.parametrize(("equality", "taken"), [((EQUAL,), [EQUAL]), ((), False), (None, False)])
def test_a_snapshot_has_what_was_proven(compared, tmp_path, equality, taken):
    prover = Prover(keep=False)
    unfinished = "resume" if equality is None else "discard"
    seen = compared(plan(ports=("linen", "nnx")), unfinished, equality, snapshot=True, prover=prover)
    assert seen.taken == [(tmp_path, ["linen", "nnx"], {"equality": taken, "prover": prover})]
    seen.taken.clear()
    assert compared(equality=(EQUAL,)).taken == []


def test_a_proof_that_failed_is_exit_code_1_after_the_snapshot(compared):
    with pytest.raises(typer.Exit) as left:
        compared(equality=(EQUAL, WRONG), snapshot=True)
    assert left.value.exit_code == 1
    assert len(compared(snapshot=True).taken) == 2


@pytest.mark.parametrize("own", [None, "true", ""])
def test_a_proof_leaves_the_memory_of_a_gpu_to_what_is_timed_unless_its_user_says_otherwise(compared, monkeypatch, own):
    if own is None:
        monkeypatch.delenv(PREALLOCATE, raising=False)
    else:
        monkeypatch.setenv(PREALLOCATE, own)
    assert compared().environment == ["false" if own is None else own, own]
    assert os.environ.get(PREALLOCATE) == own


# bench


@pytest.mark.parametrize(
    ("devices", "hosts", "fits"),
    [
        ((1, 2), 2, True),
        ((1, 8), 4, True),
        ((1, 4), 8, False),
        ((1, 3), 2, False),
        ((1,), 2, False),
        ((1, 2, 4), 2, False),
    ],
)
def test_hosts_share_one_number_of_devices_that_is_a_multiple_of_theirs(devices, hosts, fits):
    said = f"{hosts} hosts need --devices with the number of all .* --devices {hosts}\\."
    with nullcontext() if fits else pytest.raises(InputError, match=said):
        bench.check_cluster(plan(devices=devices), Cluster("h:1", hosts, 0))


def test_a_host_that_takes_part_measures_the_same_and_keeps_nothing(monkeypatch, capsys):
    seen, cluster, asked = [], Cluster("h:1", 4, 2), plan()

    def run(journal, progress, *, cluster):
        seen.append((journal.plan, journal.path, cluster, journal.begun.equality))
        assert journal.path.exists()

    monkeypatch.setattr(bench, "run", run)
    bench.take_part(asked, cluster)
    ((measured, path, told, equality),) = seen
    assert (measured, path.name, told, equality, path.exists()) == (asked, PARTIAL, cluster, None, False)
    assert capsys.readouterr().err.strip() == "host 2 of 4 has done its part; host 0 writes."


def test_cold_starts_are_of_the_ports_that_are_there_five_of_each(tmp_path, monkeypatch):
    asked, machines, shown = [], [], []
    describe = bench.describe_machine
    monkeypatch.setattr(bench, "unavailable", lambda name: "no flax" if name == "linen" else None)
    monkeypatch.setattr(bench, "cold_starts", lambda ports, repeats, progress: asked.append((ports, repeats)) or [])
    monkeypatch.setattr(bench, "describe_machine", lambda packages: machines.append(packages) or describe(packages))
    monkeypatch.setattr(bench, "show", shown.append)
    bench.start_cold(("pure", "linen", "equinox"), tmp_path)
    assert asked == [(["pure", "equinox"], 5)]
    assert {"flax", "equinox"} <= set(*machines), "also of what is not there"
    (tmp_path / "cold_start.json").unlink()
    monkeypatch.setattr(bench, "write_whole", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        bench.start_cold(("pure",), tmp_path)
    assert len(shown) == 2, "what cannot be written is shown"


# claims


@pytest.mark.parametrize("timing", [True, False])
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("wait", [True, False])
def test_a_folder_is_claimed_and_by_what_times_the_machine(tmp_path, monkeypatch, capsys, timing, share, wait):
    seen = []

    @contextmanager
    def claimed(name, what, hint, waiting=None, *, share=False):
        seen.append((name, what, hint.partition(" ")[2][:6], share, waiting))
        yield
        seen.append(name)

    monkeypatch.setattr(claims, "claimed", claimed)
    for name in ("check_folder", "check_jax"):
        monkeypatch.setattr(claims, name, lambda *of, name=name: seen.append((name, *of)))
    with claims.claim_folder(tmp_path, wait=wait, share=share, timing=timing):
        begun = list(seen)
    folder = claims.folder_claim(tmp_path)
    *checks, first = begun[:3]
    assert checks == [("check_folder", tmp_path), ("check_jax",)]
    assert first[:4] == (folder, str(tmp_path), "anothe", False), "a folder is never shared"
    assert [claim[:4] for claim in begun[3:]] == [("timing", "this machine", "--wait", share)] * timing
    assert seen[len(begun) :] == ["timing"] * timing + [folder]
    for *_, waiting in begun[2:]:
        assert (waiting is not None) == wait
        if wait:
            waiting("It is in use.")
            assert capsys.readouterr().err == "It is in use. Waiting.\n"


# how often quick intervals hold


def test_the_intervals_of_runs_are_held_to_the_long_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paths = [Path(f"{name}.json") for name in ("long", "a", "b")]
    for number, (path, processes) in enumerate(zip(paths, (8, 2, 3), strict=True)):
        save(draw_run(number, groups=("tiny/forward",), processes=processes, rounds=4), path)
    coverage.main(paths[0], paths[1:])
    out = capsys.readouterr().out
    found = of_runs([load(path) for path in paths[1:]], load(paths[0]))
    table = tables_on_screen(out)["95 % intervals of 2 runs that hold the ratio of long.json"]
    assert table.rows == [[arm, f"{share:.0%}"] for arm, share in found.by_arm.items()]
    said = f"All {found.intervals} intervals: {found.share:.1%} [{found.low:.1%}, {found.high:.1%}] hold it"
    assert f"{said}; half of them reach farther than ±{found.width:.1%}." in " ".join(out.split())
