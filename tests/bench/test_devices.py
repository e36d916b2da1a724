"""`trigru compare --devices`: real runs on a CPU that is divided, from the command line to the tables."""

import subprocess
import sys

import pytest
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.merge import load
from trigru.common.errors import UnavailableError
from trigru.common.port.spread import spread_of

COMMAND = (
    "compare --no-proof --devices 2,1 --workload tiny@batch=4 --phase forward --phase train_step --port nnx "
    "--port equinox --processes 2 -o"
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


def test_each_port_is_timed_on_each_number_of_devices_in_each_way(run):
    assert run.untimed == []
    assert run.trigru.plan.devices == (1, 2)
    for phase, ways in (("forward", ("placed",)), ("train_step", ("placed", "shard_map"))):
        found = arms_of(run, f"tiny@batch=4/{phase}/float32/stock")
        spread = {f"{arm} on 2, {way}" for arm in ("nnx[nnx.jit]", "equinox[filter_jit]") for way in ways}
        assert set(found) == {"pure[jit]", "pure[jit]#2", "nnx[nnx.jit]", "equinox[filter_jit]"} | spread
        assert all(b.facts.gate <= 1 for b in found.values()), "each is compared with the oracle"


def test_what_is_exchanged_is_read_from_the_programs(run):
    """Placed, the gradient of the recurrent weights at each of 8 steps; by shard_map, all of it once."""
    found = arms_of(run, "tiny@batch=4/train_step/float32/stock")
    assert {b.facts.program.collectives for name, b in found.items() if " on " not in name} == {()}
    for port in ("nnx[nnx.jit]", "equinox[filter_jit]"):
        placed, mapped = (found[f"{port} on 2, {way}"].facts.program.collectives for way in ("placed", "shard_map"))
        assert [c.runs for c in placed if c.in_loop] == [8], port
        assert mapped, port
        assert not [c for c in mapped if c.in_loop], port
        gradient = 4 * (3 * 8 * (4 + 8 + 1) + 8 + 8)
        assert sum(c.nbytes for c in mapped) <= gradient + 2 * 8 * 4 + 16, port
    forward = arms_of(run, "tiny@batch=4/forward/float32/stock")
    assert {b.facts.program.collectives for b in forward.values()} == {()}, "no gradient, nothing to exchange"


def test_frameworks_are_compared_on_one_device(run):
    rows = answer(run).rows
    assert [row.phase for row in rows] == ["forward", "train_step"]
    cells = rows[0].cells["documented"]
    assert {port: cell.style for port, cell in cells.items()} == {"nnx": "nnx.jit", "equinox": "filter_jit"}
    assert cells["nnx"].ratio == arms_of(run, "tiny@batch=4/forward/float32/stock")["nnx[nnx.jit]"].ratio


def test_more_devices_than_there_are_is_a_reason():
    with pytest.raises(UnavailableError, match="64 devices were asked for, and there are"):
        spread_of(64, "placed")
