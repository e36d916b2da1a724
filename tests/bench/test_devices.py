"""Several devices of a CPU that is divided, and several hosts, which are processes
joined over loopback.
"""

import os
import socket
import subprocess
import sys

import pytest
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.merge import load
from trigru.bench.processes.hosts import Hosts, read_hosts
from trigru.common.errors import InputError, UnavailableError
from trigru.common.port.task import spread_of

COMMAND = (
    "compare --no-proof --devices 2,1 --workload tiny --size batch=4 --phase forward "
    "--phase train_step --port nnx --port equinox --processes 2 -o"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A train step and a forward pass of four examples, on one device and on two."""
    folder = tmp_path_factory.mktemp("devices")
    command = [sys.executable, "-m", "trigru.bench.cli", *COMMAND.split(), str(folder)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    return load(folder / "results.json")


def arms_of(run, group):
    return {b.name: b for b in run.groups()[group]}


def test_on_devices_each_port_is_timed_in_each_way_and_frameworks_are_compared_on_one(
    run,
):
    assert run.untimed == []
    assert run.trigru.plan.devices == (1, 2)
    for phase, ways in (
        ("forward", ("placed",)),
        ("train_step", ("placed", "shard_map")),
    ):
        found = arms_of(run, f"tiny@batch=4/{phase}/float32/stock")
        spread = {
            f"{arm} on 2, {way}"
            for arm in ("nnx[nnx.jit]", "equinox[filter_jit]")
            for way in ways
        }
        assert (
            set(found)
            == {"pure[jit]", "pure[jit]#2", "nnx[nnx.jit]", "equinox[filter_jit]"}
            | spread
        )
        assert all(b.facts.gate <= 1 for b in found.values()), (
            "each is compared with the oracle"
        )
    cells = answer(run).rows[0].rankings["documented"].benchmarks
    assert {port: cell.arm.style for port, cell in cells.items()} == {
        "nnx": "nnx.jit",
        "equinox": "filter_jit",
    }
    assert (
        cells["nnx"].comparison
        == arms_of(run, "tiny@batch=4/forward/float32/stock")["nnx[nnx.jit]"].comparison
    )


def test_on_devices_what_is_exchanged_is_read_from_the_programs(run):
    """Placed, the gradient of the recurrent weights at each of 8 steps; by shard_map,
    all of it once.
    """
    found = arms_of(run, "tiny@batch=4/train_step/float32/stock")
    assert {
        b.facts.program.collectives for name, b in found.items() if " on " not in name
    } == {()}
    for port in ("nnx[nnx.jit]", "equinox[filter_jit]"):
        placed, mapped = (
            found[f"{port} on 2, {way}"].facts.program.collectives
            for way in ("placed", "shard_map")
        )
        assert [c.runs for c in placed if c.in_loop] == [8], port
        assert mapped, port
        assert not [c for c in mapped if c.in_loop], port
        gradient = 4 * (3 * 8 * (4 + 8 + 1) + 8 + 8)
        assert sum(c.nbytes for c in mapped) <= gradient + 2 * 8 * 4 + 16, port
    forward = arms_of(run, "tiny@batch=4/forward/float32/stock")
    assert {b.facts.program.collectives for b in forward.values()} == {()}, (
        "no gradient, nothing to exchange"
    )


def together(*options):
    """Stdout, stderr and exit code of `trigru verify` on two hosts, which have other
    options each.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "trigru.bench.cli",
        "verify",
        "--port",
        "pure",
        "--devices",
        "2",
    ]
    pipes = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "env": os.environ,
    }
    running = [
        subprocess.Popen(
            [*command, f"--hosts=127.0.0.1:{port},2,{host}", *own], **pipes
        )
        for host, own in enumerate(options)
    ]
    return [
        (*process.communicate(timeout=300), process.returncode) for process in running
    ]


def test_hosts_that_are_started_alike_verify_together_and_the_first_prints():
    (out, err, first), (other, other_err, second) = together((), ())
    assert (first, second) == (0, 0), err + other_err
    assert "devices" in out
    assert other == ""
    assert "host 1 of 2 has done its part." in other_err
    for _, err, code in together((), ("--kernel", "fused")):
        assert (
            code,
            "the hosts were started with different ports, kernels or versions." in err,
        ) == (2, True)


def test_hosts_may_describe_themselves_and_devices_that_are_not_there_are_refused():
    assert read_hosts("auto") == Hosts()
    with pytest.raises(InputError, match="cannot read the hosts"):
        read_hosts(f"here:80,{'9' * 5000},0")
    with pytest.raises(
        UnavailableError, match="64 devices were asked for, and there are"
    ):
        spread_of(64, "placed")
