"""The results file: what is saved is loaded, and what contradicts itself or lacks a fact is refused."""

import gzip
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import runs
from support.runs import MACHINE, make_arm, make_benchmark, make_results, plan, with_facts, with_provenance
from trigru.bench.commands.tables import tables_of
from trigru.bench.results.arm import Arm, Plan, Untimed
from trigru.bench.results.files import FILE, SCHEMA, ResultsFileError, assemble, command_line, load, save
from trigru.bench.results.record import Facts, Provenance

ARMS = [make_arm(name) for name in ("pure[jit]", "pure[jit]#2", "linen[apply]")]
RESULTS = make_results([make_benchmark(arm, [1.0, 2.0, 3.0]) for arm in ARMS])


@pytest.fixture
def path(tmp_path):
    """The file of a run."""
    save(RESULTS, tmp_path / FILE)
    return tmp_path / FILE


def rewrite(path, keys, change):
    """Change the part of a file that keys lead to."""
    data = json.loads(path.read_text())
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    change(inner, keys[-1])
    path.write_text(json.dumps(data))


def test_what_is_saved_is_loaded(path):
    assert load(path) == load(path.parent) == RESULTS
    arm = make_arm("nnx[leaves]:fused", "question@hidden=64", division="fused")
    asked = plan(workloads=("tiny", "question@hidden=64"), ports=("linen", "nnx"), kernels=("stock", "fused"))
    # a system that does not tell
    idle = with_provenance(RESULTS, load_before=None, load_after=None, plan=msgspec.structs.replace(asked, processes=1))
    other = msgspec.structs.replace(idle, untimed=[Untimed(arm, "not equal")])
    save(other, path)
    assert load(path) == other


def test_a_compressed_file_is_read(path):
    compressed = path.with_suffix(".json.gz")
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    assert load(compressed) == RESULTS
    compressed.write_bytes(compressed.read_bytes()[:-20])
    with pytest.raises(ResultsFileError, match="is no whole gzip file"):
        load(compressed)


def test_pytest_benchmark_reads_it(path):
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(path), "--columns=median,rounds"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "linen[apply]" in found.stdout
    assert "tiny/forward/float32/stock" in found.stdout


@pytest.mark.parametrize(
    ("commit", "id", "dirty"), [("abc", "abc", False), ("abc-dirty", "abc", True), ("", "unversioned", False)]
)
def test_the_commit_is_trigrus_own_wherever_one_works(tmp_path, monkeypatch, commit, id, dirty):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    facts = with_provenance(RESULTS, machine=msgspec.structs.replace(MACHINE, commit=commit)).trigru
    found = assemble("A CPU", RESULTS.benchmarks, [], facts).commit_info
    assert (found["id"], found["dirty"], found["project"]) == (id, dirty, "trigru")
    assert found.keys() == {"id", "time", "author_time", "dirty", "project", "branch"}, "pytest-benchmark's"


def test_a_run_is_dated_in_utc():
    begun = datetime.now(UTC)
    found = datetime.fromisoformat(assemble("A CPU", RESULTS.benchmarks, [], RESULTS.trigru).datetime)
    assert found.utcoffset() == timedelta(0)
    assert begun <= found <= datetime.now(UTC)


OF_LINEN = ("benchmarks", 2, "extra_info", "trigru")
PARTS = {("trigru",): Provenance, ("trigru", "plan"): Plan, OF_LINEN: Facts, (*OF_LINEN, "arm"): Arm}


def test_rounds_of_a_process_more_than_the_plan_has_are_refused():
    two = make_results([make_benchmark(arm, [1.0] * 4, [0, 0, 1, 1]) for arm in ARMS])
    one = msgspec.structs.replace(two.trigru.plan, processes=1)
    with pytest.raises(ValueError, match="arms of different processes, or of more than the plan has"):
        with_provenance(two, plan=one)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: PARTS[part].__name__)
def test_a_file_that_lacks_a_fact_does_not_load(path, part):
    for fact in (field.name for field in msgspec.structs.fields(PARTS[part]) if field.required):
        save(RESULTS, path)
        rewrite(path, (*part, fact), dict.__delitem__)
        with pytest.raises(ResultsFileError, match=f"missing required field `{fact}`") as caught:
            load(path)
        assert str(path) in str(caught.value)


