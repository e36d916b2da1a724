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

BEGUN, PLAN, PROVEN = "trigru begun", "trigru begun plan", "trigru begun equality"
LINEN, DUPLICATE, NNX = (f"benchmarks {n} extra_info trigru 0" for n in (2, 1, 3))
EACH, MACHINES = "benchmarks * extra_info trigru *", "trigru started * machine"


def edit(file, place, change):
    """Change what a path of keys leads to, in all items at a star: update it, or call a function with it."""
    found = [file]
    for key in place.split():
        if key == "*":
            found = [inner for record in found for inner in (record.values() if isinstance(record, dict) else record)]
        else:
            found = [record[int(key) if isinstance(record, list) else key] for record in found]
    for record in found:
        change(record) if callable(change) else record.update(change)


def lie(file, changes):
    for place, change in [("", changes)] if callable(changes) else changes.items():
        edit(file, place, change)


def drop_port(file):
    """Linen is in the plan, and nowhere else."""
    file["benchmarks"] = [b for b in file["benchmarks"] if "/linen[" not in b["fullname"]]
    start = file["trigru"]["begun"]
    start["arms"] = [a for a in start["arms"] if a["port"] != "linen"]


def lose(reason):
    """Equinox has a reason in place of its numbers."""

    def change(file):
        file["benchmarks"] = [b for b in file["benchmarks"] if "/equinox[" not in b["fullname"]]
        lost = [a for a in file["trigru"]["begun"]["arms"] if a["port"] == "equinox"]
        file["trigru"]["untimed"] += [{"type": "Untimed", "arm": a, "reason": reason} for a in lost]

    return change


def untimed(**facts):
    """Linen has a reason beside its numbers."""
    return lambda file: file["trigru"]["untimed"].append(
        {"type": "Untimed", "arm": file["trigru"]["begun"]["arms"][2] | facts, "reason": "it broke"}
    )


def copied(change):
    """Linen's samples are those of plain JAX, changed, in each process."""

    def of(file):
        from_pure, to_linen = (file["benchmarks"][n]["extra_info"]["trigru"] for n in (0, 2))
        for process, t in to_linen.items():
            t["time_s"] = change(from_pure[process]["time_s"])

    return of


def more(place, count=1, **facts):
    """As many measurements more, like that at a place, with other facts; quantities are numbered."""
    return lambda proof: proof.extend(
        proof[place] | ({"quantity": str(n)} if count > 1 else {}) | facts for n in range(count)
    )


def slower(t):
    """Samples that take a hundred times as long, and starts that are as far apart."""
    t.update(time_s=[100 * s for s in t["time_s"]], started_s=[BEGAN_S + 100 * (s - BEGAN_S) for s in t["started_s"]])


def cut(t):
    """The first three rounds alone."""
    t.update({name: t[name][:3] for name in ("time_s", "started_s", "position")})


#: When the first process of the run begins.
BEGAN_S = datetime.fromisoformat(ENDED).timestamp() - 3600

