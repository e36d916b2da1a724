"""What becomes of options in a plan, and what no plan can be made of."""

import os

import msgspec
import pytest
from support.runs import plan
from trigru.bench.arms.workloads import get_workload
from trigru.bench.commands import options
from trigru.bench.commands.arguments import check_folder
from trigru.bench.commands.options import checks_of, make_plan, read_checks
from trigru.bench.results.arm import Plan, Sized
from trigru.common.errors import InputError

FIRST_LOOK = ("documented", "leaves", "nnx.jit-tree", "jit_partial", "functional")
QUICK, STANDARD = " ".join(options.QUICK), "tiny question utterances medium large"
ALL, FEW, LOOPS = "forward train_step step", "train_step step", "forward train_step"


def asked(ports=None, workloads=None, phases=None, styles=None, kernels=None, **how):
    made = make_plan(
        ports, workloads, phases, styles, kernels, **{"quick": False} | how
    )
    assert msgspec.json.decode(msgspec.json.encode(made), type=Plan) == made
    return made


def test_what_is_named_twice_is_in_a_plan_once_and_in_its_order():
    found = asked(
        ["nnx", "pure", "nnx"],
        ["large", "tiny", "large"],
        ["step", "forward", "step"],
        ["leaves", "jit", "leaves"],
        ["fused", "stock", "fused"],
    )
    assert (found.ports, found.styles, found.phases) == (
        ("nnx", "pure"),
        ("leaves", "jit"),
        ("step", "forward"),
    )
    assert list(map(str, found.workloads)) == ["large", "tiny"]
    assert list(map(str, found.kernels)) == ["fused", "stock"]
    assert [check.name for check in read_checks(["step", "chunks", "step"])] == [
        "step",
        "chunks",
    ]
    assert read_checks([]) is read_checks(None) is None
    assert "leaves" in asked(["nnx"], quick=True).styles, "whichever ports are timed"
    assert [
        asked().processes,
        asked(quick=True).processes,
        asked(quick=True, processes=2).processes,
    ] == [10, 4, 2]


@pytest.mark.parametrize(
    ("named", "workloads", "styles", "phases"),
    [
        ({}, STANDARD, None, ALL),
        ({"quick": True}, QUICK, FIRST_LOOK, FEW),
        ({"quick": True, "styles": ["donated"]}, QUICK, ("donated",), "train_step"),
        ({"styles": ["donated", "jit"]}, STANDARD, ("donated", "jit"), ALL),
        (
            {"styles": ["donated"], "phases": ["train_step"]},
            STANDARD,
            ("donated",),
            "train_step",
        ),
        (
            {"styles": ["documented", "functional"]},
            STANDARD,
            ("documented", "functional"),
            ALL,
        ),
        (
            {"styles": ["leaves"], "kernels": ["fused"]},
            f"{STANDARD} long",
            ("leaves",),
            LOOPS,
        ),
        (
            {"phases": ["gradient", "step"], "kernels": ["fused"]},
            f"{STANDARD} long",
            None,
            "gradient step",
        ),
        ({"kernels": ["fused", "stock"], "quick": True}, QUICK, None, LOOPS),
        ({"devices": "1"}, STANDARD, None, ALL),
        ({"devices": "1", "quick": True}, QUICK, FIRST_LOOK, FEW),
        ({"devices": "1,2"}, "medium large", None, LOOPS),
        ({"devices": "1,2", "quick": True}, "medium large", None, LOOPS),
        ({"devices": "1,2", "kernels": ["fused"]}, "medium large", None, LOOPS),
        ({"devices": "1,2", "workloads": ["long"]}, "long", None, LOOPS),
        ({"sizes": ["hidden=7"]}, "question@hidden=7", FIRST_LOOK, FEW),
        (
            {"sizes": ["hidden=6,batch=3", "inputs=20,hidden=200"]},
            "question@batch=3@hidden=6 question",
            FIRST_LOOK,
            FEW,
        ),
        (
            {"sizes": ["hidden=7"], "workloads": ["tiny", "large"]},
            "tiny@hidden=7 large@hidden=7",
            FIRST_LOOK,
            FEW,
        ),
        (
            {"sizes": ["hidden=4", "time=5,6"]},
            "question@hidden=4 question@time=5 question@time=6",
            None,
            ALL,
        ),
        (
            {"sizes": ["hidden=4,200"]},
            "question@hidden=4 question@hidden=200",
            None,
            ALL,
        ),
        (
            {"sizes": ["hidden=4,time=6,7"]},
            "question@time=6@hidden=4 question@time=7@hidden=4",
            None,
            ALL,
        ),
    ],
)
def test_a_plan_has_the_workloads_styles_and_phases_named_or_usual(
    named, workloads, styles, phases
):
    found = asked(**named)
    assert " ".join(map(str, found.workloads)) == workloads
    assert (found.styles, " ".join(found.phases)) == (styles, phases)


def test_a_phase_that_a_missing_port_may_have_in_a_style_is_not_refused(monkeypatch):
    monkeypatch.setattr(
        options, "unavailable", lambda name: "no flax" if name == "linen" else None
    )
    assert asked(phases=["step"], styles=["donated"]).phases == ("step",), (
        "linen's styles are not known"
    )


@pytest.mark.parametrize(
    ("size", "devices", "batch"),
    [(3, "2", 4), (4, "1,2,3", 6), (8, "3,2", 12), (7, "4,6", 12)],
)
def test_a_batch_that_devices_cannot_share_is_refused_with_the_next_that_they_can(
    size, devices, batch
):
    with pytest.raises(InputError, match=f"or --size batch={batch}\\.$"):
        asked(workloads=["tiny"], sizes=[f"batch={size}"], devices=devices)
    found = asked(workloads=["tiny"], sizes=[f"batch={batch}"], devices=devices)
    assert str(found.workloads[0]) == f"tiny@batch={batch}"


def test_what_cannot_be_in_memory_together_is_refused(monkeypatch):
    needed = options.ARMS_AT_ONCE * get_workload(Sized("medium")).bytes
    for there in (needed, None):
        monkeypatch.setattr(options, "memory", lambda there=there: there)
        asked(workloads=["medium"])
    monkeypatch.setattr(options, "memory", lambda: needed - 1)
    with pytest.raises(InputError, match=f"of memory for {options.ARMS_AT_ONCE} arms"):
        asked(workloads=["tiny", "medium"])


def test_what_a_phase_needs_is_proven():
    for phases, name in (
        (("forward", "train_step"), "styles"),
        (("gradient",), "styles"),
        (("step",), "step"),
    ):
        assert [check.name for check in checks_of(plan(phases=phases))] == [name]


def test_a_folder_that_may_not_be_written_is_said_and_one_that_is_not_there_yet_may_be(
    tmp_path, monkeypatch
):
    looked = []
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: looked.append((path, mode)) or not len(looked) > 1,
    )
    check_folder(tmp_path / "not" / "yet")
    with pytest.raises(
        PermissionError,
        match=f"{tmp_path} is not writable. Pass another folder with --output",
    ):
        check_folder(tmp_path)
    assert looked == [(tmp_path, os.W_OK)] * 2
