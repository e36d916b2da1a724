"""A study from its command to its record, and what its samples say."""

import importlib.util
import os
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from trigru.bench.arms.workloads import get_workload
from trigru.bench.results.arm import Sized
from trigru.bench.studies import __main__ as command
from trigru.bench.studies import devices
from trigru.bench.studies.parameters import FRAMEWORKS, arms, drawn, name_of
from trigru.bench.studies.program.comparison import OWN
from trigru.bench.studies.ratios import floor_of, ratio_of
from trigru.bench.studies.record import DUPLICATE, SCHEMA, Shown, StudyRecord, load_study, save_study
from trigru.bench.studies.study import NotEqualArmsError, checked, get_study
from trigru.bench.timing.machine import describe_machine
from trigru.common.equality import oracle
from trigru.common.equality.measurement import Measurement
from trigru.common.errors import InputError, UnknownNameError


def a_record(**changes):
    """Two processes of eight rounds, in which "slow" takes half as long again."""
    machine_s = np.random.default_rng(0).lognormal(-6, 0.3, 16)
    noise = 1 + 1e-3 * np.random.default_rng(1).normal(size=(2, 16))
    times_s = {"plain": machine_s, DUPLICATE: machine_s * noise[0], "slow": 1.5 * machine_s * noise[1]}
    record = StudyRecord(
        SCHEMA, "program", "2026-01-01T00:00:00+00:00", ["python"], describe_machine(), False, 0.0, 0.0, {}, [], {},
        [0] * 8 + [1] * 8, {arm: found.tolist() for arm, found in times_s.items()},
    )  # fmt: skip
    return msgspec.structs.replace(record, **changes)


def test_ratios_are_paired_within_rounds():
    record = a_record()
    slow, back = ratio_of(record, "slow"), ratio_of(record, "plain", "slow")
    assert slow.verdict == "slower"
    assert back.verdict == "faster"
    assert slow.ratio.ratio == pytest.approx(1.5, rel=1e-3)
    assert slow.ratio.low < 1.5 < slow.ratio.high
    assert back.ratio.ratio == pytest.approx(1 / 1.5, rel=1e-3)
    assert ratio_of(record, DUPLICATE).verdict == "indistinguishable"
    assert slow.time_s == np.median(record.time_s["slow"])


def test_a_duplicate_that_differs_raises_the_floor():
    record = a_record()
    twice = {**record.time_s, DUPLICATE: [2 * s for s in record.time_s["plain"]]}
    noisy = msgspec.structs.replace(record, time_s=twice)
    assert floor_of(noisy) == pytest.approx(1.0)
    assert ratio_of(noisy, "slow").verdict == "indistinguishable"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"time_s": {"plain": [1.0] * 16}}, "a record has no duplicate of its baseline"),
        ({"process": [0] * 15}, "15 rounds, but other numbers of times"),
    ],
)
def test_a_record_that_contradicts_itself_is_not_read(tmp_path, change, said):
    path = tmp_path / "record.json"
    save_study(path, a_record())
    content = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**content, **change}))
    with pytest.raises(InputError, match=said):
        load_study(path)


def test_what_is_not_equal_is_not_timed():
    assert checked([Shown("outputs of one", 1e-13, 1e-12)])
    for error in (1e-11, float("nan")):
        with pytest.raises(NotEqualArmsError, match="outputs of one: .* apart, at most 1e-12 passes"):
            checked([Shown("outputs of one", error, 1e-12)])


def test_frameworks_draw_other_parameters():
    linen, equinox = (drawn(framework, "tiny") for framework in FRAMEWORKS)
    assert linen.weight_hh.shape == equinox.weight_hh.shape
    assert (linen.weight_hh != equinox.weight_hh).any()


@pytest.mark.parametrize("drawn_by", FRAMEWORKS)
def test_each_timed_program_runs_on_the_parameters_that_its_arm_names(drawn_by):
    workload, made = get_workload(Sized("tiny")), arms({"workload": "tiny"})
    expected = oracle.forward(drawn(drawn_by, "tiny"), workload.batch().x).outputs
    for program in FRAMEWORKS:
        call, arguments = made[name_of(program, drawn_by)]()
        _, outputs = call(*arguments)
        np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_an_unknown_study():
    with pytest.raises(UnknownNameError, match="unknown study 'speed'. Known: parameters, devices, program"):
        get_study("speed")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Name -> the record of a short run by the command, in two processes."""
    monkeypatch.setattr(command, "SHORT", (2, 3))

    def measured(name):
        path = tmp_path / "record.json"
        assert command.main([name, str(path), "--short"]) == 0
        record = load_study(path)
        assert record.short
        assert record.process == [0, 0, 0, 1, 1, 1]
        return record

    return measured


def test_the_study_of_parameters(run, capsys):
    record = run("parameters")
    arms = [name_of(program, drawn_by) for program in FRAMEWORKS for drawn_by in FRAMEWORKS]
    assert [*record.time_s] == [arms[0], DUPLICATE, *arms[1:]]
    assert len(record.shown) == 4
    assert arms[3] in capsys.readouterr().out


@pytest.mark.skipif(importlib.util.find_spec("gymnax") is None, reason="gymnax is not installed")
def test_the_study_of_a_program(run):
    record = run("program")
    assert [*record.time_s] == [OWN, DUPLICATE, "linen:fused"]
    assert len(record.curves["mean return"]) == record.settings["updates"]


def test_what_could_not_be_asked_is_not_shown(monkeypatch):
    failed = Measurement("pure", "devices", None, "carry", "float64", None, 1e-12, "TypeError: no")
    monkeypatch.setattr(devices, "verify", lambda *_, **__: [failed])
    shown, _ = devices.show({"ports": ["pure"]})
    assert [found.error for found in shown] == [float("inf")] * 2, "of each kernel"


def test_the_study_of_devices_needs_several(tmp_path, capsys):
    assert command.main(["devices", str(tmp_path / "record.json"), "--short"]) == 1
    assert "this study needs several devices" in capsys.readouterr().err


def test_the_study_of_devices_says_what_they_exchange(tmp_path):
    path = tmp_path / "record.json"
    words = [sys.executable, "-m", "trigru.bench.studies", "devices", str(path), "--short"]
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    subprocess.run(words, env=os.environ | flags, check=True, capture_output=True)
    record = load_study(path)
    assert record.settings["devices"] == 2
    assert [*record.read] == [arm for arm in record.time_s if arm != DUPLICATE]
    assert record.read["pure, fused, one device"] == []
    (once,) = record.read["pure, fused, placed"]
    assert once == record.read["pure, stock, shard_map"][0]
    assert "128 times, in a loop" in record.read["pure, stock, placed"][0]
    assert len(record.shown) == 2 * 68
