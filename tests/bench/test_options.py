"""Every option of `trigru compare` changes what it says it does, and a faulty arm gets no number."""

import numpy as np
import pytest
from support.known import Arm, bench, trigru
from trigru.impls import port_names

USUAL = ("--workload", "tiny", "--phase", "forward")
TINY = "tiny/forward/float32/stock"


def names(run):
    """Of every arm that has a number, by group."""
    found = {}
    for b in run.read.benchmarks:
        found.setdefault(b.group, []).append(b.name)
    return found


PURE = ["pure[jit]", "pure[jit]#2"]
LINEN, NNX, EQUINOX = ["linen[apply]"], ["nnx[jit]", "nnx[split]"], ["equinox[filter_jit]", "equinox[partition]"]
ALL = PURE + LINEN + NNX + EQUINOX


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {TINY: ALL}),
        (("--port", "linen"), {TINY: PURE + LINEN}),
        (("--port", "linen", "--port", "equinox"), {TINY: PURE + LINEN + EQUINOX}),
        (("--style", "split"), {TINY: [*PURE, "nnx[split]"]}),
        (("--style", "split", "--style", "apply"), {TINY: [*PURE, *LINEN, "nnx[split]"]}),
        (("--port", "linen", "--port", "torch"), {TINY: [*PURE, *LINEN, "torch[compiled]"]}),
        (("--port", "torch"), {TINY: [*PURE, "torch[compiled]"]}),
        (("--port", "pure", "--workload", "question"), {TINY: PURE, "question/forward/float32/stock": PURE}),
        (("--port", "pure", "--phase", "step"), {TINY: PURE, "tiny/step/float32/stock": PURE}),
        (("--port", "pure", "--kernel", "fused"), {"tiny/forward/float32/fused": [*PURE, "pure[jit]:fused"]}),
        (
            ("--port", "nnx", "--kernel", "fused", "--style", "split", "--style", "jit"),
            {
                "tiny/forward/float32/fused": [
                    *PURE, "nnx[jit]", "nnx[jit]:fused",
                    "nnx[split]", "nnx[split]:fused",
                ]
            },
        ),
        (
            ("--port", "linen", "--kernel", "stock", "--kernel", "fused"),
            {TINY: PURE + LINEN, "tiny/forward/float32/fused": [*PURE, "linen[apply]", "linen[apply]:fused"]},
        ),
        (("--port", "pure", "--size", "hidden=5,6"), {f"tiny@hidden={n}/forward/float32/stock": PURE for n in (5, 6)}),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_measured_and_nothing_else(tmp_path, arguments, expected):
    run = bench(tmp_path, *USUAL, *arguments, processes=1)
    assert names(run) == expected
    for group, found in expected.items():
        for arm in run.arms(group, found):
            assert np.median(run.measured[f"{group}/{arm.name}"].time_s) == pytest.approx(arm.time_s, rel=1e-5), (
                arm.name
            )