OF_PURE = ("benchmarks", 0, "extra_info", "trigru")
EQUAL = msgspec.to_builtins(runs.EQUAL)
FAILED = EQUAL | {"error": 1e-3}


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("trigru", "schema"), 99, f"schema 99, expected {SCHEMA}: read it with trigru .* which wrote it"),
        (("trigru",), {"schema": 1, "gpu": "H100"}, rf"schema 1, expected {SCHEMA}: read it with trigru \?, which"),
        ((*OF_PURE, "arm", "role"), "arm", "has no baseline, or several"),
        (("benchmarks", 1, "extra_info", "trigru", "arm", "role"), "baseline", "cannot be the baseline of its group"),
        ((*OF_LINEN, "arm", "role"), "duplicate", "cannot be the duplicate of its group"),
        ((*OF_LINEN, "arm", "slowed"), 0.5, "cannot be the arm of its group"),
        ((*OF_LINEN, "gate"), 1.5, r"float` <= 1.0 .*gate"),
        ((*OF_LINEN, "differs"), "in its biases", "gate is there, and so is differs"),
        ((*OF_LINEN, "verdict"), "faster", "verdict of .* is faster, which its interval or the floor do not bear"),
        ((*OF_LINEN, "ratio_high"), 0.5, "ratio is outside of its own interval"),
        ((*OF_LINEN, "floor"), 0.03, "have a different floor"),
        ((*OF_LINEN, "steps"), 9, "have a different steps"),
        ((*OF_LINEN, "position"), [0, 0, 0], "two arms of group .* have one position in a round"),
        ((*OF_PURE, "ratio_high"), 1.5, "the interval of .*, whose ratio is to itself, is not 1"),
        (("benchmarks", 2, "stats", "data"), [2.0, 4.0, 6.0], "ratio of .* is not that of its samples"),
        (("trigru", "plan", "workloads"), [{"name": "question"}], "is not what the plan asked for"),
        (("trigru", "plan", "phases"), ["step"], "is not what the plan asked for"),
        (("trigru", "plan", "ports"), ["pure"], "linen.* is not what the plan asked for"),
        (("trigru", "plan", "ports"), ["linen", "linen"], "ports of the plan have linen twice"),
        (("trigru", "plan", "trials"), 3, "is not what the plan asked for"),
        (("trigru", "plan", "rounds"), 2, "has more rounds than the plan"),
        (("trigru", "plan", "processes"), 2, "complete is true, but group .* was not measured in every process"),
        (("trigru", "equality"), [FAILED], "has a number, but was not proven equal"),
        (("trigru", "equality"), [EQUAL, EQUAL], "trigru.equality has .* twice"),
        (("trigru", "equality"), [EQUAL | {"error": None}], "error is None with a bound of 1e-12, expected numbers"),
        (("datetime",), "yesterday", "datetime is 'yesterday', expected one like 2026-01-31"),
        ((*OF_PURE, "build", "compile_s"), -1.0, r"float` >= 0.0 .*compile_s"),
        *((("benchmarks", 0, name), "x", "are not those of the arm") for name in ("group", "name", "fullname")),
        *(((*OF_PURE, fact), 0.0, rf"float` > 0.0 .*{fact}") for fact in ("ratio_low", "ratio", "ratio_high")),
        *(((*OF_PURE, fact), 1e300, rf"float` <= .*{fact}") for fact in ("ratio_high", "floor", "flops")),
        ((*OF_PURE, "ratio_low"), 1.5, "ratio is outside of its own interval"),
        ((*OF_PURE, "floor"), -0.1, r"float` >= 0.0 .*floor"),
        *(((*OF_PURE, fact), [0], f"{fact} has 1 items, expected") for fact in ("position", "started_s")),
        *(((*OF_PURE, fact), [], f"{fact} has 0 items, expected") for fact in ("calls", "warm_up_calls", "steady")),
        ((*OF_PURE, "process"), [0] * 4, "has 3 items, expected 4"),
        ((*OF_PURE, "process"), [-1] * 3, "int` >= 0"),
        ((*OF_PURE, "verdict"), "fastest", "matching regex"),
        ((*OF_PURE, "arm", "dtype"), "float7", "matching regex"),
        ((*OF_PURE, "arm", "phase"), "", "matching regex"),
        ((*OF_PURE, "arm", "workload"), {"name": "tiny", "sizes": {"hidden": 0}}, "int` >= 1"),
        *((("trigru", "plan", fact), -1, r"int` >= ") for fact in ("processes", "seed", "trials", "rounds")),
        (("trigru", "plan", "workloads"), [], "of length >= 1"),
        (("trigru", "ceilings"), [], "lack the limits of the machine"),
        (("trigru", "ceilings"), [{}], "lack the limits of the machine"),
        (("trigru", "interruptions"), 10**400, "int` <= "),
        *(
            (("benchmarks", 0, "stats", "data"), data, "stats.data has no samples, or some that are no seconds")
            for data in ([True], [-1.0], [], [1.0, 0.0], "x", [1e9], [10**400])
        ),
        (("benchmarks", 0, "stats", "data"), [1.0], "process has 3 items, expected 1"),
        ((*OF_PURE, "ratio"), None, "Expected `float`, got `null`"),
        ((*OF_PURE, "new"), 1, "unknown field `new`"),
        (("benchmarks",), {}, "Expected `array`, got `object`"),
    ],
)
def test_a_file_with_other_contents_is_refused(path, keys, value, message):
    rewrite(path, keys, lambda inner, key: inner.__setitem__(key, value))
    with pytest.raises(ResultsFileError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratio": 1.01, "ratio_low": 1.0, "ratio_high": 1.1}, "ratio of .*linen.* is not that of its samples"),
        ({"ratio_low": 0.9, "ratio_high": 1.3, "verdict": "slower"}, "is slower, which its interval or the floor"),
    ],
)
def test_a_verdict_and_a_ratio_that_the_samples_do_not_bear_are_refused(path, changes, message):
    for fact, value in changes.items():
        rewrite(path, (*OF_LINEN, fact), lambda inner, key, value=value: inner.__setitem__(key, value))
    with pytest.raises(ResultsFileError, match=message):
        load(path)


