"""What a study's processes are asked, and where their answers go, with arms that are made up: nothing is timed."""

from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from support.runs import MACHINE
from trigru.bench.studies import __main__ as command
from trigru.bench.studies import devices, parameters, worker
from trigru.bench.studies.ratios import ratio_of
from trigru.bench.studies.record import DUPLICATE, SCHEMA, Shown, StudyRecord, load_study, save_study
from trigru.bench.studies.study import STUDIES, Study, get_study
from trigru.bench.studies.worker import Request, time_arms
from trigru.common.equality.measurement import Measurement
from trigru.common.errors import InputError, UnavailableError


def a_study(error=0.0, called=None):
    """Three arms that write down when they are made and called."""
    called = [] if called is None else called

    def make(name):
        def function(*arguments):
            called.append((name, *arguments))
            return name

        called.append(("made", name))
        return function, (7,)

    return Study(
        "made up",
        settings=lambda short: {"short": short},
        show=lambda settings: ([Shown("outputs", error, 1e-12)], {"mean": [float(settings["short"])]}),
        arms=lambda settings: {name: lambda name=name: make(name) for name in ("first", "second", "third")},
        packages=("flax",),
        read=lambda settings: {"first": [str(settings)]},
    )


@pytest.fixture
def asked(monkeypatch):
    """Requests of processes; each answers with times that say which process it was."""
    requests = []

    def lines_of(module, request, limit_s):
        assert (module, limit_s) == ("trigru.bench.studies.worker", command.LIMIT_S)
        requests.append(msgspec.json.decode(request, type=Request))
        number, rounds = requests[-1].process, requests[-1].rounds
        answer = {name: [k + 1.0 + number] * rounds for k, name in enumerate(("first", DUPLICATE, "second"))}
        yield msgspec.json.encode(answer)

    monkeypatch.setattr(command, "lines_of", lines_of)
    monkeypatch.setattr(command, "load_average", iter([0.25, 0.75]).__next__)
    monkeypatch.setattr(
        command,
        "describe_machine",
        lambda packages: msgspec.structs.replace(MACHINE, versions=dict.fromkeys(packages, "1")),
    )
    return requests


@pytest.mark.parametrize("short", [True, False])
def test_a_record_has_every_round_of_every_process_and_what_was_shown(asked, short, tmp_path):
    record = command.measure(a_study(), short=short)
    processes, rounds = (2, 4) if short else (8, 22)
    assert asked == [
        Request("made up", {"short": short}, number, rounds, command.SAMPLE_TIME_S) for number in range(processes)
    ]
    assert record.process == [number for number in range(processes) for _ in range(rounds)]
    for k, (name, times_s) in enumerate(record.time_s.items()):
        assert name == ("first", DUPLICATE, "second")[k]
        assert times_s == [k + 1.0 + number for number in record.process]
    assert (record.schema, record.study, record.baseline, record.short) == (SCHEMA, "made up", "first", short)
    assert record.command == ["python", "-m", "trigru.bench.studies", "made up"] + ["--short"] * short
    assert (record.load_before, record.load_after) == (0.25, 0.75)
    assert (record.settings, record.machine.versions) == ({"short": short}, {"flax": "1"})
    assert (record.shown, record.curves) == ([Shown("outputs", 0.0, 1e-12)], {"mean": [float(short)]})
    assert record.read == {"first": [str({"short": short})]}
    save_study(tmp_path / "record.json", record)
    assert load_study(tmp_path / "record.json") == record


