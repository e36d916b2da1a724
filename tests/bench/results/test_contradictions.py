"""Well-formed files that contradict themselves, or claim what they do not bear out: each is refused in a sentence."""

import copy
import json
from datetime import datetime

import msgspec
import numpy as np
import pytest
from support.runs import ARMS, ENDED, MACHINE, PROOF, draw_run, save, with_provenance
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.starts import load_starts
from trigru.bench.timing.supervisor import NO_BASELINE
from trigru.common.errors import TrigruError


def begun(change):
    return lambda file: change(file["trigru"]["begun"])


def arm(change, place=2):
    """Of an arm, as the run began with it."""
    return begun(lambda start: change(start["arms"][place]))


def timed(change, place=2, process="0"):
    """Of what a process measured of an arm."""
    return lambda file: change(file["benchmarks"][place]["extra_info"]["trigru"][process])


def each_timed(change):
    """Of what each process measured of each arm."""
    return lambda file: [change(t) for b in file["benchmarks"] for t in b["extra_info"]["trigru"].values()]


def machine(change):
    """Of the machine of each process."""
    return lambda file: [change(started["machine"]) for started in file["trigru"]["started"]]


def proof(**facts):
    """Of each measurement."""
    return begun(lambda start: [m.update(facts) for m in start["equality"]])


def put(**facts):
    return lambda record: record.update(facts)


def both(*changes):
    return lambda file: [change(file) for change in changes]


def drop_port(file):
    """Linen is in the plan, and nowhere else."""
    file["benchmarks"] = [b for b in file["benchmarks"] if "/linen[" not in b["fullname"]]
    start = file["trigru"]["begun"]
    start["arms"] = [a for a in start["arms"] if a["port"] != "linen"]


def ceilings(change):
    """Of the second process."""
    return lambda file: change(file["trigru"]["started"][1]["ceilings"]["float32"])


def lose(reason):
    """Equinox has a reason in place of its numbers."""

    def change(file):
        file["benchmarks"] = [b for b in file["benchmarks"] if "/equinox[" not in b["fullname"]]
        lost = [a for a in file["trigru"]["begun"]["arms"] if a["port"] == "equinox"]
        file["trigru"]["untimed"] += [{"type": "Untimed", "arm": a, "reason": reason} for a in lost]

    return change


def copied(change):
    """Linen's samples are those of plain JAX, changed, in each process."""

    def of(file):
        from_pure, to_linen = (file["benchmarks"][n]["extra_info"]["trigru"] for n in (0, 2))
        for process, t in to_linen.items():
            t["time_s"] = change(from_pure[process]["time_s"])

    return of


#: When the first process of the run begins.
BEGAN_S = datetime.fromisoformat(ENDED).timestamp() - 3600