TINY_BUILD = {"build": {"trace_s": 0, "lower_s": 0, "compile_s": 0, "first_call_s": 1}}
COLLECTIVE = {"kind": "all-reduce", "nbytes": 8, "runs": 1, "in_loop": False}
#: What is said of a lie, and the lie: what is changed at each place of the file, or a function of the whole.
LIES = {
    # what was asked for, and what is there
    "the plan has linen, which has neither a number nor a reason": drop_port,
    "the plan has torch9, which has neither": {f"{PLAN} peers": lambda names: names.append("torch9")},
    "the plan has medium/forward": {f"{PLAN} workloads": lambda works: works.append({"name": "medium"})},
    "the plan has tiny/step": {f"{PLAN} phases": lambda phases: phases.append("step")},
    "is not what the plan asked for": {f"{PLAN} ports": lambda ports: ports.remove("linen")},
    "the plan has linen as a peer": {PLAN: {"ports": ["pure", "nnx", "equinox"], "peers": ["linen"]}},
    "have, or that the plan did not ask for": {PLAN: {"styles": ["leaves", "functional"]}},
    "has a number, and a reason why": untimed(),
    "linen.* has neither a number nor a reason": {"benchmarks": lambda arms: arms.pop(2)},
    "ports of the plan have nnx twice": {f"{PLAN} ports": lambda ports: ports.append("nnx")},
    "cannot be the arm of its group": {f"{BEGUN} arms 0": {"role": "arm"}},
    "cannot be the baseline of its group": {f"{BEGUN} arms 1": {"role": "baseline"}},
    "is not what the plan has under its name": {f"{BEGUN} arms 3": {"way": "placed"}},
    "the arm .* is there twice": {f"{BEGUN} arms": lambda arms: arms.append(arms[2])},
    "the plan has 2 devices": {f"{PLAN} devices": lambda devices: devices.append(2)},
    "does not have, or that the plan": {f"{BEGUN} arms 3": {"style": "magic"}, "benchmarks": lambda arms: arms.pop(3)},
    "is called functional, here documented": {
        f"{BEGUN} arms 3": {"labels": ["functional"]}, f"{BEGUN} arms 5": {"labels": ["documented"]},
    },
    # what was proven
    "was not proven equal": {f"{PROVEN} *": {"error": 1.0}},
    "but no proof in float64 of what was timed": {f"{PROVEN} *": {"dtype": "float32"}},
    "its proof is of torch, which the plan did not": {PROVEN: more(0, port="torch")},
    "its proof allows .* an error of 1.0e.300": {f"{PROVEN} *": {"bound": 1e300}},
    "its proof has one error of pure 29 times": {PROVEN: more(0, 26)},
    "has the check 'nonsense', which is none": {f"{PROVEN} *": {"check": "nonsense"}},
    "linen.* but no proof": {PROVEN: lambda proof: proof.pop(3)},
    "pure.* has a number, but no proof": {BEGUN: {"equality": []}},
    "has linen .* twice": {PROVEN: more(3)},
    "its proof was made on gpu": {BEGUN: {"backend": "gpu"}},
    "its proof was made with other versions": {BEGUN: {"versions": {"jax": "9.9"}}},
    "its proof was made with another commit": {BEGUN: {"commit": "other"}},
    "its command has --no-proof": {f"{BEGUN} command": lambda words: words.append("--no-proof")},
    "its proof has levels of sequence that are none": {f"{PROVEN} *": {"levels": {"magic": "yes"}}},
    "its proof lacks training in float64: carry of pure": {f"{PROVEN} 2": {"quantity": "x"}},
    "its proof lacks long in float64 of": {PROVEN: more(3, check="long")},
    "its proof lacks the call style of": {f"{PROVEN} *": {"style": "leaves"}},
    "smaller than float32 rounds": {PROVEN: more(3, 4, dtype="float32", error=1e-16)},
    "has the dtype float128": {PROVEN: more(0, dtype="float128")},
    "the kernel fused, which the plan": {PROVEN: more(0, kernel="fused")},
    # what was measured
    "were not compared with the oracle": {LINEN: {"gate": None}},
    "first results were not compared": {LINEN: {"gate": None, "differs": "other equations"}},
    "gate is there, and so is differs": {LINEN: {"differs": "other equations"}},
    "are others in another process": {LINEN: {"gate": 0.2}},
    "ran on A CPU .gpu., and its process": {LINEN: {"backend": "gpu"}},
    "ran on another": {LINEN: {"device": "another"}},
    "leaves in a process, and": {LINEN: {"leaves": 7}},
    "position has 6 items, expected 7": {f"{LINEN} position": lambda places: places.pop()},
    "have other numbers of rounds": {
        f"{LINEN} {name}": lambda values: values.append(1) for name in ("time_s", "started_s", "position")
    },
    "are not in the order that process 0 takes": {
        f"{MACHINES} versions": {"numpy": np.__version__},
        EACH: lambda t: t.update(position=[(place + 1) % 9 for place in t["position"]]),
    },
    "were at one place of a round": {EACH: lambda t: t.update(position=[0] * 7)},
    "has 3 rounds of": {EACH: cut},
    "has samples of 900 calls": {LINEN: {"calls": 900}},
    "samples of the other clock, expected 2": {LINEN: {"other_s": [1e-4] * 9}},
    "began .* s after their end": {EACH: slower, NNX: lambda t: t.update(time_s=[s / 100 for s in t["time_s"]])},
    "was read in process 1, which reads none": {LINEN[:-1] + "1": TINY_BUILD},
    "took longer to compile than to its first result": {f"{LINEN} build": {"compile_s": 1.6}},
    "has samples of .*, or is no arm of the run": {LINEN: {"arm": "another"}},
    "by two clocks": {LINEN: {"clock": "pipelined"}},
    "timed by the pipelined clock on cpu": {EACH: {"clock": "pipelined"}},
    "most samples of .* are equal to the last digit": {LINEN: {"time_s": [3e-5] * 7}},
    "samples were taken at the same time as another": {
        NNX: lambda t: t.update(started_s=[s + 3 for s in t["started_s"]])
    },
    "computes faster than the machine can": {
        LINEN: {"time_s": [1e-9 * (1 + n / 9) for n in range(7)], "calls": 20, "other_s": [1e-9] * 2}
    },
    # samples of another process or arm: scaled, in another order, scaled besides, and but for one
    "of two arms or processes of .* are copies": lambda file: [
        parts["1"].update(time_s=[1.01 * s for s in parts["0"]["time_s"]])
        for parts in [file["benchmarks"][2]["extra_info"]["trigru"]]
    ],
    "samples of two arms or .* are copies": copied(lambda samples: samples[::-1]),
    "samples of two arms or processes .* are copies": copied(lambda samples: [s / 2 for s in sorted(samples)]),
    "two arms or processes .* are copies": copied(lambda samples: [*samples[1:], 1.1e-5]),
    # programs
    "that of another arm, with other operations": {f"{LINEN} program": {"dots": 9}},
    "the duplicate of .* has another program": {f"{DUPLICATE} program": {"fingerprint": "f"}},
    "and its duplicate, only one has a program": {DUPLICATE: {"program": None}},
    "has too few products or loops": {f"{LINEN} program": {"fingerprint": "f", "dots": 0}},
    "1000000000 matrix products": {f"{LINEN} program": {"fingerprint": "f", "dots": 10**9}},
    "needs 1000000000000 bytes": {f"{LINEN} program": {"temp_bytes": 10**12}},
    "exchanges data, on one device": {f"{LINEN} program": {"collectives": [COLLECTIVE]}},
    # processes and machines
    "it has no version of jax": {MACHINES: {"versions": {}}},
    "is no version of jax": {f"{MACHINES} versions": {"jax": "the best"}},
    "does not run with jaxlib": {f"{MACHINES} versions": {"jaxlib": "0.4.1"}},
    "with which trigru does not run": {f"{MACHINES} versions": {"python": "2.7.1"}},
    "was there, and flax was not installed": {f"{MACHINES} versions": lambda versions: versions.pop("flax")},
    "it has GPUs, and ran on": {MACHINES: {"gpus": [{}]}},
    "JAX_DISABLE_JIT was set": {f"{MACHINES} environment": {"JAX_DISABLE_JIT": "1"}},
    "not all of its 3 processes measured everything": {PLAN: {"processes": 3}},
    "ran on different machines": {"trigru started 1 machine": {"threads": 3}},
    "interruptions": {"trigru": {"interruptions": 10**6}},
    "lacks the limits of the machine": {"trigru started 0": {"ceilings": {}}},
    "times as fast as another one": {"trigru started 1 ceilings float32": {"gemm_gflop_per_s": 1e6}},
    "copy_gbyte_per_s": {"trigru started 1 ceilings float32": {"copy_gbyte_per_s": 1e15}},
    "begun.load": {BEGUN: {"load": 1e18}},
    "before its process started": {"trigru started": lambda started: started.pop()},
    "is no arm of the run": untimed(port="nnx"),
    # what is said in words
    "and ended on": {BEGUN: {"since": "2099-01-01T00:00:00+00:00"}},
    "long before or after its last sample": {"trigru ended": {"datetime": "9999-12-31"}},
    "datetime is 'yesterday', expected one like": {"trigru ended": {"datetime": "yesterday"}},
    "after a sample": {BEGUN: {"since": "2026-11-04T09:59:00+00:00"}},
    "long before its first sample": {BEGUN: {"since": "2025-11-04T09:00:00+00:00"}},
    "not proven equal, and its proof passes": lose("not proven equal: training"),
    "for lack of a baseline, which was measured": lose(NO_BASELINE),
    "and of its command bfloat16": {f"{BEGUN} command": lambda words: words.extend(["--dtype", "bfloat16"])},
    "trigru verify, which measures no run": {BEGUN: {"command": ["trigru", "verify"]}},
    "asks for hidden=77, which no arm has": {f"{BEGUN} command": lambda words: words.append("--size=hidden=77")},
    "unknown workload 'banana'": lambda file: file.update(json.loads(json.dumps(file).replace("tiny", "banana"))),
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
    lie(file, LIES[message])
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


STARTS = {
    "of length >= 1": {"": {"starts": []}},
    "float` >= 0.0": {"starts 0": {"import_s": -1.0}},
    "compile_s": {"starts 0 build": {"compile_s": 1e308}},
    "int` >= 0": {"starts 0": {"peak_bytes": -1}},
    "an integer has 401 digits": {"starts 0": {"peak_bytes": 10**400}},
    "of several call styles": {"starts 0": {"style": "another"}},
    "schema 1, expected": {"": {"schema": 1}},
    "took longer to compile": {"starts 0 build": {"first_call_s": 1e-3}},
    "took longer than the first, which compiles": {"starts 0": {"second_call_s": 900.0}},
    "a start twice": {"starts": lambda starts: starts.append(starts[0])},
    "linen was there, and flax was not": {"starts *": {"port": "linen"}, "machine versions": {"flax": "not installed"}},
    "took less time or memory than": {"starts 0": {"import_s": 0.0}},
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
    lie(file, STARTS[message])
    path.write_text(json.dumps(file))
    with pytest.raises(TrigruError, match=message):
        load_starts(path)
