"""Results files of schema 2, as they were committed, in today's record."""

import json
from pathlib import Path

import msgspec
import pytest
from support.runs import make_arm, make_benchmark, make_results, plan
from trigru.bench.arms.plan import expand
from trigru.bench.results.arm import Untimed
from trigru.bench.results.files import SCHEMA, ResultsFileError, load, save

COMMITTED = Path(__file__).parents[3] / "docs" / "results"
NAMES = ("kernel", "sweep")
CALIBRATION = Path(__file__).with_name("schema_2.json")  # a calibration's first group, with two rounds a process


@pytest.fixture(scope="module")
def calibration():
    """What a small file of schema 2 has: the first group of a calibration."""
    return json.loads(CALIBRATION.read_text())


def load_content(content, tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    return load(path)


@pytest.mark.parametrize("name", NAMES)
def test_what_ids_spelled_are_fields_now(name, tmp_path):
    old, new = json.loads((COMMITTED / f"{name}.json").read_text()), load(COMMITTED / f"{name}.json")
    assert (old["trigru"]["schema"], new.trigru.schema, new.trigru.equality) == (2, SCHEMA, None)
    for was, b in zip(old["benchmarks"], new.benchmarks, strict=True):
        facts, arm = was["extra_info"]["trigru"], b.arm
        assert (b.group, b.name, b.arm.id) == (was["group"], was["name"], facts["id"])
        assert (str(arm.workload), str(arm.kernel), arm.is_baseline) == (
            facts["workload"].partition("~")[0],
            facts["kernel"],
            facts["is_baseline"],
        )
        for field in ("phase", "dtype", "port", "style", "copy", "slowed"):
            assert getattr(arm, field) == facts[field]
        for field in ("process", "calls", "ratio", "floor", "verdict", "gate", "differs"):
            assert getattr(b.facts, field) == facts[field]
        assert (b.facts.device, b.facts.backend) == (new.trigru.machine.device, "cpu")
        assert b.time_s.tolist() == was["stats"]["data"]
    plan = new.trigru.plan
    assert [str(workload) for workload in plan.workloads] == old["trigru"]["plan"]["workloads"]
    assert [str(kernel) for kernel in plan.kernels] == old["trigru"]["plan"]["kernels"]
    assert (plan.seed, plan.trials, plan.swept) == (0, 0, {"sweep": "hidden"}.get(name))
    known = {arm.id: arm for arm in expand(msgspec.structs.replace(plan, peers=()))}
    own = [b.arm for b in new.benchmarks if b.arm.port not in plan.peers]
    assert {(arm.name, arm.phase) for arm in own if known.get(arm.id) != arm} <= {
        (f"linen[apply]{kernel}", "train_step")  # which was the first style where one was enough
        for kernel in ("", ":fused")
    }
    save(new, tmp_path / "new.json")
    assert load(tmp_path / "new.json") == new


@pytest.mark.parametrize("name", NAMES)
def test_a_train_step_of_linen_was_not_the_documented_one(name):
    of_linen = [b.arm for b in load(COMMITTED / f"{name}.json").benchmarks if b.arm.name == "linen[apply]"]
    assert {(arm.phase, arm.labels) for arm in of_linen} == {("train_step", ("functional",))}


UNTIMED = [
    make_arm("pure[jit]"),
    make_arm("pure[jit]#2", phase="step"),
    make_arm("torch[?]"),
    make_arm("nnx[leaves]:fused@save=none,chunk=16", "question@hidden=64@batch=2", division="fused"),
    make_arm("pure[jit]", trial=4),
    make_arm("pure[jit]#2", trial=4),
    make_arm("pure[jit]#3", trial=4),
    make_arm("pure[jit]+5%", trial=4),
]


@pytest.mark.parametrize("is_calibration", [False, True])
def test_arms_without_a_number_are_read_from_their_ids(calibration, tmp_path, is_calibration):
    arms = [arm for arm in UNTIMED if bool(arm.trial) == is_calibration]
    old = [{"id": arm.id, "group": arm.group, "name": arm.name, "reason": arm.port} for arm in arms]
    content = calibration | {"untimed": old}
    if not is_calibration:
        asked = {
            "workloads": list(dict.fromkeys(str(arm.workload) for arm in arms)),
            "phases": ["forward", "step"],
            "ports": ["pure", "nnx"],
            "peers": ["torch"],
            "kernels": list(dict.fromkeys(str(arm.kernel) for arm in arms)),
            "trials": 0,
        }
        plan = calibration["trigru"]["plan"] | asked
        content |= {"benchmarks": [], "trigru": calibration["trigru"] | {"plan": plan, "complete": False}}
    found = load_content(content, tmp_path).untimed
    assert [untimed.arm.id for untimed in found] == [untimed["id"] for untimed in old]
    for untimed, arm in zip(found, arms, strict=True):
        assert untimed == Untimed(arm, arm.port)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("extra_info", "trigru", "id"), "another"),
        (("extra_info", "trigru", "phase"), "step"),
        (("extra_info", "trigru", "kernel"), "no such"),
        (("group",), "no slashes"),
        (("extra_info",), None),
    ],
)
def test_what_contradicts_itself_is_refused(calibration, tmp_path, keys, value):
    content = json.loads(json.dumps(calibration))
    inner = content["benchmarks"][3]
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    with pytest.raises(ResultsFileError, match="old.json"):
        load_content(content, tmp_path)


