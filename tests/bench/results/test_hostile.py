"""Files that are damaged, strange or contradict themselves, to every reader: taken whole, or refused in a sentence."""

import json
import os
import re
import tempfile
import time
from functools import cache
from pathlib import Path

import pytest
from support.files import (
    BAD_ARRAYS,
    CALL,
    GOOD,
    SEALED,
    at,
    formatted_anew,
    opened,
    rewrite,
    with_text,
)
from trigru.bench.analysis.merge import load
from trigru.bench.commands import matrix
from trigru.bench.reporting.answer import show_run
from trigru.bench.upgrades import record
from trigru.bench.upgrades.record import name_of
from trigru.common.errors import TrigruError
from trigru.impls import checkpoints

SLOW_S, TRIED = 10, 40


def show_all(path):
    run = load(path)
    show_run(run, details=True)
    show_run(run, json=True)


#: By name of a file, what reads it, and what shows it.
READERS = {
    "results.json": (load, show_all),
    "results.partial.jsonl": (load, show_all),
    record.FILE: (lambda path: record.load(path.parent),),
    "matrix.json": (matrix.read, lambda path: matrix.matrix_tables(matrix.read(path))),
}


@cache
def good(name):
    """The content of a good file, which is read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        GOOD[name](path)
        read(path)
        return path.read_bytes()


def read(path):
    return READERS.get(path.name, (checkpoints.read,))[0](path)


# Contradictions

BEGUN, PLAN, PROVEN = "trigru begun", "trigru begun plan", "trigru begun equality"
OF_GROUP, OF_LINEN = "trigru groups_timed 0", "trigru groups_timed 0 timed 2"
EACH_GROUP, EACH = "trigru groups_timed * timed", "trigru groups_timed * timed *"
OF_SUBJECT, OF_TRAIL = "subjects 0", "subjects 0 trails forward"


def twice(records):
    """A list has its first item twice."""
    records.append(records[0])


def lost(*words, places=(f"{BEGUN} arms", EACH_GROUP)):
    """Lists lose what has all of these words."""

    def change(items):
        items[:] = [
            item
            for item in items
            if not all(word in json.dumps(item) for word in words)
        ]

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


def stranger(*arms, port="torch9"):
    """The plan has a peer, and the run arms of it: those of linen's first arm, with other facts."""
    made = [{"port": port} | facts for facts in arms]
    return {
        f"{PLAN} peers": lambda names: names.append("torch9"),
        f"{BEGUN} arms": lambda records: records.extend(
            records[2] | facts for facts in made
        ),
    }


