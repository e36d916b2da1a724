"""Well-formed snapshots and matrices that contradict themselves: each is refused in a sentence."""

import json

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file
from support.environments import SETS, Made
from support.files import rewrite
from support.runs import PROOF
from support.snapshots import snapshot_of
from trigru.bench.results.lines import with_checksum
from trigru.bench.upgrades.files import DTYPES, FILE, RECORD, SnapshotError, load, name_of, save
from trigru.bench.upgrades.matrix import MatrixFileError, fill, read
from trigru.bench.upgrades.record import SIGNATURE, Subject, Trail

DRAWN, STEPS, VALUES = np.eye(6, dtype="float32"), np.array([0, 1, 1, 0, 1], np.int32), np.ones((2, SIGNATURE))
FLOATS, FEW, LINE, NUMBER, CUT = VALUES[0], VALUES[:, :4], STEPS + 1, STEPS * 9, STEPS[:4]
ARRAYS = {name_of(array): array for array in (DRAWN, STEPS, VALUES, FLOATS, FEW, LINE, NUMBER, CUT)}
CALL = "forward apply float32"
LINEN = Subject(
    "linen",
    "linen",
    draws={"gru": {".w": name_of(DRAWN)}},
    values={"forward in float64": {"carry": name_of(DRAWN)}, CALL: {"carry": name_of(DRAWN)}},
    trails={"forward": Trail(["a.py:1 (add of shape 3)"], name_of(STEPS), name_of(VALUES))},
    programs={CALL: {"dots": 2}},
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
    "was not there .no flax., and has facts": linen(missing="no flax"),
    "linen was there, and flax was not installed": lambda record: record["machine"]["versions"].pop("flax"),
    "it has GPUs": lambda record: record["machine"].update(gpus=[{}]),
    "has linen .* twice": lambda record: record["equality"].append(record["equality"][0] | {"error": 0.1}),
    "its proof lacks linen": lambda record: [m.update(port="nnx") for m in record["equality"]],
    "forward in float64 failed, and has results": linen(problems={"forward in float64": "TypeError: no"}),
    "programs": linen(programs={CALL: {"dots": -5}}),
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
    save_file(ARRAYS, tmp_path / FILE, metadata={RECORD: with_checksum(record).decode(), DTYPES: "{}"})
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
    "counts": lambda rows: rows[1]["counts"]["pure"].update(calls=-3),
    "seconds": lambda rows: rows[1].update(seconds=[-5.0]),
}


@pytest.mark.parametrize("said", MATRICES)
def test_a_matrix_that_contradicts_itself_is_refused(tmp_path, trigru, said):
    fill(SETS[:2], tmp_path, Made(), command=[])
    rewrite(tmp_path / "matrix.json", lambda content: MATRICES[said](content["rows"]))
    with pytest.raises(MatrixFileError, match=said):
        read(tmp_path)
