"""Well-formed snapshots and matrices that contradict themselves: each is refused in a sentence."""

import json

import msgspec
import numpy as np
import pytest
from support.environments import SETS, Made
from support.runs import PROOF
from support.snapshots import snapshot_of
from trigru.bench.upgrades.files import DTYPES, FILE, RECORD, SnapshotError, load, name_of, save
from trigru.bench.upgrades.matrix import MatrixFileError, fill, read
from trigru.bench.upgrades.record import PRINT, SIGNATURE, Subject, Trail

DRAWN, STEPS, VALUES = np.eye(6, dtype="float32"), np.array([0, 1, 1, 0, 1], np.int32), np.ones((2, SIGNATURE))
FLOATS, FEW, LINE, NUMBER, CUT = VALUES[0], VALUES[:, :4], STEPS + 1, STEPS * 9, STEPS[:4]
ARRAYS = {name_of(array): array for array in (DRAWN, STEPS, VALUES, FLOATS, FEW, LINE, NUMBER, CUT)}
CALL, OTHER = "forward apply float32", "step apply float32"
PROGRAM = {"dots": 2, "fusions": 1, PRINT: "0123456789ab"}
LINEN = Subject(
    "linen",
    "linen",
    styles={"apply": ""},
    draws={"gru": {".w": name_of(DRAWN)}},
    tree={"gru .w": "float32(6, 6)", "forward result": "float32(3,)"},
    values={"forward in float64": {"carry": name_of(DRAWN)}, CALL: {"carry": name_of(DRAWN)}},
    trails={"forward": Trail(["a.py:1 (add of shape 3)"], name_of(STEPS), name_of(VALUES))},
    programs={CALL: PROGRAM, OTHER: PROGRAM},
    calls={CALL: {"leaves": 5}},
    warnings={"at call, flax/a.py": ["UserWarning: soon"]},
)
GOOD = snapshot_of(LINEN, equality=PROOF[3:6], departures=[("nn.RNN", "has no resets", "on record")])


def linen(**facts):
    return lambda record: record["subjects"][0].update(facts)


def trail(**arrays):
    return lambda record: record["subjects"][0]["trails"]["forward"].update(
        {name: name_of(array) for name, array in arrays.items()}
    )


SNAPSHOTS = {
    "datetime is 'yesterday'": lambda record: record.update(datetime="yesterday"),
    "it has linen twice": lambda record: record["subjects"].append(record["subjects"][0]),
    "it has the departure nn.RNN: has no resets twice": lambda record: record["departures"].append(
        ["nn.RNN", "has no resets", "new"]
    ),
    "linen is of pure, expected linen": linen(framework="pure"),
    "was not there .no flax., and has facts": linen(missing="no flax"),
    "which its command did not ask for": lambda record: record.update(command=["trigru", "snapshot", "--port", "pure"]),
    "its command leaves out equality": lambda record: record.update(command=["trigru", "snapshot", "--no-equality"]),
    "linen was there, and flax was not installed": lambda record: record["machine"]["versions"].pop("flax"),
    "it has GPUs": lambda record: record["machine"].update(gpus=[{}]),
    "has linen .* twice": lambda record: record["equality"].append(record["equality"][0] | {"error": 0.1}),
    "has the check 'magic'": lambda record: record["equality"][0].update(check="magic"),
    "its proof lacks linen": lambda record: [m.update(port="nnx") for m in record["equality"]],
    "forward in float64 failed, and has results": linen(problems={"forward in float64": "TypeError: no"}),
    "in a call style that is not there": linen(styles={"apply": "linen has no apply"}),
    "at magic, which is no time and place": linen(warnings={"magic": ["UserWarning: soon"]}),
    "with other operations": linen(programs={CALL: PROGRAM, OTHER: PROGRAM | {"dots": 3}}),
    "programs": linen(programs={CALL: PROGRAM | {"dots": -5}}),
    "has 2 leaves, fewer": linen(calls={CALL: {"leaves": 2}}),
    "the tree has nothing for gru .w": linen(tree={"forward result": "float32(3,)"}),
    r"the tree has float32\(600, 600\) for gru .w": linen(tree={"gru .w": "float32(600, 600)"}),
    "steps of lines or values": trail(steps=LINE),
    "of lines or values that are not": trail(steps=NUMBER),
    "lines or values that are not there": trail(steps=CUT),
    "other arrays than numbers": trail(steps=FLOATS),
    "has 4 numbers in a signature": trail(signatures=FEW),
}


@pytest.mark.parametrize("said", SNAPSHOTS)
def test_a_snapshot_that_contradicts_itself_is_refused(tmp_path, said):
    save(tmp_path, GOOD, ARRAYS)
    assert load(tmp_path)[0] == GOOD
    record = json.loads(msgspec.json.encode(GOOD))
    SNAPSHOTS[said](record)
    from safetensors.numpy import save_file

    beside = {RECORD: record, DTYPES: {}}
    metadata = {name: json.dumps(content) for name, content in beside.items()}
    save_file(ARRAYS, tmp_path / FILE, metadata=metadata)
    with pytest.raises(SnapshotError, match=said) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_bound_that_no_version_sets_proves_nothing():
    from trigru.bench.upgrades.changes import changes
    from trigru.bench.upgrades.matrix import facts_of

    wrong = [msgspec.convert(msgspec.to_builtins(PROOF[3]) | {"error": 0.5, "bound": 900.0}, type=type(PROOF[3]))]
    (found,) = changes((GOOD, ARRAYS), (msgspec.structs.replace(GOOD, equality=wrong), ARRAYS))
    assert (found.kind, found.subject) == ("broken", "linen")
    assert facts_of(msgspec.structs.replace(GOOD, equality=wrong))["linen"]["equal"] == "1 failed"


MATRICES = {
    "has the version set jax==0.1.0 twice": lambda rows: rows.append(rows[1]),
    "datetime is '2025-13-99'": lambda rows: rows[1].update(day="2025-13-99"),
    "has facts, and could not be installed": lambda rows: rows[1].update(reason="could not be installed"),
    "has facts, and no versions": lambda rows: rows[1].update(versions={}),
    "requires jax==0.1.0": lambda rows: rows[1]["versions"].update(jax="99.9.9"),
    "does not run with jaxlib": lambda rows: rows[1]["versions"].update(jaxlib="0.4.1"),
    "changes of pure as magic": lambda rows: rows[1]["counts"]["pure"].update(magic=1),
    "counts 9 changes of pure as broken": lambda rows: rows[1]["counts"]["pure"].update(broken=9),
    "counts 0 changes of pure as calls": lambda rows: rows[1].update(counts={}),
    "counts": lambda rows: rows[1]["counts"]["pure"].update(calls=-3),
    "seconds": lambda rows: rows[1].update(seconds=[-5.0]),
}


@pytest.mark.parametrize("said", MATRICES)
def test_a_matrix_that_contradicts_itself_is_refused(tmp_path, trigru, said):
    fill(SETS[:2], tmp_path, Made(), command=[])
    file = tmp_path / "matrix.json"
    content = json.loads(file.read_bytes())
    MATRICES[said](content["rows"])
    file.write_text(json.dumps(content))
    with pytest.raises(MatrixFileError, match=said):
        read(tmp_path)
