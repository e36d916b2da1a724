"""Well-formed files that contradict themselves, or claim what they do not bear out: each is refused in a sentence."""

import json
from pathlib import Path

import pytest
from support.files import at, rewrite
from support.runs import ARMS, PROOF, draw_run, save, with_provenance
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.starts import load_starts
from trigru.common.errors import TrigruError

BEGUN, PLAN, PROVEN = "trigru begun", "trigru begun plan", "trigru begun equality"
LINEN = "benchmarks 2 extra_info trigru 0"
EACH, MACHINES = "benchmarks * extra_info trigru *", "trigru started * machine"
COLD_STARTS = Path(__file__).parents[3] / "docs" / "results" / "cold_start.json"


def lost(*words, places=(f"{BEGUN} arms", "benchmarks")):
    """Lists lose what has all of these words."""

    def change(items):
        items[:] = [item for item in items if not all(word in json.dumps(item) for word in words)]

    return dict.fromkeys(places, change)


def reasons(of, reason="it broke", **facts):
    """The arms of a port, with other facts, have a reason why they have no number."""
    return lambda records: records["untimed"].extend(
        {"type": "Untimed", "arm": arm | facts, "reason": reason}
        for arm in records["begun"]["arms"]
        if arm["port"] == of
    )


def more(place, **facts):
    """A measurement more, like that at a place, with other facts."""
    return lambda proof: proof.append(proof[place] | facts)


#: Of each kind of file what is said of a lie, and the lie: what is changed at each place.
LIES = {load: {
    # what was asked for, and what is there
    "the plan has linen, which has neither a number nor a reason": lost("linen"),
    "the plan has torch9, which has neither": {f"{PLAN} peers": lambda names: names.append("torch9")},
    "the plan has question/forward": {f"{PLAN} workloads": lambda works: works.append({"name": "question"})},
    "is not what the plan asked for": {f"{PLAN} ports": lambda ports: ports.remove("linen")},
    "the plan has linen as a peer": {PLAN: {"ports": ["pure", "nnx", "equinox"], "peers": ["linen"]}},
    "have, or that the plan did not ask for": {PLAN: {"styles": ["leaves", "functional"]}},
    "has a number, and a reason why": {"trigru": reasons("linen")},
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
    "not proven equal, and its proof passes": {
        **lost("equinox", places=["benchmarks"]), "trigru": reasons("equinox", "not proven equal: training"),
    },
    "the plan has medium/forward.*linen.documented., which has neither": lost("medium", "linen"),
    "is no arm of the run": {"trigru": reasons("linen", port="nnx")},
    "unknown workload 'banana'": {
        "": lambda file: file.update(json.loads(json.dumps(file).replace("tiny", "banana"))),
    },
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
}, load_starts: {
    "of length >= 1": {"": {"starts": []}},
    "float` >= 0.0": {"starts 0": {"import_s": -1.0}},
    "int` >= 0": {"starts 0": {"peak_bytes": -1}},
    "of several call styles": {"starts 0": {"style": "another"}},
    "schema 1, expected": {"": {"schema": 1}},
    "a start twice": {"starts": lambda starts: starts.append(starts[0])},
    "it has GPUs": {"machine": {"gpus": [{}]}},
}}  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Files that are taken, by what reads them: a small run with a proof, and cold starts."""
    path = tmp_path_factory.mktemp("good") / "results.json"
    arms = {name: ratio for name, ratio in ARMS.items() if not name.startswith("torch")}
    run = draw_run(1, arms=arms, groups=("tiny/forward", "medium/forward"), processes=2, rounds=7)
    save(with_provenance(run, equality=PROOF[:12]), path)
    files = {load: path, load_starts: COLD_STARTS}
    for read, file in files.items():
        read(file)
    return {read: file.read_bytes() for read, file in files.items()}


@pytest.mark.parametrize(("read", "message"), [(read, message) for read, lies in LIES.items() for message in lies])
def test_a_file_that_contradicts_itself_is_refused(good, tmp_path, read, message):
    path = tmp_path / "file.json"
    path.write_bytes(good[read])
    for place, change in LIES[read][message].items():
        rewrite(path, at(place, change))
    with pytest.raises(TrigruError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
