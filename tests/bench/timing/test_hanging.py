"""An arm that hangs, in a process of its own."""

import os

import msgspec
from support.processes import ignore, journal_at
from support.runs import plan
from trigru.bench.arms.plan import expand
from trigru.bench.timing.journal import PARTIAL
from trigru.bench.timing.supervisor import run

PLAN = plan(phases=("step",), styles=("functional",), processes=1, rounds=3)
PURE, AGAIN, LINEN = expand(PLAN)

HANGS = """
from trigru.bench.processes.child import adopt
parent = adopt()
import time
from trigru.bench.processes.worker import work
from trigru.bench.timing import roofline, worker
roofline.GEMM_SIZE, roofline.COPY_BYTES = {"cpu": 64}, {"cpu": 2**16}
prepare, sample_rounds = worker.prepare, worker.sample_rounds

def hang(*_):
    time.sleep(600)

def hang_in_compilation(arm):
    return hang() if arm.port == "linen" else prepare(arm)

def hang_in_a_call(ready, *rest, **options):
    for each in ready:
        each.program.call = hang if each.arm.port == "equinox" else each.program.call
    return sample_rounds(ready, *rest, **options)

worker.prepare, worker.sample_rounds = hang_in_compilation, hang_in_a_call
work(parent, "trigru.bench.timing.worker:answer_request")
"""


def test_an_arm_that_hangs_loses_its_cell_and_the_rest_is_measured(tmp_path, monkeypatch):
    (tmp_path / "hangs").mkdir()
    (tmp_path / "hangs" / "worker.py").write_text(HANGS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr("trigru.bench.timing.supervisor.WORKER", "hangs.worker")
    monkeypatch.setattr("trigru.bench.timing.supervisor.LIMIT_S", 12.0)
    styles = ("jit", "apply", "filter_jit")
    asked = msgspec.structs.replace(PLAN, ports=("pure", "linen", "equinox"), styles=styles)
    journal = journal_at(tmp_path / PARTIAL, asked)
    run(journal, ignore)
    assert journal.complete
    assert [t.arm for t in journal.groups_timed[0].timed] == [PURE.id, AGAIN.id]
    assert {u.arm.name: u.reason for u in journal.untimed.values()} == {
        name: f"the measuring process said nothing for 12 s, and was ended while trying to {what}"
        for name, what in (
            ("linen[apply]", f"compile {LINEN.id}"),
            ("equinox[filter_jit]", f"time {PURE.group}/equinox[filter_jit]"),
        )
    }