@pytest.mark.parametrize(("rounds", "processes"), [(6, 1), (8, 1), (6, 2), (2, 3)])
def test_rounds_and_processes(tmp_path, rounds, processes):
    run = bench(tmp_path, *USUAL, "--port", "linen", rounds=rounds, processes=processes)
    for b in run.read.benchmarks:
        assert b.process == list(np.repeat(range(processes), rounds))
        assert b.other_process == list(np.repeat(range(processes), -(-rounds // 4)))
        assert {timed.clock for timed in b.timed.values()} == {"blocked"}


def test_what_is_asked_for_twice_is_measured_once(tmp_path):
    twice = ("--workload", "tiny@hidden=8", "--workload", "tiny@hidden=08", "--phase", "step", "--phase", "step")
    run = bench(tmp_path, *twice, "--port", "pure", processes=1)
    assert names(run) == {"tiny@hidden=8/step/float32/stock": PURE}
    assert trigru("report", tmp_path).exit_code == 0


def test_workloads_that_vary_in_no_one_size_are_no_sweep(tmp_path):
    several = ("--workload", "tiny", "--workload", "tiny@hidden=4", "--workload", "tiny@hidden=6", "--phase", "step")
    run = bench(tmp_path, *several, "--port", "linen", processes=1)
    assert len(names(run)) == 3
    assert not (tmp_path / "sweep.png").exists()


def orders(run):
    """Of each process: the arms of each round."""
    positions = [[timed.position for timed in b.timed.values()] for b in run.read.benchmarks]
    return np.moveaxis(np.array(positions), 0, -1)


def test_processes_differ_in_their_orders_and_in_nothing_else(tmp_path):
    run = bench(
        tmp_path, *USUAL, "--phase", "step", *(word for name in (*port_names(), "torch") for word in ("--port", name))
    )
    first, *others = run.machine.built
    assert len(set(first)) == 2 * 7, "the duplicate is one program with the baseline"
    assert all(sorted(built) == sorted(first) for built in others)
    assert len({tuple(built) for built in (first, *others)}) == 3
    assert len({found.tobytes() for found in orders(run)}) == 3
    assert run.machine.precisions == {"highest"}
    assert {b.arm.precision for b in run.read.benchmarks} == {"highest"}
    assert run.results["trigru"]["equality"] is None


def test_an_arms_result_does_not_depend_on_the_order_of_workloads(tmp_path):
    runs = []
    for number, workloads in enumerate((("tiny", "vowels"), ("vowels", "tiny"))):
        options = [word for w in workloads for word in ("--workload", w)]
        runs.append(bench(tmp_path / str(number), *options, "--phase", "train_step", processes=2))
    one, other = ({key: b.time_s.tolist() for key, b in run.measured.items()} for run in runs)
    assert one == other


def test_every_clock_waits_for_the_device(tmp_path):
    """Where it takes twice as long, and the host does not, that is seen in all that is measured."""
    options = (*USUAL, "--workload", "vowels", "--port", "nnx")
    once, twice = (bench(tmp_path / str(device), *options, device=device) for device in (1.0, 2.0))
    assert once.measured.keys() == twice.measured.keys()
    for key in once.measured:
        group, _, name = key.rpartition("/")
        device_ns = [once.machine.cost(Arm(once, group, name).called, process).device for process in range(3)]
        more_s = np.subtract(*(np.reshape(run.measured[key].time_s, (3, -1)) for run in (twice, once)))
        np.testing.assert_allclose(more_s, np.outer(device_ns, np.ones(6)) * 1e-9, 1e-4, err_msg=key)
        found, arm = twice.measured[key], Arm(twice, group, name)
        assert [timed.calls for timed in found.timed.values()] == arm.calls, "the warm-up waits, too"
        np.testing.assert_allclose(found.other_s, np.repeat(arm.pipelined_s, 2), 1e-5)
        assert 1e-9 * (sum(arm.build_ns) + device_ns[0]) < found.facts.build.first_call_s
    for (gemm, copy), (gemm_2, copy_2) in (
        [(c["float32"]["gemm_gflop_per_s"], c["float32"]["copy_gbyte_per_s"]) for c in found]
        for found in zip(once.results["trigru"]["ceilings"], twice.results["trigru"]["ceilings"], strict=True)
    ):
        assert (gemm / gemm_2, copy / copy_2) == pytest.approx((2, 2), rel=1e-3)


FAULTY = ("linen[apply]", "nnx[split]", "linen[apply]:fused", "nnx[split]:fused", "torch[compiled]")
CHOSEN = ("--port", "linen", "--port", "nnx", "--style", "apply", "--style", "split")


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        *((FAULTY[0], phase) for phase in ("forward", "gradient", "train_step", "step")),
        *((name, "train_step") for name in FAULTY[1:]),
    ],
)
def test_a_faulty_arm_gets_no_number_and_the_report_says_why(tmp_path, name, phase):
    workload = "vowels" if name == "linen[apply]" else "tiny"
    kernels = ("--kernel", "fused") if "fused" in name else ()
    peers = ("--port", "torch") if name.startswith("torch") else ()
    options = ("--workload", workload, "--phase", phase, *CHOSEN, *kernels, *peers)
    run = bench(tmp_path, *options, processes=1, wrong=(name, phase))
    group = f"{workload}/{phase}/float32/{'fused' if kernels else 'stock'}"
    (found,) = run.results["untimed"]
    assert found["reason"].startswith("not equal to the oracle: ")
    assert [f"{group}/{name}", found["reason"]] in run.tables["Without a number"].rows
    timed = names(run)[group]
    assert name not in timed
    assert len(timed) == 2 + len(CHOSEN) // 4 * (1 + bool(kernels)) - (not peers)


def test_an_arm_that_is_faulty_in_the_last_process_alone_gets_no_number(tmp_path):
    run = bench(tmp_path, *USUAL, "--port", "linen", wrong=("linen[apply]", "forward"), wrong_from=2)
    assert names(run) == {TINY: PURE}
    (found,) = run.results["untimed"]
    assert found["reason"].startswith("not equal to the oracle: ")


def test_where_the_baseline_is_faulty_nothing_has_a_number(tmp_path):
    run = bench(tmp_path, *USUAL, "--phase", "step", "--port", "linen", processes=1, wrong=("pure[jit]", "forward"))
    assert names(run) == {"tiny/step/float32/stock": PURE + LINEN}
    reasons = {(u["arm"]["port"], u["arm"]["copy"]): u["reason"] for u in run.results["untimed"]}
    assert reasons.keys() == {("pure", 1), ("pure", 2), ("linen", 1)}
    assert "there is nothing to compare with" in reasons["linen", 1]


def test_an_arm_that_compiles_again_gets_no_number(tmp_path):
    run = bench(tmp_path, "--quick", *USUAL, "--port", "linen", processes=1, recompiling="linen[apply]")
    assert names(run) == {TINY: PURE}
    assert "XLA compiled while the clock ran" in run.results["untimed"][0]["reason"]


def test_dtype_and_precision_are_those_of_all_that_is_timed(tmp_path):
    asked = ("--dtype", "bfloat16", "--precision", "default")
    run = bench(tmp_path, *USUAL, "--port", "linen", *asked, processes=2)
    assert {key.rpartition("/")[0] for key in run.measured} == {"tiny/forward/bfloat16@default/stock"}
    assert run.machine.precisions == {"default"}
    (name,) = {name for ceilings in run.results["trigru"]["ceilings"] for name in ceilings}
    assert name == "bfloat16@default"
    assert all(b.facts.gate <= 1 for b in run.read.benchmarks)
    assert "bfloat16@default, 2 processes" in " ".join(run.screen.split())
    wide = bench(tmp_path / "wide", *USUAL, "--port", "linen", processes=2)
    assert not wide.measured.keys() & run.measured.keys(), "they are never compared"
    moved = [next(b.moved_bytes for b in r.read.benchmarks if b.name == "linen[apply]") for r in (wide, run)]
    assert moved[0] == 2 * moved[1]