def test_arms_that_are_not_equal_are_not_timed(asked, monkeypatch, tmp_path, capsys):
    study = a_study(error=1.0)
    monkeypatch.setattr(command, "get_study", lambda name: study)
    assert command.main(["program", str(tmp_path / "record.json")]) == 1
    assert asked == []
    assert "outputs: 1 apart, at most 1e-12 passes." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_each_arm_with_its_time_and_ratio(asked, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "get_study", lambda name: a_study())
    assert command.main(["program", str(tmp_path / "record.json"), "--short"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["first: 1500 ms", "duplicate: 2500 ms", "second: 3500 ms"]
    assert lines[0].endswith("1.000 [1.000, 1.000], indistinguishable")


def test_times_go_to_the_arm_that_took_them_in_whichever_order_it_was_made(monkeypatch):
    orders = []
    for process in range(4):
        called, given = [], []

        def sample(arms, rounds, *, sample_time_s, seed, given=given):
            given.append((rounds, sample_time_s, seed))
            assert {arm.arguments for arm in arms} == {(7,)}
            names = [arm.call() for arm in arms]
            return [SimpleNamespace(time_s=[1.23456789 * (1 + len(name))] * rounds) for name in names]

        monkeypatch.setattr(worker, "get_study", lambda name, called=called: a_study(called=called))
        monkeypatch.setattr(worker, "sample_rounds", sample)
        found = time_arms(Request("made up", {}, process, 3, 0.5))
        assert list(found) == ["first", DUPLICATE, "second", "third"]
        times_s = {name: float(f"{1.23456789 * (1 + len(name)):.6g}") for name in ("first", "second", "third")}
        assert found == {name: [times_s["first" if name == DUPLICATE else name]] * 3 for name in found}
        assert given == [(3, 0.5, process)]
        made = [name for what, name in called if what == "made"]
        assert sorted(made) == ["first", "first", "second", "third"]
        assert [what for what, *_ in called[:8:2]] == ["made"] * 4, "each has run once before another is made"
        orders.append(tuple(made))
    assert len(set(orders)) > 1


def test_an_arm_that_fails_ends_the_process(monkeypatch):
    monkeypatch.setattr(worker, "get_study", lambda name: a_study())
    monkeypatch.setattr(worker, "sample_rounds", lambda arms, *_, **__: [ValueError("it broke")] * len(arms))
    with pytest.raises(ValueError, match="it broke"):
        time_arms(Request("made up", {}, 0, 3, 0.5))


def a_record(process, **changes):
    rng = np.random.default_rng(0)
    plain = np.array([1.0 + 0.1 * n for n in range(len(process))])
    times_s = {"plain": plain, DUPLICATE: plain * (1 + 1e-4 * rng.normal(size=len(process))), "slow": 2 * plain}
    times_s["slower"] = 3 * plain * (1 + 1e-4 * rng.normal(size=len(process)))
    return StudyRecord(**{
        "schema": SCHEMA, "study": "program", "datetime": "2026-01-01T00:00:00+00:00", "command": [],
        "machine": MACHINE, "short": False, "load_before": None, "load_after": None, "settings": {}, "shown": [],
        "curves": {}, "process": process, "time_s": {name: some.tolist() for name, some in times_s.items()}, **changes,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("process", "verdict"), [([0] * 5, "indistinguishable"), ([0] * 6, "slower"), ([0, 0, 1, 1], "slower")]
)
def test_few_rounds_of_one_process_bear_no_verdict(process, verdict):
    record = a_record(process)
    found = ratio_of(record, "slow")
    assert (found.one, found.other, found.verdict) == ("slow", "plain", verdict)
    assert found.time_s == np.median(record.time_s["slow"])
    named = ratio_of(record, "slower", "slow")
    assert (named.one, named.other, round(named.ratio.ratio, 2)) == ("slower", "slow", 1.5)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "Write it with `python -m trigru.bench.studies`"),
        ({"schema": SCHEMA + 1}, f"schema {SCHEMA + 1}, expected {SCHEMA}. Measure the study again."),
        ({"datetime": "yesterday"}, "not written by this version's studies .*yesterday"),
        ({"more": 1}, "not written by this version's studies"),
    ],
)
def test_a_file_that_is_no_record_is_said(tmp_path, content, said):
    path = tmp_path / "record.json"
    if content is not None:
        save_study(path, a_record([0] * 6))
        path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | content))
    with pytest.raises(InputError, match=said):
        load_study(path)


def test_a_short_study_is_of_less_work(monkeypatch):
    assert [parameters.settings(short)["workload"] for short in (True, False)] == ["tiny", "question"]
    with pytest.raises(UnavailableError, match="several devices"):
        devices.settings(short=True)
    monkeypatch.setattr(devices.jax, "device_count", lambda: 4)
    assert devices.settings(short=True) == {"workload": "medium", "devices": 4, "ports": ["pure"]}
    assert devices.settings(short=False) == {"workload": "medium", "devices": 4, "ports": list(devices.PORTS)}


def test_what_is_shown_of_devices_is_of_each_port_and_kernel(monkeypatch):
    def verify(ports, *, dtypes, checks):
        assert (dtypes, checks) == (["float64"], devices.ON_DEVICES)
        (port,) = ports
        name = f"{port.name} {port.kernel}"
        return [Measurement("", "devices", None, f"{name} {q}", "float64", len(name) / 2**60, 1e-12) for q in "ab"]

    monkeypatch.setattr(devices, "verify", verify)
    shown, curves = devices.show({"ports": ["pure", "nnx"]})
    assert curves == {}
    assert len(shown) == 8
    for found in shown:
        port, kernel, name = found.what.replace(":", ",").split(", ")
        assert name[:-2].startswith(port)
        assert kernel in name
        assert (found.error, found.bound) == (len(name[:-2]) / 2**60, 1e-12)


def test_devices_compare_each_port_and_kernel_in_both_ways_with_one_device():
    names = list(devices.arms({"ports": ["pure", "nnx"], "workload": "medium"}))
    assert names == [f"pure, {kernel}, one device" for kernel in devices.KERNELS] + [
        f"{port}, {kernel}, {way}"
        for port in ("pure", "nnx")
        for kernel in devices.KERNELS
        for way in ("placed", "shard_map")
    ]


def test_each_study_is_found_by_its_name():
    assert [get_study(study.name) for study in STUDIES] == list(STUDIES)