def schema_4(results):
    """A run as files of schema 4 had it: without a precision and devices of arms, and with one list of other times."""
    content = json.loads(msgspec.json.encode(results))
    for benchmark in content["benchmarks"]:
        facts = benchmark["extra_info"]["trigru"]
        facts["pipelined_s"] = facts.pop("other_s")
        for name in ("clock", "other_process", "tunings"):
            del facts[name]
        for name in ("collectives", "tuned"):
            del facts["program"][name]
        for name in ("precision", "devices", "way", "weak"):
            del facts["arm"][name]
    for name in ("dtype", "precision", "devices", "weak", "autotune"):
        del content["trigru"]["plan"][name]
    for ceilings in content["trigru"]["ceilings"]:
        del ceilings["float32"]["loop_step_s"]
    del content["trigru"]["machine"]["gpus"]
    content["trigru"] |= {"schema": 4, "matmul_precision": "highest"}
    return content


def test_a_run_of_schema_4_is_the_same_run(tmp_path):
    """Of five rounds, two were done again by the other clock; where one call filled a sample, none."""
    process = [0] * 5 + [1] * 5
    found = []
    for name, factor in (("pure[jit]", 1.0), ("pure[jit]#2", 1.0), ("linen[apply]", 1.0)):
        once = name.startswith("linen")
        facts = {"other_s": [1.0, 2.0] if once else [1.0, 2.0, 3.0, 4.0],
                 "other_process": [0, 0] if once else [0, 0, 1, 1], "calls": [10, 1] if once else [10, 10]}  # fmt: skip
        found.append(make_benchmark(make_arm(name), [factor] * 10, process, **facts))
    run = make_results(found, plan=plan(rounds=5))
    assert load_content(schema_4(run), tmp_path) == run


def test_other_times_of_which_nobody_knows_the_process_are_dropped(tmp_path):
    run = make_results([make_benchmark(make_arm(name), [1.0] * 10, [0] * 5 + [1] * 5, other_s=[1.0] * 4,
                                       other_process=[0, 0, 1, 1]) for name in ("pure[jit]", "pure[jit]#2")],
                       plan=plan(rounds=5))  # fmt: skip
    content = schema_4(run)
    content["benchmarks"][1]["extra_info"]["trigru"]["pipelined_s"] = [1.0] * 3
    read = load_content(content, tmp_path)
    assert [b.facts.other_s for b in read.benchmarks] == [[1.0] * 4, []]