#: Of each kind of file what is said of a lie, and the lie: what is changed at each place.
LIES = {
    "results.json": {
        # what a field cannot have
        "schema 99, expected": {"trigru": {"schema": 99}},
        "matching regex": {f"{BEGUN} arms 2": {"dtype": "float7"}},
        "int` >= 1": {
            f"{BEGUN} arms 2": {"workload": {"name": "tiny", "sizes": {"hidden": 0}}}
        },
        "of length >= 1 - at .*workloads": {PLAN: {"workloads": []}},
        "float` <= 1.0 .*gate": {OF_LINEN: {"gate": 1.5}},
        "float` >= 1e-12 - at .*times_s": {
            f"{OF_LINEN} times_s": {"blocked": [-1.0] * 3}
        },
        "float` <= .*times_s": {f"{OF_LINEN} times_s": {"blocked": [1e9] * 3}},
        "of length >= 1 - at .*times_s": {f"{OF_LINEN} times_s": {"blocked": []}},
        "int` >= 0": {OF_GROUP: {"process": -1}},
        "int` <= ": {"trigru": {"interruptions": 10**15}},
        "process 0 of nonsense is none of the run": {OF_GROUP: {"group": "nonsense"}},
        # what was asked for, and what is there
        "the plan has linen, which has neither a number nor a reason": lost("linen"),
        "the plan has torch9, which has neither": {
            f"{PLAN} peers": lambda names: names.append("torch9")
        },
        "the plan has question/forward": {
            f"{PLAN} workloads": lambda works: works.append({"name": "question"})
        },
        "the plan has 2 devices": {
            f"{PLAN} devices": lambda devices: devices.append(2)
        },
        "the plan has medium/forward.*linen.documented., which has neither": lost(
            "medium", "linen"
        ),
        "the plan has tiny/forward.*nnx.functional., which has neither": lost(
            "nnx", "split-merge"
        ),
        "linen.apply., which has neither a number": {
            f"{OF_GROUP} timed": lambda timed: timed.pop(2)
        },
        "not all of its 3 processes measured everything": {PLAN: {"processes": 3}},
        "is not what the plan asked for": {
            f"{PLAN} ports": lambda ports: ports.remove("linen")
        },
        "the plan has linen as a peer": {
            PLAN: {"ports": ["pure", "nnx", "equinox"], "peers": ["linen"]}
        },
        "nnx.nnx.jit. is not what the plan asked for": {
            PLAN: {"styles": ["leaves", "functional"]}
        },
        "ports of the plan have nnx twice": {
            f"{PLAN} ports": lambda ports: ports.append("nnx")
        },
        "has role 'arm', expected 'baseline'": {f"{BEGUN} arms 0": {"role": "arm"}},
        "has way 'placed', expected ''": {f"{BEGUN} arms 3": {"way": "placed"}},
        "has labels .'functional',., expected .'documented',.": {
            f"{BEGUN} arms 3": {"labels": ["functional"]}
        },
        "question/.*torch9.apply. is not what the plan": stranger(
            {"workload": {"name": "question"}}
        ),
        "other9.apply. is not what the plan asked for": stranger({}, port="other9"),
        "torch9.apply.#2 is not what the plan asked for": stranger({"copy": 2}),
        "torch9.apply.:fused is not what the plan asked": stranger({"kernel": "fused"}),
        "torch9.apply. on 2, placed is not what the plan": stranger(
            {"devices": 2, "way": "placed"}
        ),
        "torch9.apply. is not what the plan asked for": stranger({"way": "placed"}),
        "two call styles with one label: torch9": stranger(
            {"style": "a"}, {"style": "b"}
        ),
        "the arm .* is there twice": {
            f"{BEGUN} arms": lambda arms: arms.append(arms[2])
        },
        "is no arm of the run": {"trigru": reasons("linen", port="nnx")},
        "has a number, and a reason why": {"trigru": reasons("linen")},
        "not proven equal, and its proof passes": {
            **lost("equinox", places=[EACH_GROUP]),
            "trigru": reasons("equinox", "not proven equal: training"),
        },
        # what was proven
        "was not proven equal": {f"{PROVEN} *": {"error": 5.0, "bound": 1e300}},
        "but no proof in float64 of what was timed": {
            f"{PROVEN} *": {"dtype": "float32"}
        },
        "linen.* but no proof": {PROVEN: lambda proof: proof.pop(3)},
        "has linen .* twice": {PROVEN: more(3)},
        "pure.* but no proof in float64 of": {
            PROVEN: lambda proof: proof.__setitem__(slice(None), proof[::3])
        },
        "pure.* no proof in float64 of what was timed": {
            PROVEN: lambda proof: [
                m.update(check="contract") for m in proof if m["check"] == "step"
            ],
        },
        "its proof is of torch with the kernel stock, which": {
            PROVEN: more(0, port="torch")
        },
        "its proof is of .* the kernel fused, which the plan": {
            PROVEN: more(0, kernel="fused")
        },
        "elsewhere than its samples: backend gpu -> cpu": {BEGUN: {"backend": "gpu"}},
        "elsewhere than its samples: .*jax 9.9 -> 0.12.0": {
            BEGUN: {"versions": {"jax": "9.9"}}
        },
        "elsewhere than its samples: commit other -> abc": {BEGUN: {"commit": "other"}},
        "its proof lacks training in float64: carry of pure": {
            f"{PROVEN} 2": {"quantity": "x"}
        },
        "its proof lacks long in float64 of": {PROVEN: more(3, check="long")},
        "its proof lacks the call style of": {f"{PROVEN} *": {"style": "leaves"}},
        # what was measured
        "first results were not compared": {OF_LINEN: {"gate": None}},
        "ran on A CPU .gpu., and its process": {OF_LINEN: {"backend": "gpu"}},
        "ran on another": {OF_LINEN: {"device": "another"}},
        "have other numbers of rounds": {
            f"{OF_LINEN} times_s blocked": lambda values: values.append(1)
        },
        "is none of the run, or has other arms": {OF_LINEN: {"arm": "another"}},
        "no times by the clock that leads, pipelined": {EACH: {"clock": "pipelined"}},
        "timed by the pipelined clock on cpu": {
            EACH: {"clock": "pipelined", "times_s": {"pipelined": [1e-3] * 3}}
        },
        # processes and machines
        "process 2 of tiny.* is none of the run": {
            f"trigru groups_timed {n}": {"process": 2} for n in (2, 3)
        },
        "ran on different machines": {"trigru started 1 machine": {"threads": 3}},
        "lacks the limits of the machine": {"trigru started 0": {"ceilings": {}}},
        "copy_gbyte_per_s": {
            "trigru started 1 ceilings float32": {"copy_gbyte_per_s": 1e15}
        },
        "before its process started": {"trigru started": lambda started: started.pop()},
        "datetime is 'yesterday', expected one like": {
            "trigru ended": {"datetime": "yesterday"}
        },
    },
    record.FILE: {
        "datetime is 'yesterday'": {"": {"datetime": "yesterday"}},
        "it has linen twice": {"subjects": twice},
        "was not there .no flax., and has facts": {OF_SUBJECT: {"missing": "no flax"}},
        "has linen .* twice": {"equality": more(0, error=0.1)},
        "its proof lacks linen": {"equality *": {"port": "nnx"}},
        "forward in float64 failed, and has results": {
            OF_SUBJECT: {"problems": {"forward in float64": "TypeError: no"}}
        },
        "programs": {f"{OF_SUBJECT} programs": {CALL: {"dots": -5}}},
        "linen: the trail of forward has a step .* .1, 2, 2, 1, 2.": {
            OF_TRAIL: {"steps": name_of(BAD_ARRAYS["line"])}
        },
        "begins with .0, 9, 9, 0, 9., expected one of 1 lines": {
            OF_TRAIL: {"steps": name_of(BAD_ARRAYS["number"])}
        },
        "begins with .0, 1, 1, 0., expected .* 2 values": {
            OF_TRAIL: {"steps": name_of(BAD_ARRAYS["cut"])}
        },
        "linen: .* forward has steps of dtype float64": {
            OF_TRAIL: {"steps": name_of(BAD_ARRAYS["floats"])}
        },
        "schema 5, expected": {"": {"schema": 5}},
        "signatures of .* shape .2, 4., expected rows of 5": {
            OF_TRAIL: {"signatures": name_of(BAD_ARRAYS["few"])}
        },
    },
    "matrix.json": {
        "has the version set jax==1 twice": {"rows": twice},
        "datetime is '2025-13-99'": {"rows 1": {"day": "2025-13-99"}},
        "has facts, and could not be installed": {
            "rows 1": {"reason": "could not be installed"}
        },
        "has facts, and no versions": {"rows 1": {"versions": {}}},
        "schema 9, expected": {"": {"schema": 9}},
        "required field `command`": {"": lambda record: record.pop("command")},
    },
}


