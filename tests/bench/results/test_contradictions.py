"""What records may not say together, in whichever file they stand."""

from dataclasses import replace

import msgspec
import pytest
from support.processes import ARMS, FORWARD, LINEN, STARTED, STEP, begun, timed
from support.runs import EQUAL, MACHINE, make_arm
from trigru.bench.results.arm import Untimed
from trigru.bench.results.contradictions import check_proven
from trigru.bench.results.run import Ended, GroupTimed, Run
from trigru.common.equality.measurement import Measurement

changed = msgspec.structs.replace
STRANGER = make_arm("nnx[pytree]")


def group(arms=ARMS[:3], process=0, name=STEP, **facts):
    return GroupTimed(name, process, [changed(timed(process, arm), **facts) for arm in arms])


LONGER = {"time_s": [1.0] * 5, "started_s": [0.0] * 5}
#: What is said of the lines that a run has, by what makes them.
RUNS = {
    "it has no beginning": lambda: [STARTED],
    "it has a second beginning, or goes on after its end": lambda: [begun(), begun()],
    "it has a second beginning": lambda: [begun(), Ended("2026-01-31T12:00:00", "A CPU", 0.0), STARTED],
    "a group was timed before its process started": lambda: [begun(), group()],
    "process 0 has tiny/step/float32/stock twice": lambda: [begun(), STARTED, group(), group()],
    "process 7 has tiny/step/float32/stock twice, or is none of the run": lambda: [begun(), STARTED, group(process=7)],
    "or has other arms": lambda: [begun(), STARTED, group(ARMS[4:5])],
    "process 0 has nothing twice": lambda: [begun(), STARTED, group(ARMS[:1], name="nothing")],
    "nnx.* is no arm of the run": lambda: [begun(), Untimed(STRANGER, "it broke")],
    "nnx.* is no arm of the run$": lambda: [begun(untimed=[Untimed(STRANGER, "it broke")])],
    "lacks the limits of the machine": lambda: [begun(), changed(STARTED, ceilings={})],
    "its processes ran on different machines": lambda: [
        begun(), STARTED, changed(STARTED, machine=changed(MACHINE, threads=3))
    ],
    "position has 3 items, expected 4": lambda: [group(position=[0, 1, 2])],
    "time_s of .* has 4 items, expected 5": lambda: [
        GroupTimed(STEP, 0, [changed(timed(0, ARMS[0]), **LONGER, position=[0] * 5), timed(0, ARMS[1])])
    ],
    "two arms of group .* have one position": lambda: [group(position=[0] * 4)],
    "is there twice": lambda: [group(ARMS[:1] * 2)],
    "gate is there, and so is differs": lambda: [group(ARMS[:1], differs="in its biases")],
    "has more rounds of .* than the plan": lambda: [
        begun(), STARTED, group(ARMS[:1], **LONGER, position=[0] * 5)
    ],
    "it was timed by two clocks": lambda: [
        begun(), STARTED, group(), group(ARMS[3:], name=FORWARD, clock="pipelined")
    ],
    "has a number, though the run began with a reason": lambda: [
        begun(untimed=[Untimed(LINEN, "not proven equal")]), STARTED, group()
    ],
    "has no baseline, or several": lambda: [changed(begun(), arms=ARMS[1:])],
    "the arm .* is there twice": lambda: [changed(begun(), arms=[*ARMS, ARMS[0]])],
    "the arm .*linen.* is there twice": lambda: [begun(untimed=[Untimed(LINEN, "it broke")] * 2)],
    "is not what the plan asked for": lambda: [changed(begun(), arms=[*ARMS, STRANGER])],
    "has a number, but was not proven equal": lambda: [begun(equality=[replace(EQUAL, error=1.0)])],
    "cannot be the baseline of its group": lambda: [changed(ARMS[1], role="baseline")],
    "ports of the plan have linen twice": lambda: [changed(begun().plan, ports=("linen", "linen"))],
    "datetime is 'yesterday', expected one like 2026-01-31": lambda: [Ended("yesterday", "A CPU", 0.0)],
}  # fmt: skip


@pytest.mark.parametrize("said", RUNS)
def test_records_that_cannot_be_of_one_run_are_refused(said):
    with pytest.raises(ValueError, match=said):
        Run(RUNS[said]())


def test_records_of_one_run_are_taken():
    Run([begun(), STARTED, group(), group(ARMS[3:], name=FORWARD)])


def row(error=1e-16, problem=None, **levels):
    return Measurement("linen", "contract", None, "carry of zeros", "float64", error, 1e-12, problem, levels=levels)


def test_rows_of_the_contract_may_measure_alike_but_not_be_asked_twice():
    check_proven([row(time="1"), row(time="2"), row()], [])
    with pytest.raises(ValueError, match="trigru.equality has linen .* twice"):
        check_proven([row(time="1"), row(time="1")], [])


def test_several_rows_may_fail_for_one_reason():
    check_proven([row(1.0, reverse="yes"), row(1.0, reverse="yes")], [])


@pytest.mark.parametrize(
    ("failed", "refused"), [("stock", {"linen[apply]", "linen[apply]:fused"}), ("fused", {"linen[apply]:fused"})]
)
def test_an_arm_stands_on_the_proof_of_its_kernel_and_of_the_stock_cell(failed, refused):
    wrong, found = replace(EQUAL, error=1.0, kernel=failed), set()
    for name in ("linen[apply]", "linen[apply]:fused", "nnx[nnx.jit]:fused"):
        try:
            check_proven([wrong], [make_arm(name, division="fused")])
        except ValueError as error:
            assert "has a number, but was not proven equal" in str(error)  # noqa: PT017
            found.add(name)
    assert found == refused
