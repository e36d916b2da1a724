"""Several hosts: two processes on this machine that are joined by `jax.distributed`, over loopback."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from support.cli import invoke
from trigru.bench.processes.cluster import Cluster, LostHostError, find_cluster, read_cluster
from trigru.bench.results.files import load
from trigru.bench.timing.journal import PARTIAL
from trigru.common.errors import InputError

HOSTS = 2


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(*arguments, host, port, **variables):
    command = [sys.executable, "-m", "trigru.bench.cli", *arguments, "--coordinator", f"127.0.0.1:{port}"]
    command += ["--hosts", str(HOSTS), "--host", str(host)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=os.environ | variables)


def together(*arguments, each=()):
    """What both hosts say: exit code, stdout and stderr of each."""
    port = free_port()
    running = [start(*arguments, *(each[host] if each else ()), host=host, port=port) for host in range(HOSTS)]
    said = [process.communicate(timeout=300) for process in running]
    return [(process.returncode, *words) for process, words in zip(running, said, strict=True)]


@pytest.mark.parametrize("devices", ["2", "4"])
def test_hosts_verify_together_and_the_first_tells(devices):
    (first, out, err), (second, other, other_err) = together("verify", "--port", "pure", "--devices", devices)
    assert (first, second) == (0, 0), err + other_err
    assert "devices" in out
    assert other == "", "one host tells"
    assert "host 1 of 2 has done its part." in other_err


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run of two hosts with a device each, into two folders."""
    folders = [tmp_path_factory.mktemp("hosts") / str(host) for host in range(HOSTS)]
    asked = ("bench", "--devices", "2", "--workload", "tiny@batch=4", "--phase", "train_step", "--phase", "forward",
             "--port", "equinox", "--rounds", "2", "--processes", "2", "--share")  # fmt: skip
    said = together(*asked, each=[("-o", str(folder)) for folder in folders])
    assert [code for code, *_ in said] == [0, 0], said
    return folders, said


def test_hosts_measure_together_and_the_first_writes(measured):
    folders, said = measured
    assert not folders[1].exists()
    assert "host 0 writes" in said[1][2]
    run = load(folders[0] / "results.json")
    assert run.trigru.complete
    assert run.untimed == []
    groups = run.groups()
    for phase, ways in (("forward", ["placed"]), ("train_step", ["placed", "shard_map"])):
        names = {b.name for b in groups[f"tiny@batch=4/{phase}/float32/stock"]}
        assert {f"equinox[filter_jit] on 2, {way}" for way in ways} <= names
    (mapped,) = [b for b in run.benchmarks if b.arm.way == "shard_map"]
    assert mapped.facts.gate <= 1, "it is held to the oracle with the parts of both hosts"
    assert mapped.facts.program.collectives
    assert "--hosts" in run.trigru.command


def test_a_host_that_dies_ends_the_run_with_a_sentence_and_what_was_measured_stays(tmp_path):
    port, folder = free_port(), tmp_path / "out"
    asked = ("bench", "--devices", "2", "--workload", "tiny@batch=4", "--phase", "forward", "--phase", "train_step",
             "--port", "pure", "--rounds", "2", "--processes", "9", "--share", "-o", str(folder))  # fmt: skip
    first, second = (start(*asked, host=host, port=port) for host in range(HOSTS))
    until = time.monotonic() + 200
    while "GroupTimed" not in ((folder / PARTIAL).read_text() if (folder / PARTIAL).exists() else ""):
        assert time.monotonic() < until
        time.sleep(0.2)
    second.send_signal(signal.SIGKILL)
    second.communicate(timeout=60)
    _, said = first.communicate(timeout=200)
    assert first.returncode == 2
    assert "host 0 lost its measuring process, as each does when another host ends" in said
    assert "are kept in" in said
    assert "--discard on host 0" in said
    assert not (folder / "results.json").exists()
    assert invoke("report", str(folder / PARTIAL)).exit_code == 0


def test_hosts_that_are_asked_different_things_say_so():
    asked = ("bench", "--devices", "2", "--workload", "tiny@batch=4", "--phase", "forward", "--port", "pure", "--share")
    said = together(*asked, each=[("--seed", "0"), ("--seed", "1")])
    assert [code for code, *_ in said] == [2, 2]
    for _, _, err in said:
        assert "the hosts do not do the same: host 1 was asked something else than host 0" in " ".join(err.split())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("h:1", None, 0), "a cluster needs --coordinator HOST:PORT, --hosts N and --host I"),
        ((None, 2, None), "a cluster needs --coordinator"),
        (("here", 2, 0), "cannot read the coordinator 'here': expected HOST:PORT"),
        (("here:0", 2, 0), "cannot read the coordinator 'here:0'"),
        (("here:99999", 2, 0), "cannot read the coordinator"),
        (("here:80", 2, 2), "--host 2 is not below --hosts 2: hosts count from 0"),
    ],
)
def test_a_description_that_is_not_whole_is_refused(asked, message):
    with pytest.raises(InputError, match=message):
        read_cluster(*asked)


def test_a_cluster_is_described_or_found():
    assert read_cluster(None, None, None) is None
    assert read_cluster("10.0.0.1:8476", 2, 1) == Cluster("10.0.0.1:8476", 2, 1)
    with pytest.raises(InputError, match="--distributed finds the cluster itself"):
        read_cluster("10.0.0.1:8476", 2, 1, distributed=True)
    with pytest.raises(LostHostError, match="JAX finds no cluster of SLURM, Open MPI, Kubernetes or TPUs here: "):
        find_cluster()


def test_a_cluster_of_slurm_is_found(monkeypatch):
    """Of one task, with the variables that SLURM sets."""
    variables = {"JOB_ID": str(free_port()), "STEP_NODELIST": "localhost", "NTASKS": "1", "STEP_NUM_TASKS": "1",
                 "JOB_NUM_NODES": "1", "PROCID": "0", "LOCALID": "0"}  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert find_cluster() == Cluster("", 1, 0)
