"""What becomes of options in a plan, and what no plan can be made of."""

import os

import msgspec
import pytest
from support.runs import plan
from trigru.bench.arms.workloads import QUICK as QUICK_WORKLOADS
from trigru.bench.arms.workloads import get_workload
from trigru.bench.commands import options as module
from trigru.bench.commands.arguments import check_folder
from trigru.bench.commands.options import (
    ARMS_AT_ONCE,
    checks_of,
    make_plan,
    read_checks,
)
from trigru.bench.results.arm import Plan, Sized
from trigru.common.equality.checks import CHECKS
from trigru.common.errors import InputError

FIRST_LOOK = ("documented", "nnx.jit-tree", "jit_partial", "functional", "leaves")
QUICK = " ".join(QUICK_WORKLOADS)
STANDARD = "tiny question utterances medium large"
ALL = "forward train_step step"
FEW = "train_step step"
LOOPS = "forward train_step"


def plan_of(
    ports=None, workloads=None, phases=None, styles=None, kernels=None, **options
):
    """The plan of options, of which none has to be given."""
    options.setdefault("quick", False)
    made = make_plan(ports, workloads, phases, styles, kernels, **options)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Plan) == made
    return made


def test_what_is_named_twice_is_in_a_plan_once_and_in_its_order():
    made = plan_of(
        ports=["nnx", "pure", "nnx"],
        workloads=["large", "tiny", "large"],
        phases=["step", "forward", "step"],
        styles=["leaves", "jit", "leaves"],
        kernels=["fused", "stock", "fused"],
    )
    assert made.ports == ("nnx", "pure")
    assert [str(workload) for workload in made.workloads] == ["large", "tiny"]
    assert made.phases == ("step", "forward")
    assert made.styles == ("leaves", "jit")
    assert [str(kernel) for kernel in made.kernels] == ["fused", "stock"]


def test_a_check_that_is_named_twice_is_made_once():
    checks = read_checks(["step", "chunks", "step"])
    assert [check.name for check in checks] == ["step", "chunks"]


@pytest.mark.parametrize("names", [None, []])
def test_without_names_all_checks_are_made(names):
    assert read_checks(names) == CHECKS


def test_a_first_look_has_the_style_leaves_whichever_ports_are_timed():
    assert "leaves" in plan_of(ports=["nnx"], quick=True).styles


@pytest.mark.parametrize(
    ("options", "processes"),
    [({}, 10), ({"quick": True}, 4), ({"quick": True, "processes": 2}, 2)],
)
def test_a_first_look_has_fewer_processes(options, processes):
    assert plan_of(**options).processes == processes


@pytest.mark.parametrize(
    ("options", "workloads", "styles", "phases"),
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
    options, workloads, styles, phases
):
    made = plan_of(**options)
    assert " ".join(map(str, made.workloads)) == workloads
    assert made.styles == styles
    assert " ".join(made.phases) == phases


def test_a_phase_that_a_missing_port_may_have_in_a_style_is_not_refused(monkeypatch):
    def unavailable(name):
        return "no flax" if name == "linen" else None

    monkeypatch.setattr(module, "unavailable", unavailable)
    assert plan_of(phases=["step"], styles=["donated"]).phases == ("step",)


@pytest.mark.parametrize(
    ("size", "devices", "batch"),
    [(3, "2", 4), (4, "1,2,3", 6), (8, "3,2", 12), (7, "4,6", 12)],
)
def test_a_batch_that_devices_cannot_share_is_refused_with_the_next_that_they_can(
    size, devices, batch
):
    with pytest.raises(InputError, match=f"or --size batch={batch}\\.$"):
        plan_of(workloads=["tiny"], sizes=[f"batch={size}"], devices=devices)
    made = plan_of(workloads=["tiny"], sizes=[f"batch={batch}"], devices=devices)
    assert str(made.workloads[0]) == f"tiny@batch={batch}"


@pytest.fixture
def memory(monkeypatch):
    """Sets how many bytes of memory the machine has."""

    def have(memory_bytes):
        monkeypatch.setattr(module, "memory", lambda: memory_bytes)

    return have


MEDIUM_BYTES = ARMS_AT_ONCE * get_workload(Sized("medium")).bytes


@pytest.mark.parametrize("memory_bytes", [MEDIUM_BYTES, None], ids=["enough", "?"])
def test_what_can_be_in_memory_together_is_planned(memory, memory_bytes):
    memory(memory_bytes)
    plan_of(workloads=["medium"])


def test_what_cannot_be_in_memory_together_is_refused(memory):
    memory(MEDIUM_BYTES - 1)
    with pytest.raises(InputError, match=f"of memory for {ARMS_AT_ONCE} arms"):
        plan_of(workloads=["tiny", "medium"])


@pytest.mark.parametrize(
    ("phases", "name"),
    [
        (("forward", "train_step"), "styles"),
        (("gradient",), "styles"),
        (("step",), "step"),
    ],
)
def test_what_a_phase_needs_is_proven(phases, name):
    assert [check.name for check in checks_of(plan(phases=phases))] == [name]


@pytest.fixture
def writable(monkeypatch):
    """Sets whether folders can be written, and gives those that were asked."""
    folders = []

    def can_be(answer):
        def access(path, mode):
            assert mode == os.W_OK
            folders.append(path)
            return answer

        monkeypatch.setattr(os, "access", access)
        return folders

    return can_be


def test_a_folder_is_written_that_is_not_there_yet(tmp_path, writable):
    folders = writable(True)
    check_folder(tmp_path / "not" / "yet")
    assert folders == [tmp_path]


def test_a_folder_that_may_not_be_written_is_refused(tmp_path, writable):
    writable(False)
    message = f"{tmp_path} is not writable. Pass another folder with --output"
    with pytest.raises(PermissionError, match=message):
        check_folder(tmp_path)