@pytest.mark.parametrize(
    ("name", "message"),
    [(name, message) for name, lies in LIES.items() for message in lies],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, name, message):
    path = tmp_path / name
    path.write_bytes(good(name))
    for place, change in LIES[name][message].items():
        rewrite(path, at(place, change))
    with pytest.raises(TrigruError, match=message) as caught:
        read(path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", SEALED)
def test_a_file_that_is_cut_changed_or_not_there_is_refused(tmp_path, name):
    content = good(name)
    for damaged, said in (
        (
            content.replace(b"cpu", b"gpu").replace(b"CPU", b"GPU"),
            "changed after trigru wrote it",
        ),
        (b"\xff" * 64, "it is no|not a run|decode byte 0xff"),
        (None, "No such file"),
    ):
        (tmp_path / name).unlink(missing_ok=True) if damaged is None else (
            tmp_path / name
        ).write_bytes(damaged)
        with pytest.raises(TrigruError, match=said):
            read(tmp_path / name)


@pytest.mark.parametrize("name", SEALED)
def test_a_file_that_was_formatted_anew_is_read(tmp_path, name):
    (tmp_path / name).write_bytes(with_text(good(name), formatted_anew))
    read(tmp_path / name)


@pytest.mark.parametrize("name", SEALED)
@pytest.mark.parametrize(
    ("pattern", "other", "message"),
    [
        (rb'("\w+": ?(?:"[^"]*"|\d+))', rb"\1,\1", "an object has .* twice"),
        (
            rb"{",
            rb'{"a":9007199254740993,',
            r"an integer is 9007199254740993, expected at most 2\*\*53",
        ),
    ],
)
def test_json_on_which_readers_would_not_agree_is_refused(
    tmp_path, name, pattern, other, message
):
    (tmp_path / name).write_bytes(
        with_text(good(name), lambda text: re.sub(pattern, other, text, count=1))
    )
    with pytest.raises(TrigruError, match=message):
        read(tmp_path / name)


# Damage

#: In place of a value: what JSON can say, and what no file of trigru has.
VALUES = (
    -1,
    0,
    3,
    1e-300,
    1e308,
    -0.0,
    None,
    True,
    1.5,
    [],
    {},
    [[]],
    "",
    "\x1b[31mred\x9b",
    "<script>alert(1)</script>",
    "pure",
    "../../etc",
    "baseline",
    "x" * 100_000,
    "\u202e",
    "2026-99-99",
    "fused",
)
NO_VALUES = (
    b"NaN",
    b"1e400",
    b"9" * 400,
    b"[" * 20_000 + b"]" * 20_000,
    b'"\\ud800"',
    b'{"a": 1, "a": 2}',
)
#: What may stand in place of a file, none of a bounded size: a pipe, a folder, a loop, an endless device, or nothing.
STRANGE = (
    os.mkfifo,
    lambda path: os.symlink(path, path),
    lambda path: os.symlink("/dev/zero", path),
    lambda path: None,
    lambda path: (path.touch(), os.truncate(path, 2**40)),
    os.mkdir,
)


def is_taken(path):
    """Whether a file is taken; fails if it is refused in anything but a sentence, or slowly."""
    began, message = time.monotonic(), "it is taken"
    try:
        for use in READERS.get(path.name, (checkpoints.read,)):
            use(path)
    except TrigruError as error:
        message = str(error)
    assert 0 < len(message) <= 2000
    assert message.isprintable(), message
    assert time.monotonic() - began < SLOW_S
    return message == "it is taken"


def places_in(content):
    """The containers in a document, each with a key of it."""
    for key in content if isinstance(content, dict) else range(len(content)):
        yield content, key
        if isinstance(content[key], dict | list):
            yield from places_in(content[key])


def spoiled(content, rng):
    """A file with other bytes: cut, lengthened, encoded otherwise, or with something that is no value of JSON."""
    at, value = (
        int(rng.integers(len(content))),
        rng.choice(list(re.finditer(rb'"[^"]*"|[-+.\de]+', content))).span(),
    )
    flipped = bytes([content[at] ^ 1 << int(rng.integers(8))])
    kinds = [
        b"",
        content[:at],
        content + content,
        b"\xef\xbb\xbf" + content,
        content.decode("latin1").encode("utf-16"),
        content[:at] + flipped + content[at + 1 :],
        content[:at] + rng.bytes(5) + content[at:],
    ]
    kinds += [content[: value[0]] + other + content[value[1] :] for other in NO_VALUES]
    return kinds[rng.integers(len(kinds))]


def bent(
    content,
    rng,
    actions=("replace", "replace", "replace", "delete", "rename", "repeat"),
):
    """A file with another value or name at some place, or with an item twice or missing; its checksum is made anew."""
    whole, close = opened(content)
    places = list(places_in(whole))
    parent, key = places[
        int(len(places) * rng.random() ** 3)
    ]  # more often of those that stand first
    match rng.choice(actions):
        case "delete":
            del parent[key]
        case "rename" if isinstance(parent, dict):
            parent[f"{key}_"] = parent.pop(key)
        case "repeat" if isinstance(parent, list):
            parent.insert(key, parent[key])
        case _:
            parent[key] = VALUES[rng.integers(len(VALUES))]
    return close(whole)


@pytest.mark.parametrize("name", GOOD)
def test_a_damaged_or_strange_file_is_taken_whole_or_refused(
    tmp_path, name, rng, quick_bootstrap, capsys
):
    path, content = tmp_path / name, good(name)
    for _ in range(TRIED):
        is_bent = name in SEALED and rng.random() < 0.7
        path.write_bytes(changed := (bent if is_bent else spoiled)(content, rng))
        is_taken(path)
        if is_bent and opened(changed)[0] != opened(content)[0]:
            checksums = (re.findall(rb"[0-9a-f]{64}", of) for of in (changed, content))
            for anew, written in zip(*checksums, strict=False):
                changed = changed.replace(anew, written)
            path.write_bytes(changed)  # with the checksums of before
            assert not is_taken(path)
    path.write_bytes(content)
    assert is_taken(path)
    assert capsys.readouterr().out.replace("\n", "").isprintable()
    for make in STRANGE:
        path.unlink(missing_ok=True)
        make(path)
        assert not is_taken(path)
        path.rmdir() if path.is_dir() else None
