"""Well-formed files that contradict themselves, or claim what they do not bear out: each is refused in a sentence."""

import json

import msgspec
import pytest
from support.files import at, rewrite
from support.runs import ARMS, MACHINE, PROOF, draw_run, save, with_provenance
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.starts import load_starts
from trigru.bench.results.lines import encode
from trigru.common.errors import TrigruError

BEGUN, PLAN, PROVEN = "trigru begun", "trigru begun plan", "trigru begun equality"
LINEN = "benchmarks 2 extra_info trigru 0"
EACH, MACHINES = "benchmarks * extra_info trigru *", "trigru started * machine"


def lose(port, reason=None):
    """A port of the plan has no number; without a reason it has no arm either."""

    def change(file):
        file["benchmarks"] = [b for b in file["benchmarks"] if f"/{port}[" not in b["fullname"]]
        arms, start = file["trigru"]["begun"]["arms"], file["trigru"]["begun"]
        lost = [arm for arm in arms if arm["port"] == port]
        start["arms"] = [arm for arm in arms if reason or arm not in lost]
        file["trigru"]["untimed"] += [{"type": "Untimed", "arm": a, "reason": reason} for a in lost if reason]

    return change


def untimed(**facts):
    """Linen has a reason beside its numbers."""
    return lambda file: file["trigru"]["untimed"].append(
        {"type": "Untimed", "arm": file["trigru"]["begun"]["arms"][2] | facts, "reason": "it broke"}
    )


def lose_style(file):
    """One of two workloads lacks linen's documented style."""
    start = file["trigru"]["begun"]
    start["arms"] = [a for a in start["arms"] if (a["workload"]["name"], a["port"]) != ("medium", "linen")]
    file["benchmarks"] = [
        b for b in file["benchmarks"] if not b["fullname"].startswith("medium/forward/float32/stock/linen")
    ]


def more(place, **facts):
    """A measurement more, like that at a place, with other facts."""
    return lambda proof: proof.append(proof[place] | facts)