def test_a_floor_and_a_verdict_below_what_the_samples_show_are_refused(path):
    def write(again_s, ratio, **facts):
        arms = [make_benchmark(arm, [1.0] * 6) for arm in ARMS[:2]]
        arms[1] = make_benchmark(ARMS[1], [again_s] * 6, ratio=again_s, floor=0.02 if again_s == 1 else 0.2)
        arms = [with_facts(b, floor=facts.get("floor", 0.02)) for b in arms]
        save(make_results([*arms, make_benchmark(ARMS[2], [ratio] * 6, ratio=ratio, **facts)]), path)

    write(1.0, 1.5, verdict="slower")
    assert load(path).benchmarks[2].facts.verdict == "slower"
    write(1.0, 1.5)
    with pytest.raises(ResultsFileError, match="verdict of .*linen.* is indistinguishable, but"):
        load(path)
    write(1.3, 1.0)
    with pytest.raises(ResultsFileError, match="the floor of group .* is below what its duplicate shows"):
        load(path)
    write(1.3, 1.2, floor=0.31, verdict="slower")
    with pytest.raises(ResultsFileError, match="which its interval or the floor do not bear"):
        load(path)
    write(1.3, 1.2, floor=0.31)
    assert load(path).benchmarks[2].facts.verdict == "indistinguishable", "it is within the floor"


def test_processes_that_go_back_and_limits_of_fewer_of_them_are_refused(path):
    arms = [make_benchmark(arm, [1.0, 2.0, 3.0], [0, 1, 0]) for arm in ARMS]
    save(make_results(arms), path)
    with pytest.raises(ResultsFileError, match="process goes back to an earlier one"):
        load(path)
    arms = [make_benchmark(arm, [1.0, 2.0, 3.0], [0, 1, 1]) for arm in ARMS]
    save(make_results(arms), path)
    assert len(load(path).trigru.ceilings) == 2
    rewrite(path, ("trigru", "ceilings"), lambda inner, key: inner[key].pop())
    with pytest.raises(ResultsFileError, match="ceilings are of fewer processes"):
        load(path)


def test_a_group_without_its_duplicate_or_with_one_of_another_port_is_refused(path):
    save(make_results([make_benchmark(arm, [1.0, 2.0, 3.0]) for arm in (ARMS[0], ARMS[2])]), path)
    with pytest.raises(ResultsFileError, match="has no duplicate, or several"):
        load(path)
    other = msgspec.structs.replace(ARMS[1], port="linen")
    save(make_results([make_benchmark(arm, [1.0, 2.0, 3.0]) for arm in (ARMS[0], other)]), path)
    with pytest.raises(ResultsFileError, match="the duplicate of group .* is not of its baseline"):
        load(path)


def test_a_field_that_is_there_twice_is_refused(path):
    path.write_text(path.read_text().replace('"complete":', '"complete":false,"complete":'))
    with pytest.raises(ResultsFileError, match="an object has complete twice"):
        load(path)


