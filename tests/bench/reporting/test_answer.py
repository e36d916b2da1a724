"""The one screen: what it says, that it fits, and that it says nothing that the run does not bear."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.runs import MACHINE, PROGRAM, make_arm, make_benchmark, make_results, with_facts, with_provenance
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.merge import load
from trigru.bench.reporting.answer import answer_lines, limit_lines, noise_lines, proof_lines
from trigru.bench.reporting.naming import describe, name_of
from trigru.bench.reporting.newest import TESTED
from trigru.bench.results.arm import Sized, Untimed
from trigru.common.equality.measurement import Measurement

ROOT = Path(__file__).parents[3]
OTHER = msgspec.structs.replace(PROGRAM, fingerprint="other", dots=6)
NAMES = ("pure[jit]", "linen[apply]", "nnx[nnx.jit]", "nnx[split-merge]", "equinox[filter_jit]", "equinox[partition]")


def run(times_s, workload="question", phase="forward", programs=None, **facts):
    """Five processes of three rounds, which agree but for parts of a thousandth."""
    found, process = [], np.repeat(range(5), 3)
    for name in NAMES:
        if name in times_s:
            time_s = times_s[name] * (1 + 0.0001 * process)
            program = (programs or {}).get(name, PROGRAM)
            arm = make_arm(name, workload, phase)
            ratio = times_s[name] / times_s["pure[jit]"]
            found.append(make_benchmark(arm, time_s, process, ratio=ratio, program=program, **facts))
    return found


ALIKE = {"pure[jit]": 1e-4, "linen[apply]": 1e-4, "nnx[split-merge]": 1e-4, "equinox[partition]": 1e-4}
FAST = ALIKE | {"nnx[nnx.jit]": 3.5e-4, "equinox[filter_jit]": 1.4e-4}


def screen(*groups):
    return answer_lines(answer(make_results([b for group in groups for b in group])))


def unfolded(*groups):
    return " ".join(line.strip() for line in screen(*groups))


def test_the_published_run_fits_one_screen_of_100_columns():
    lines = answer_lines(answer(load(ROOT / "docs" / "results" / "cpu.json.gz")))
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100


def test_documented_styles_part_frameworks_that_are_alike():
    (row,) = answer(make_results(run(FAST))).rows
    assert row.fastest == {"documented": ["linen"], "functional": ["linen", "nnx", "equinox"]}
    assert {port: cell.style for port, cell in row.cells["documented"].items()} == {
        "linen": "apply",
        "nnx": "nnx.jit",
        "equinox": "filter_jit",
    }
    text = "\n".join(screen(run(FAST)))
    (line,) = (line for line in screen(run(FAST)) if line.startswith("  forward pass "))
    assert line.split() == [
        *[
            "forward",
            "pass",
            "100",
            "µs",
            "350",
            "µs",
            "140",
            "µs",
            "linen",
            "100",
            "µs",
            "100",
            "µs",
            "100",
            "µs",
            "not",
            "told",
            "apart",
        ]
    ]
    assert "- NNX, `nnx.jit` over `split-merge`: +250 µs [250, 250], 1 of 1." in text
    assert "- Equinox, `filter_jit` over `partition`: +40.0 µs [40.0, 40.0], 1 of 1." in text
    assert "- In both: crossing the jit boundary." in text
    assert (
        "\nAs documented: linen `apply`, NNX `nnx.jit`, Equinox `filter_jit`.\nfastest: no other is faster beyond"
        in text
    )
    assert "For the fast number, write (in full: `trigru styles PORT functional`; linen: as documented):" in text
    assert "  NNX      call = jax.jit(lambda state, x: nnx.merge(graphdef, state)(x)); call(state, x)" in text
    assert "  NNX: what a call changes in the module, as dropout's generator, is lost unless" in text
    assert " / " not in text.partition("where beyond chance")[2], "there is no difference to tell of"


def test_a_difference_is_told_with_its_interval_and_what_is_unexplained_is_called_so():
    slow, said = FAST | {"linen[apply]": 1.3e-4}, "- linen / NNX: 1.300 [1.300, 1.300] (forward pass; "
    text = unfolded(run(slow, programs={"linen[apply]": OTHER}))
    assert f"{said}6 products to 2); 1 slower, 0 faster." in text
    assert "- NNX / Equinox: no difference beyond chance in any row." in text
    assert "unexplained" not in text
    assert f"{said}unexplained: the same program); 1 slower, 0 faster." in unfolded(run(slow))
    same = msgspec.structs.replace(PROGRAM, fingerprint="other")
    assert f"{said}as many operations); 1 slower, 0 faster." in unfolded(run(slow, programs={"linen[apply]": same}))


def test_a_style_whose_program_differs_says_whether_it_has_other_operations():
    """What `nnx.jit` and `filter_jit` hand back beside the outputs is copied: no other product, and no other loop."""
    said = "XLA's program differs, with as many products and loops."
    more = [msgspec.structs.replace(PROGRAM, fingerprint="other", fusions=fusions) for fusions in (5, 6)]
    programs = dict(zip(("nnx[nnx.jit]", "equinox[filter_jit]"), more, strict=True))
    assert f"- In both: called in another way; {said}" in unfolded(run(FAST, programs=programs))
    text = unfolded(run(FAST, programs=programs | {"nnx[nnx.jit]": OTHER}))
    assert "+250 µs [250, 250], 1 of 1: called in another way, and another program (6 products to 2)." in text
    assert f"+40.0 µs [40.0, 40.0], 1 of 1: called in another way; {said}" in text


def test_a_train_step_that_is_documented_otherwise_is_named():
    names = {"linen[train_state]": 2e-4, "linen[apply]": 2e-4, "pure[jit]": 2e-4, "nnx[split-merge]": 2e-4}
    process = np.repeat(range(5), 3)
    train = [
        make_benchmark(make_arm(name, "question", "train_step"), s * (1 + 1e-4 * process), process)
        for name, s in names.items()
    ]
    lines = answer_lines(answer(make_results([*run(FAST), *train])))
    assert "As documented: linen `apply` (train step: `train_state`), NNX `nnx.jit`, Equinox `filter_jit`." in lines


def test_the_largest_ratio_is_told_first():
    times = ALIKE | {"nnx[split-merge]": 1.3e-4, "equinox[partition]": 2e-4}
    told = [line.partition(":")[0] for line in screen(run(times)) if line.startswith("- ")]
    assert told == ["- Equinox / linen", "- Equinox / NNX", "- NNX / linen"]


def test_operations_are_counted_in_the_order_of_the_names():
    slow, programs = ALIKE | {"nnx[split-merge]": 1.3e-4}, {"nnx[split-merge]": OTHER}
    assert "- NNX / linen: 1.300 [1.300, 1.300] (forward pass; 6 products to 2);" in unfolded(
        run(slow, programs=programs)
    )
    slow, programs = ALIKE | {"linen[apply]": 1.3e-4}, {"linen[apply]": OTHER}
    assert "- linen / NNX: 1.300 [1.300, 1.300] (forward pass; 6 products to 2);" in unfolded(
        run(slow, programs=programs)
    )


def test_two_frameworks_that_win_in_different_rows_are_in_the_order_of_most_rows_with_the_largest_ratio():
    more, two = msgspec.structs.replace(OTHER, dots=9), {"pure[jit]": 1e-4, "nnx[split-merge]": 1e-4}
    text = unfolded(
        run(two | {"linen[apply]": 1.3e-4}, programs={"linen[apply]": OTHER}),
        run(two | {"linen[apply]": 2e-4}, "tiny", programs={"linen[apply]": more}),
        run(two | {"linen[apply]": 4e-5}, "medium", programs={"linen[apply]": OTHER}),
        run(two | {"linen[apply]": 1e-4}, "long", programs={"linen[apply]": OTHER}),
    )
    assert "- linen / NNX: 2.00 [2.00, 2.00] (tiny forward; 9 products to 2); 2 slower, 1 faster." in text
    assert "NNX / linen" not in text


def test_who_is_fastest_does_not_depend_on_a_baseline_that_jumps():
    """The ratio to plain JAX may order frameworks otherwise than their own times do."""
    times = {"pure[jit]": np.tile([3e-5, 4e-5], 6), "linen[apply]": np.full(12, 5.6e-5)}
    times |= {"nnx[split-merge]": np.full(12, 5.7e-5), "equinox[partition]": np.full(12, 5.2e-5)}
    found = [
        make_benchmark(make_arm(name, "question"), s, np.repeat([0, 1], 6), ratio=2.0 if "equinox" in name else 1.3)
        for name, s in times.items()
    ]
    (row,) = answer(make_results(found)).rows
    assert row.fastest["functional"] == ["equinox"]


def test_what_is_not_the_same_work_meets_nobody():
    found = run(FAST, differs=None)
    odd = [with_facts(b, backend="gpu", device="A GPU") if b.arm.port == "equinox" else b for b in found]
    lines = answer_lines(answer(make_results(odd)))
    assert "*Equinox is not compared: it ran on A GPU." in lines
    assert any(line.startswith("  forward pass ") and line.endswith(" not told apart") for line in lines)
    (row,) = answer(make_results(odd)).rows
    assert row.fastest == {"documented": ["linen"], "functional": ["linen", "nnx"]}
    assert [(d.one, d.other) for d in row.pairs["functional"]] == [("linen[apply]", "nnx[split-merge]")]


def test_too_few_rounds_name_nobody():
    short = [make_benchmark(make_arm(name), [FAST[name]] * 3) for name in NAMES]
    lines = answer_lines(answer(make_results(short)))
    assert "Where no framework is named, too few rounds were measured to tell, or what they do differs." in lines
    assert "One process does not show how processes differ: small differences may be chance." in lines
    assert not any("not told apart" in line or "beyond chance" in line for line in lines)


def test_noise_that_hides_what_one_would_choose_by_is_said_first():
    noisy = run(ALIKE, floor=0.2)
    lines = screen(noisy, run(FAST, "tiny"))
    assert lines[0].startswith("Too noisy to choose by in 1 of 2 rows: the noise hides differences of 20%.")
    assert any(line.startswith("  forward pass") and line.endswith("too noisy") for line in lines)
    assert any(line.startswith("  forward pass") and line.endswith("not told apart") for line in lines)
    assert noise_lines(answer(make_results(noisy)))[0].startswith("Too noisy to choose by in every row")
    assert noise_lines(answer(make_results(run(FAST)))) == []


def test_no_difference_is_said_where_none_is_real():
    text = "\n".join(screen(run(ALIKE)))
    assert "No difference between frameworks, or between their call styles, is beyond chance." in text
    assert "For the fast number" not in text


def test_a_framework_without_a_style_has_no_number_and_a_lone_one_wins_nothing():
    some = {name: s for name, s in FAST.items() if not name.startswith("equinox")} | {"equinox[filter_jit]": 1e-4}
    lines = screen(run(some))
    (line,) = (line for line in lines if line.startswith("  forward pass "))
    assert line.split() == [
        *[
            "forward",
            "pass",
            "100",
            "µs",
            "350",
            "µs",
            "100",
            "µs",
            "linen,",
            "Equinox",
            "100",
            "µs",
            "100",
            "µs",
            "-",
            "not",
            "told",
            "apart",
        ]
    ]
    lone = {name: FAST[name] for name in ("pure[jit]", "linen[apply]")}
    assert any(line.startswith("  forward pass") and line.endswith("  -") for line in screen(run(lone)))


@pytest.mark.parametrize(
    ("units", "phase", "said"), [(64, "train_step", True), (63, "train_step", False), (64, "forward", False)]
)
def test_the_fused_kernel_is_named_where_it_would_change_the_answer(units, phase, said):
    text = "\n".join(screen(run(ALIKE, f"question@hidden={units}", phase)))
    assert ("--kernel fused" in text) == said


def test_workloads_are_named_as_what_they_stand_for():
    assert describe(Sized("vowels")) == "12 inputs, 64 units, 9 classes, 32 sequences of up to 29 steps (vowels)"
    assert describe(Sized("question", {"hidden": 1})) == "20 inputs, 1 unit, 1 sequence of 50 steps"
    assert describe(Sized("a stranger's")) == "a stranger's"
    assert (name_of("equinox"), name_of("a stranger's")) == ("Equinox", "a stranger's")


def test_what_was_proven_and_what_failed_is_one_line_each():
    found = [
        Measurement("pure", "chunks", None, "carry", "float64", 3e-16, 1e-12),
        Measurement("linen", "chunks", None, "carry", "float64", 2e-13, 1e-12, kernel="fused"),
        Measurement("nnx", "masks", None, "carry", "float64", 1.0, 1e-12),
    ]
    results = make_results([], equality=found)
    missing = [
        Untimed(make_arm("equinox[?]", phase=phase), "equinox is not installed") for phase in ("forward", "step")
    ]
    lost = [Untimed(make_arm(f"linen[{n}]", phase=phase), "it hung") for n in range(4) for phase in ("forward", "step")]
    lines = proof_lines(answer(msgspec.structs.replace(results, untimed=[*missing, *lost])))
    assert lines == [
        "FAILED: NNX is not proven equal (masks); it has no number.",
        "Proven equal: plain JAX, linen with fused (2 checks; errors up to 2e-13, 1e-12 is allowed).",
        "Asked of what is timed here, and no more: `trigru verify` asks about the whole contract.",
        "Not here: equinox is not installed",
        *(f"Without a number: linen[{n}], 2 times: it hung" for n in range(3)),
        "... and 1 more (--details).",
    ]


def test_what_the_numbers_cannot_tell():
    results = make_results(run(FAST))
    line, newer = limit_lines(answer(results))
    assert newer == "trigru was tested with newer versions: jax 0.12.0.1. They may answer differently."
    assert line.startswith(
        "One machine (A CPU, 16 threads, 2026-11-04), float32, 5 processes; python 3.13.5, jax 0.12.0. Differences"
    )
    for processes in (2, 4):
        _, few, _ = limit_lines(msgspec.structs.replace(answer(results), processes=processes))
        assert few == "Few processes: 92 % of such 95 % intervals held what a long run found (docs/measurement.md)."
    old = msgspec.structs.replace(MACHINE, versions={"python": "3.11.2", "jax": "0.10.2", "flax": "0.12.12"})
    found = answer(with_provenance(results, complete=False, machine=old))
    lines = limit_lines(msgspec.structs.replace(found, processes=1))
    assert proof_lines(found)[0] == "INTERRUPTED: not all was measured."
    assert "1 process; python 3.11.2, jax 0.10.2, flax 0.12.12." in lines[0]
    assert lines[2] == "Python 3.12 or later has newer versions: jax 0.12.0.1. They may answer differently."
    here = msgspec.structs.replace(MACHINE, versions={"python": "3.13.5", "jax": "0.12.0.1", "flax": "0.12.8"})
    (_, newer) = limit_lines(answer(with_provenance(results, machine=here)))
    assert newer == "trigru was tested with newer versions: flax 0.12.12. They may answer differently."


def test_what_may_have_been_missed_is_that_of_the_row_in_the_middle():
    floors = {"tiny": 0.02, "question": 0.03, "medium": 0.09}
    found = answer(make_results([b for name, floor in floors.items() for b in run(FAST, name, floor=floor)]))
    assert limit_lines(found)[0].endswith("Differences below 3.0% (noisiest row: 9.0%) may have been missed.")


def test_processes_are_those_that_measured_and_not_those_that_were_asked_for():
    results = make_results(run(FAST))
    asked = msgspec.structs.replace(results.trigru.plan, processes=10)
    found = answer(with_provenance(results, plan=asked, complete=False))
    assert "float32, 5 processes; " in limit_lines(found)[0]


def test_the_table_of_tested_versions_is_that_of_the_constraints():
    text = (ROOT / "pyproject.toml").read_text()
    for least, tested in TESTED.items():
        marker = " ; python_full_version < '3.12'" if least == "3.11" else " ; python_full_version >= '3.12'"
        for name, version in tested.items():
            assert f'"{name}=={version}{marker}"' in text or f'"{name}=={version}"' in text


def test_the_same_facts_are_in_json():
    found = answer(make_results(run(FAST)))
    content = msgspec.json.decode(msgspec.json.encode(found))
    (row,) = content["rows"]
    assert row["cells"]["documented"]["nnx"]["time_s"] == pytest.approx(3.5e-4, rel=1e-3)
    assert row["styles"]["nnx"]["difference_s"] == pytest.approx(2.5e-4, rel=1e-3)
    assert content["machine"]["versions"] == MACHINE.versions