#: What is said of a lie, and the lie: what is changed at each place of the file, or a function of the whole.
LIES = {
    # what was asked for, and what is there
    "the plan has linen, which has neither a number nor a reason": lose("linen"),
    "the plan has torch9, which has neither": {f"{PLAN} peers": lambda names: names.append("torch9")},
    "the plan has question/forward": {f"{PLAN} workloads": lambda works: works.append({"name": "question"})},
    "the plan has tiny/step": {f"{PLAN} phases": lambda phases: phases.append("step")},
    "is not what the plan asked for": {f"{PLAN} ports": lambda ports: ports.remove("linen")},
    "the plan has linen as a peer": {PLAN: {"ports": ["pure", "nnx", "equinox"], "peers": ["linen"]}},
    "have, or that the plan did not ask for": {PLAN: {"styles": ["leaves", "functional"]}},
    "has a number, and a reason why": untimed(),
    "linen.* has neither a number nor a reason": {"benchmarks": lambda arms: arms.pop(2)},
    "ports of the plan have nnx twice": {f"{PLAN} ports": lambda ports: ports.append("nnx")},
    "cannot be the arm of its group": {f"{BEGUN} arms 0": {"role": "arm"}},
    "is not what the plan has under its name": {f"{BEGUN} arms 3": {"way": "placed"}},
    "the arm .* is there twice": {f"{BEGUN} arms": lambda arms: arms.append(arms[2])},
    "the plan has 2 devices": {f"{PLAN} devices": lambda devices: devices.append(2)},
    "is called functional, here documented": {
        f"{BEGUN} arms 3": {"labels": ["functional"]}, f"{BEGUN} arms 5": {"labels": ["documented"]},
    },
    "not all of its 3 processes measured everything": {PLAN: {"processes": 3}},
    "not proven equal, and its proof passes": lose("equinox", "not proven equal: training"),
    "the plan has medium/forward.*linen.documented., which has neither": lose_style,
    "is no arm of the run": untimed(port="nnx"),
    "unknown workload 'banana'": lambda file: file.update(json.loads(json.dumps(file).replace("tiny", "banana"))),
    # what was proven
    "was not proven equal": {f"{PROVEN} *": {"error": 5.0, "bound": 1e300}},
    "but no proof in float64 of what was timed": {f"{PROVEN} *": {"dtype": "float32"}},
    "its proof is of torch, which the plan did not": {PROVEN: more(0, port="torch")},
    "the kernel fused, which the plan": {PROVEN: more(0, kernel="fused")},
    "linen.* but no proof": {PROVEN: lambda proof: proof.pop(3)},
    "pure.* has a number, but no proof": {BEGUN: {"equality": []}},
    "has linen .* twice": {PROVEN: more(3)},
    "its proof was made on gpu": {BEGUN: {"backend": "gpu"}},
    "its proof was made with other versions": {BEGUN: {"versions": {"jax": "9.9"}}},
    "its proof was made with another commit": {BEGUN: {"commit": "other"}},
    "its proof lacks training in float64: carry of pure": {f"{PROVEN} 2": {"quantity": "x"}},
    "its proof lacks long in float64 of": {PROVEN: more(3, check="long")},
    "its proof lacks the call style of": {f"{PROVEN} *": {"style": "leaves"}},
    # what was measured
    "were not compared with the oracle": {LINEN: {"gate": None}},
    "first results were not compared": {LINEN: {"gate": None, "differs": "other equations"}},
    "gate is there, and so is differs": {LINEN: {"differs": "other equations"}},
    "ran on A CPU .gpu., and its process": {LINEN: {"backend": "gpu"}},
    "ran on another": {LINEN: {"device": "another"}},
    "position has 6 items, expected 7": {f"{LINEN} position": lambda places: places.pop()},
    "have other numbers of rounds": {
        f"{LINEN} {name}": lambda values: values.append(1) for name in ("time_s", "started_s", "position")
    },
    "has samples of .*, or is no arm of the run": {LINEN: {"arm": "another"}},
    "by two clocks": {LINEN: {"clock": "pipelined"}},
    "timed by the pipelined clock on cpu": {EACH: {"clock": "pipelined"}},
    # processes and machines
    "was there, and flax was not installed": {f"{MACHINES} versions": lambda versions: versions.pop("flax")},
    "it has GPUs, and ran on": {MACHINES: {"gpus": [{}]}},
    "ran on different machines": {"trigru started 1 machine": {"threads": 3}},
    "lacks the limits of the machine": {"trigru started 0": {"ceilings": {}}},
    "copy_gbyte_per_s": {"trigru started 1 ceilings float32": {"copy_gbyte_per_s": 1e15}},
    "before its process started": {"trigru started": lambda started: started.pop()},
    "datetime is 'yesterday', expected one like": {"trigru ended": {"datetime": "yesterday"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small run with a proof."""
    arms = {name: ratio for name, ratio in ARMS.items() if not name.startswith("torch")}
    path = tmp_path_factory.mktemp("good") / "results.json"
    run = draw_run(1, arms=arms, groups=("tiny/forward", "medium/forward"), processes=2, rounds=7)
    save(with_provenance(run, equality=PROOF[:12]), path)
    load(path)
    return path.read_bytes()


@pytest.mark.parametrize("message", LIES)
def test_a_file_that_contradicts_itself_is_refused(good, tmp_path, message):
    path, lie = tmp_path / "results.json", LIES[message]
    path.write_bytes(good)
    for change in [lie] if callable(lie) else [at(*of) for of in lie.items()]:
        rewrite(path, change)
    with pytest.raises(TrigruError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


STARTS = {
    "of length >= 1": ("", {"starts": []}),
    "float` >= 0.0": ("starts 0", {"import_s": -1.0}),
    "int` >= 0": ("starts 0", {"peak_bytes": -1}),
    "of several call styles": ("starts 0", {"style": "another"}),
    "schema 1, expected": ("", {"schema": 1}),
    "a start twice": ("starts", lambda starts: starts.append(starts[0])),
    "it has GPUs": ("machine", {"gpus": [{}]}),
}


@pytest.mark.parametrize("message", STARTS)
def test_cold_starts_that_cannot_be_are_refused(tmp_path, message):
    build = {"trace_s": 0.1, "lower_s": 0.1, "compile_s": 0.1, "first_call_s": 0.5}
    start = {"port": "pure", "style": "jit", "import_s": 1.0, "init_s": 0.1, "build": build, "second_call_s": 0.01}
    file = {"schema": 3, "command": [], "datetime": "2026-01-31", "machine": msgspec.to_builtins(MACHINE)}
    file |= {"load_before": None, "load_after": 0.5, "starts": [start | {"peak_bytes": 2**28 + n} for n in range(2)]}
    path = tmp_path / "cold_start.json"
    path.write_bytes(encode(file))
    load_starts(path)
    rewrite(path, at(*STARTS[message]))
    with pytest.raises(TrigruError, match=message):
        load_starts(path)