def test_arms_of_a_group_have_as_many_rounds_each(path):
    with pytest.raises(ValueError, match="group tiny/forward/float32/stock has arms of different processes"):
        make_results([make_benchmark(arm, [1.0] * (3 + (arm.port == "linen"))) for arm in ARMS])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_truncated_and_flipped_files_are_refused_or_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / FILE
    save(RESULTS, path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 2))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        tables_of(load(path))
    except ResultsFileError as error:
        assert str(path) in str(error)  # noqa: PT017


def test_deep_nesting_is_refused(path):
    path.write_text(path.read_text().replace('"machine_info":{', '"machine_info":{"x":' + "[" * 200_000 + ",", 1))
    with pytest.raises(ResultsFileError, match="not a results file of trigru"):
        load(path)


def test_whole_numbers_of_seconds_are_samples(path):
    for number in range(3):
        rewrite(path, ("benchmarks", number, "stats", "data"), lambda inner, key: inner.__setitem__(key, [1, 2, 3]))
    assert load(path).benchmarks[0].time_s.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "output", [(), ("-o", "mine"), ("-omine",), ("-o=mine",), ("--output", "mine"), ("--output=mine",), ("-o", "-x")]
)
def test_a_command_is_kept_without_where_the_results_went(monkeypatch, output):
    monkeypatch.setattr(sys, "argv", ["/home/me/bin/trigru", "bench", *output, "--quick", "--seed", "3"])
    assert command_line() == ["trigru", "bench", "--quick", "--seed", "3"]


def test_a_folder_is_its_run_whatever_else_is_in_it(path):
    (path.parent / "cold_start.json").write_text("{}")
    assert load(path.parent) == load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ResultsFileError, match=r"absent.json: No such file"):
        load(tmp_path / "absent.json")
    with pytest.raises(ResultsFileError, match=r"results.json: No such file"):
        load(tmp_path)


def test_a_failed_save_keeps_the_old_file(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save(with_facts(RESULTS, floor=2.0), path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [FILE]


def refused(path, tmp_path, edit, message):
    """What a file says after a stranger's edit of its content."""
    content = json.loads(path.read_text())
    edit(content)
    other = tmp_path / "edited.json"
    other.write_text(json.dumps(content))
    with pytest.raises(ResultsFileError, match=message):
        load(other)


def facts_of(content, number=1):
    return content["benchmarks"][number]["extra_info"]["trigru"]


NEW_FACTS = {
    "a schema that is none": (lambda c: c["trigru"].update(schema=2.5), "schema 2.5, expected 6"),
    "an earlier schema": (lambda c: c["trigru"].update(schema=4), "schema 4, expected 6"),
    "another clock in one arm": (lambda c: facts_of(c).update(clock="pipelined"), "by another clock"),
    "a clock that is none": (lambda c: facts_of(c).update(clock="sundial"), "clock"),
    "another clock's rounds without processes": (lambda c: facts_of(c).update(other_s=[1.0]), "other_s has 1 items"),
    "a process that measured nothing else": (
        lambda c: facts_of(c).update(other_s=[1.0], other_process=[99]), "other_process has a process"),
    "no time at all": (lambda c: facts_of(c).update(other_s=[5e-324], other_process=[0]), "other_s"),
    "limits of another arithmetic": (
        lambda c: c["trigru"]["ceilings"][0].update(other=c["trigru"]["ceilings"][0]["float32"]), "lack the limits"),
    "more bytes than there are": (lambda c: exchange(c, nbytes=2**60), "nbytes"),
    "fewer bytes than none": (lambda c: exchange(c, nbytes=-5), "nbytes"),
    "an exchange of no kind": (lambda c: exchange(c, kind="telepathy"), "kind"),
    "devices without a way": (lambda c: facts_of(c)["arm"].update(devices=2), "is spread in no way over 2 devices"),
    "a way without devices": (lambda c: facts_of(c)["arm"].update(way="placed"), "is spread placed over 1 devices"),
    "a precision that is none": (lambda c: facts_of(c)["arm"].update(precision="finest"), "precision"),
    "a precision that was not asked for": (lambda c: facts_of(c)["arm"].update(precision="high"), "high"),
    "one device not among them": (lambda c: c["trigru"]["plan"].update(devices=[2]), "devices of the plan lack 1"),
}  # fmt: skip


def exchange(content, **changes):
    one = {"kind": "all-reduce", "nbytes": 8, "runs": 1, "in_loop": False}
    facts_of(content)["program"]["collectives"] = [one | changes]


@pytest.mark.parametrize("what", NEW_FACTS)
def test_facts_of_devices_clocks_and_precision_are_checked(path, tmp_path, what):
    refused(path, tmp_path, *NEW_FACTS[what])