LIES = {
    # what was asked for, and what is there
    "the plan has linen, which has neither a number nor a reason": drop_port,
    "the plan has torch9, which has neither": begun(lambda start: start["plan"]["peers"].append("torch9")),
    "the plan has medium/forward": begun(lambda start: start["plan"]["workloads"].append({"name": "medium"})),
    "the plan has tiny/step": begun(lambda start: start["plan"]["phases"].append("step")),
    "is not what the plan asked for": begun(lambda start: start["plan"]["ports"].remove("linen")),
    "the plan has linen as a peer": begun(
        lambda start: start["plan"].update(ports=["pure", "nnx", "equinox"], peers=["linen"])
    ),
    "which the plan did not ask for|that the plan did not ask for": begun(
        lambda start: start["plan"].update(styles=["leaves", "functional"])
    ),
    "has a number, and a reason why": lambda file: file["trigru"]["untimed"].append(
        {"type": "Untimed", "arm": file["trigru"]["begun"]["arms"][2], "reason": "it broke"}
    ),
    "linen.* has neither a number nor a reason": lambda file: file["benchmarks"].pop(2),
    "ports of the plan have nnx twice": begun(lambda start: start["plan"]["ports"].append("nnx")),
    "has no baseline, or several": arm(put(role="arm"), 0),
    "cannot be the baseline of its group": arm(put(role="baseline"), 1),
    "the arm .* is there twice": begun(lambda start: start["arms"].append(start["arms"][2])),
    "pure.* cannot be the baseline": arm(put(devices=2, way="placed"), 0),
    "two call styles with one label": both(arm(put(labels=["functional"]), 3), arm(put(labels=["functional"]), 5)),
    "is spread in no way over 2 devices": arm(put(devices=2)),
    # what was proven
    "was not proven equal": proof(error=1.0),
    "but no proof in float64 of what was timed": proof(dtype="float32"),
    "its proof is of torch, which the plan did not": begun(
        lambda start: start["equality"].append(start["equality"][0] | {"port": "torch"})
    ),
    "its proof allows .* an error of 1.0e.300": proof(bound=1e300),
    "its proof has one error of pure 29 times": begun(
        lambda start: start["equality"].extend(start["equality"][0] | {"quantity": str(n)} for n in range(26))
    ),
    "has the check 'nonsense', which is none": proof(check="nonsense"),
    "linen.* but no proof": begun(lambda start: start["equality"].pop(3)),
    "pure.* has a number, but no proof": begun(put(equality=[])),
    "has linen .* twice": begun(lambda start: start["equality"].append(start["equality"][3])),
    # what was measured
    "were not compared with the oracle": timed(put(gate=None)),
    "first results were not compared": timed(put(gate=None, differs="other equations")),
    "gate is there, and so is differs": timed(put(differs="other equations")),
    "ran on A CPU .gpu., and its process": timed(put(backend="gpu")),
    "that of another arm, with other operations": timed(lambda t: t["program"].update(dots=9)),
    "position has 6 items, expected 7": timed(lambda t: t["position"].pop()),
    "time_s of .* has . items, expected": timed(
        lambda t: [t[name].append(1) for name in ("time_s", "started_s", "position")]
    ),
    "are not in the order that process 0 takes": both(
        machine(lambda its: its["versions"].update(numpy=np.__version__)),
        begun(lambda start: start["versions"].update(numpy=np.__version__)),
        each_timed(lambda t: t.update(position=[(place + 1) % 9 for place in t["position"]])),
    ),
    "were at one place of a round": each_timed(lambda t: t.update(position=[0 for _ in t["position"]])),
    "has 3 rounds of": each_timed(
        lambda t: t.update({name: t[name][:3] for name in ("time_s", "started_s", "position")})
    ),
    "has samples of 900 calls": timed(put(calls=900)),
    "began .* s after their end": both(
        each_timed(
            lambda t: t.update(
                time_s=[100 * s for s in t["time_s"]],
                started_s=[BEGAN_S + 100 * (s - BEGAN_S) for s in t["started_s"]],
            )
        ),
        timed(lambda t: t.update(time_s=[s / 100 for s in t["time_s"]]), 3),
    ),
    "was read in process 1, which reads none": timed(
        put(build={"trace_s": 0, "lower_s": 0, "compile_s": 0, "first_call_s": 1}), process="1"
    ),
    "the duplicate of .* has another program": timed(lambda t: t["program"].update(fingerprint="f"), 1),
    "has too few products or loops": timed(lambda t: t["program"].update(fingerprint="f", dots=0)),
    "exchanges data, on one device": timed(
        lambda t: t["program"].update(collectives=[{"kind": "all-reduce", "nbytes": 8, "runs": 1, "in_loop": False}])
    ),
    "took longer to compile than to its first result": timed(lambda t: t["build"].update(compile_s=1.6)),
    "leaves in a process, and": timed(put(leaves=7)),
    "are other ones in another process": timed(put(gate=0.2)),
    "has samples of .*, or is no arm of the run": timed(put(arm="another")),
    "by two clocks": timed(put(clock="pipelined")),
    "most samples of .* are equal to the last digit": timed(put(time_s=[3e-5] * 7)),
    # processes and machines
    "it has no version of jax": machine(put(versions={})),
    "is no version of jax": machine(lambda m: m["versions"].update(jax="the best")),
    "it has GPUs, and ran on": machine(put(gpus=[{}])),
    "JAX_DISABLE_JIT was set": machine(lambda m: m["environment"].update(JAX_DISABLE_JIT="1")),
    "not all of its 3 processes measured everything": begun(lambda start: start["plan"].update(processes=3)),
    "ran on different machines": lambda file: file["trigru"]["started"][1]["machine"].update(threads=3),
    "interruptions": lambda file: file["trigru"].update(interruptions=10**6),
    "lacks the limits of the machine": lambda file: file["trigru"]["started"][0].update(ceilings={}),
    "before its process started": lambda file: file["trigru"]["started"].pop(),
    "is no arm of the run": lambda file: file["trigru"]["untimed"].append(
        {"type": "Untimed", "arm": file["trigru"]["begun"]["arms"][2] | {"port": "nnx"}, "reason": "it broke"}
    ),
    "samples were taken at the same time as another": timed(put(time_s=[1.0] * 7, started_s=[0.0] * 7)),
    "computes faster than the machine can": timed(
        put(time_s=[1e-9 * (1 + n / 9) for n in range(7)], calls=20, other_s=[1e-9] * 2)
    ),
    "the plan has 2 devices": begun(lambda start: start["plan"]["devices"].append(2)),
    "its proof was made on gpu": begun(put(backend="gpu")),
    "its proof was made with other versions": begun(put(versions={"jax": "9.9"})),
    "and ended on": begun(put(since="2099-01-01T00:00:00+00:00")),
    "timed by the pipelined clock on cpu": each_timed(put(clock="pipelined")),
    "long before or after its last sample": lambda file: file["trigru"]["ended"].update(datetime="9999-12-31"),
    "after a sample": begun(put(since="2026-11-04T09:59:00+00:00")),
    "its proof was made with another commit": begun(put(commit="other")),
    "its command has --no-proof": begun(lambda start: start["command"].append("--no-proof")),
    "its proof has levels of sequence that are none": proof(levels={"magic": "yes"}),
    "its proof lacks training in float64: carry of pure": begun(lambda s: s["equality"][2].update(quantity="x")),
    "its proof lacks long in float64 of": begun(lambda s: s["equality"].append(s["equality"][3] | {"check": "long"})),
    "its proof lacks the call style of": proof(style="leaves"),
    "ran on another": timed(put(device="another")),
    "samples of the other clock, expected 2": timed(put(other_s=[1e-4] * 9)),
    "of two arms or processes of .* are copies": lambda file: [
        parts["1"].update(time_s=[1.01 * s for s in parts["0"]["time_s"]])
        for parts in [file["benchmarks"][2]["extra_info"]["trigru"]]
    ],
    "is in a call style that nnx does not have": both(
        arm(put(style="magic"), 3), lambda file: file["benchmarks"].pop(3)
    ),
    "is called functional, here documented": both(
        arm(put(labels=["functional"]), 3), arm(put(labels=["documented"]), 5)
    ),
    # what is said in words
    "not proven equal, and its proof passes": lose("not proven equal: training"),
    "for lack of a baseline, which was measured": lose(NO_BASELINE),
    "and of its command bfloat16": begun(lambda start: start["command"].extend(["--dtype", "bfloat16"])),
    "trigru verify, which measures no run": begun(put(command=["trigru", "verify"])),
    "asks for hidden=77, which no arm has": begun(lambda start: start["command"].append("--size=hidden=77")),
    "unknown workload 'banana'": lambda file: file.update(json.loads(json.dumps(file).replace("tiny", "banana"))),
    # what no machine, program or rounding does
    "does not run with jaxlib": machine(lambda m: m["versions"].update(jaxlib="0.4.1")),
    "with which trigru does not run": machine(lambda m: m["versions"].update(python="2.7.1")),
    "was there, and flax was not installed": machine(lambda m: m["versions"].pop("flax")),
    "times as fast as another one": ceilings(put(gemm_gflop_per_s=1e6)),
    "copy_gbyte_per_s": ceilings(put(copy_gbyte_per_s=1e15)),
    "begun.load": begun(put(load=1e18)),
    "long before its first sample": begun(put(since="2025-11-04T09:00:00+00:00")),
    "needs 1000000000000 bytes": timed(lambda t: t["program"].update(temp_bytes=10**12)),
    "1000000000 matrix products": timed(lambda t: t["program"].update(fingerprint="f", dots=10**9)),
    "and its duplicate, only one has a program": timed(put(program=None), 1),
    "linen.* took longer to compile": timed(lambda t: t["build"].update(trace_s=5e3)),
    "of linen that are smaller than float32 rounds": begun(
        lambda start: start["equality"].extend(
            start["equality"][3] | {"dtype": "float32", "error": 1e-16, "quantity": str(n)} for n in range(4)
        )
    ),
    "has the dtype float128": begun(
        lambda start: start["equality"].append(start["equality"][0] | {"dtype": "float128"})
    ),
    "the kernel fused, which the plan": begun(
        lambda start: start["equality"].append(start["equality"][0] | {"kernel": "fused"})
    ),
    # samples of another arm: in another order, scaled besides, and but for one
    "samples of two arms or .* are copies": copied(lambda samples: samples[::-1]),
    "samples of two arms or processes .* are copies": copied(lambda samples: [s / 2 for s in sorted(samples)]),
    "two arms or processes .* are copies": copied(lambda samples: [*samples[1:], 1.1e-5]),
    "datetime is 'yesterday', expected one like": lambda file: file["trigru"]["ended"].update(datetime="yesterday"),
}  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small run with a proof, as its file has it."""
    path = tmp_path_factory.mktemp("good") / "results.json"
    arms = {name: ratio for name, ratio in ARMS.items() if not name.startswith("torch")}
    run = draw_run(1, arms=arms, groups=("tiny/forward",), processes=2, rounds=7)
    save(with_provenance(run, equality=PROOF[:12]), path)
    load(path)
    return json.loads(path.read_bytes())


@pytest.mark.parametrize("message", LIES)
def test_a_file_that_contradicts_itself_is_refused(good, tmp_path, message):
    file, path = copy.deepcopy(good), tmp_path / "results.json"
    LIES[message](file)
    path.write_text(json.dumps(file))
    with pytest.raises(TrigruError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_style_that_one_of_two_sizes_lacks_is_missed(tmp_path):
    path = tmp_path / "results.json"
    arms = {name: ratio for name, ratio in ARMS.items() if not name.startswith("torch")}
    save(draw_run(1, arms=arms, groups=("tiny/forward", "medium/forward"), processes=2, rounds=3), path)
    file = json.loads(path.read_bytes())
    start = file["trigru"]["begun"]
    lost = next(a for a in start["arms"] if a["workload"]["name"] == "medium" and a["labels"] == ["documented"])
    start["arms"].remove(lost)
    name = f"medium/forward/float32/stock/{lost['port']}[{lost['style']}]"
    file["benchmarks"] = [b for b in file["benchmarks"] if b["fullname"] != name]
    path.write_text(json.dumps(file))
    with pytest.raises(TrigruError, match="which has neither a number nor a reason"):
        load(path)


def test_what_can_be_computed_is_not_believed(good, tmp_path):
    """A file has no place for ratios, intervals, verdicts and floors; what is for other readers is not read."""
    file, path = copy.deepcopy(good), tmp_path / "results.json"
    path.write_text(json.dumps(file))
    whole = load(path)
    for benchmark in file["benchmarks"]:
        benchmark["stats"] = {"median": 1e-9}
    file["machine_info"], file["commit_info"] = {"cpu": "another"}, {"id": "another"}
    path.write_text(json.dumps(file))
    assert load(path) == whole


LINEN = {"port": "linen", "style": "train_state"}
STARTS = {
    "it has no starts": lambda file: file.update(starts=[]),
    "times that are not from 0": lambda file: file["starts"][0].update(import_s=-1.0),
    "compile_s": lambda file: file["starts"][0]["build"].update(compile_s=1e308),
    "memory below 0": lambda file: file["starts"][0].update(peak_bytes=-1),
    "an integer has 401 digits": lambda file: file["starts"][0].update(peak_bytes=10**400),
    "of several call styles": lambda file: file["starts"][0].update(style="another"),
    "schema 1, expected": lambda file: file.update(schema=1),
    "took longer to compile": lambda file: file["starts"][0]["build"].update(first_call_s=1e-3),
    "took longer than the first, which compiles": lambda file: file["starts"][0].update(second_call_s=900.0),
    "a start twice": lambda file: file["starts"].append(file["starts"][0]),
    "linen was there, and flax was not": lambda file: (
        [start.update(LINEN) for start in file["starts"]],
        file["machine"]["versions"].update(flax="not installed"),
    ),
    "took less time or memory than": lambda file: file["starts"][0].update(import_s=0.0),
}


@pytest.mark.parametrize("message", STARTS)
def test_cold_starts_that_cannot_be_are_refused(tmp_path, message):
    build = {"trace_s": 0.1, "lower_s": 0.1, "compile_s": 0.1, "first_call_s": 0.5}
    start = {"port": "pure", "style": "jit", "import_s": 1.0, "init_s": 0.1, "build": build, "second_call_s": 0.01}
    file = {"schema": 2, "command": [], "datetime": "2026-01-31", "machine": msgspec.to_builtins(MACHINE)}
    file |= {"load_before": None, "load_after": 0.5, "starts": [start | {"peak_bytes": 2**28 + n} for n in range(2)]}
    path = tmp_path / "cold_start.json"
    path.write_text(json.dumps(file))
    load_starts(path)
    file = json.loads(path.read_text())
    STARTS[message](file)
    path.write_text(json.dumps(file))
    with pytest.raises(TrigruError, match=message):
        load_starts(path)
