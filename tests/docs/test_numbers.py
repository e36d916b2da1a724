"""Sentences of the docs about published results say what the results say, page by
page.
"""

import pytest
from published import DOCS, RESULTS, SITUATIONS, published, row_at, timed
from support.runs import PORTS
from trigru.bench.analysis.answer import COMPARED
from trigru.bench.analysis.pairs import difference, labelled, speedups
from trigru.bench.upgrades.matrix import read

SMALLEST = [("tiny", phase) for phase in ("step", "forward", "train_step")]


def run(name):
    return published(name).run


def row(*at):
    """The row of the published answer in a situation."""
    return row_at(published("cpu"), at, usual_clock=False)


def facts(workload, phase, *names, of="cpu"):
    """The arms of a run in a situation, by name, in this order."""
    at = {
        b.arm.name: b
        for b in run(of).benchmarks
        if (str(b.arm.workload), b.arm.phase) == (workload, phase)
    }
    return [at[name] for name in names]


def against_functional(workload, phase):
    """Of each framework, its documented style against its functional one."""
    both = [
        labelled(run("cpu").groups()[f"{workload}/{phase}/float32/stock"], label)
        for label in COMPARED
    ]
    pairs = {
        port: (b, both[1][port])
        for port, b in both[0].items()
        if both[1][port] is not b
    }
    return {
        port: difference(run("cpu").benchmarks, *pair) for port, pair in pairs.items()
    }


def text_of(page):
    """The text of a page of the docs, however its lines are broken."""
    return " ".join((DOCS / f"{page}.md").read_text(encoding="utf-8").split())


def test_why_an_arm_is_slower():
    for label in COMPARED:
        assert row("tiny", "train_step").rankings[label].best == ["linen"]
    for workload in ("tiny", "question", "medium", "large"):
        equinox, pure = facts(workload, "train_step", "equinox[partition]", "pure[jit]")
        more = equinox.facts.program.transposes - pure.facts.program.transposes
        assert (more > 0) == (equinox.steps > 50), "on a batch"
        assert more


def test_call_styles():
    names = [
        f"linen[{style}]" for style in ("train_state", "apply", "leaves", "donated")
    ]
    documented, *others = facts("tiny", "train_step", *names)
    saved = [
        f"{100 * (1 - difference(run('cpu').benchmarks, b, documented).comparison.ratio):.0f} %"
        for b in others
    ]
    assert "`functional` saves {}, `leaves` {} and `donated` {}".format(
        *saved
    ) in text_of("call-styles")


def test_the_fused_kernel():
    found = {
        (str(s.benchmark.arm.workload), s.benchmark.arm.port): s
        for s in speedups(run("kernel"))
    }
    assert "slower" not in {speedup.verdict for speedup in found.values()}
    exception = found.pop(("question", "linen")).temp_share
    shares = [speedup.temp_share for speedup in found.values()]
    alike = {
        s.verdict
        for s in speedups(run("inference"))
        if s.benchmark.arm.port in ("pure", "nnx")
    }
    assert alike == {"indistinguishable"}
    assert (
        f"takes {min(shares):.2f} to {max(shares):.2f} times the temporary memory of "
        "the frameworks' own cells, except in linen with 200 units on one sequence: "
        f"{exception:.2f} times"
    ) in text_of("kernel")


def test_which_framework():
    for workload in ("tiny", "question", "medium"):
        step = row(workload, "step")
        between = max(
            max(d.comparison.ratio, 1 / d.comparison.ratio)
            for d in step.rankings["functional"].pairs.values()
        )
        assert (
            max(
                d.comparison.ratio
                for d in against_functional(workload, "step").values()
            )
            > between
        ), workload
    for label in ("documented", "functional"):
        assert all(
            0.91 < d.comparison.ratio < 1.1
            for d in row("large", "train_step").rankings[label].pairs.values()
        )


def ratio(pair, at):
    """Of two arms, by ports and styles or labels, in a situation."""
    return difference(
        run("cpu").benchmarks,
        *(timed(at, called, queued=False) for called in pair.split("/")),
    ).comparison.ratio


def test_the_page_of_claims():
    documented, functional = (f"nnx[{label}]/equinox[{label}]" for label in COMPARED)
    for at in SMALLEST:
        assert ratio(documented, at) > 2 * ratio(documented, ("question", at[1]))
        assert 1.9 < ratio("equinox[documented]/linen[documented]", at) < 2.6
    for at in (*SMALLEST, ("question", "step")):
        assert ratio("nnx[nnx.jit-tree]/equinox[jit]", at) > 1.8
    for at in (*SMALLEST, *SITUATIONS):
        assert 1 / 1.3 < ratio(functional, at) < 1.3
    all_styles_timed = [at for at in SITUATIONS if at != ("large", "train_step")]
    for at in (*SMALLEST, *all_styles_timed):
        assert ratio("nnx[jit_partial]/equinox[jit]", at) < (
            1.25 if at in SMALLEST else 1.02
        )
    for at in all_styles_timed:
        if at[1] != "step":
            assert ratio("nnx[nnx.jit-tree]/equinox[jit]", at) < 1.1
    plain, tree, functional = (
        [ratio(f"{nnx}/linen[{linen}]", at) for at in (*SMALLEST, *SITUATIONS)]
        for nnx, linen in (
            ("nnx[documented]", "documented"),
            ("nnx[nnx.jit-tree]", "documented"),
            ("nnx[functional]", "functional"),
        )
    )
    assert (
        f"it takes {min(plain[:4]):.1f} to {max(plain[:4]):.0f} times as long as linen, "
        f"and {min(tree[:4]):.1f} to {max(tree[:4]):.1f} times with `graph=False`. In "
        f"the others, it takes at most {max(plain[4:]):.1f} times as long, and at most "
        f"{max(tree[4:]):.2f} times with `graph=False`. In functional style, NNX takes "
        f"{min(functional):.2f} to {sorted(functional)[-2]:.2f} times as long, but "
        f"{functional[2]:.1f} times in the smallest train step"
    ) in text_of("claims")
    train, one = (
        against_functional("question", phase)["nnx"] for phase in ("train_step", "step")
    )
    assert train.difference_low_s > one.difference_high_s
    assert "slower" not in {
        d.verdict
        for port, d in against_functional("large", "train_step").items()
        if port != "linen"
    }
    for workload in ("tiny", "question", "medium", "large"):
        both = facts(workload, "train_step", "nnx[nnx.jit]", "nnx[split-merge]")
        assert len({b.facts.program.temp_bytes for b in both}) == 1, (
            "the same temporary memory"
        )


@pytest.fixture(scope="module")
def releases():
    """The version sets of the published matrix, by their day."""
    return {row.name: row for row in read(RESULTS / "releases.json").rows}


def sets_with(releases, kind, port):
    """The days of the sets in which a port has a change of a kind."""
    return [day for day, row in releases.items() if kind in row.counts.get(port, ())]


def change_of(row, kind, what):
    """The change of this kind whose words begin so."""
    changes = [change for change in row.moved if change.kind == kind]
    (change,) = [change for change in changes if change.what.startswith(what)]
    return change


def test_every_published_set_has_a_snapshot_in_which_all_ports_work(releases):
    for row in releases.values():
        assert row.reason == ""
        assert row.python == "3.13"
        assert {row.facts[port].works for port in PORTS} == {"yes"}


@pytest.mark.parametrize("port", PORTS)
def test_no_port_computes_another_function_in_any_set(releases, port):
    assert sets_with(releases, "function", port) == []


def test_other_parameters_were_drawn_once(releases):
    drawn = {port: sets_with(releases, "draws", port) for port in PORTS}
    once = ["2025-03-15"]
    assert drawn == {"pure": once, "linen": once, "nnx": [], "equinox": once}
    assert releases["2025-01-15"].versions["jax"] == "0.4.38"
    assert change_of(releases["2025-03-15"], "draws", "initializers")


def test_the_gradient_of_an_index_past_the_end_changed(releases):
    row = releases["2026-03-15"]
    change = change_of(row, "function", "indices: reading, with one past the end")
    assert change.what.endswith("gradient of the parameter")
    assert change.line.startswith("jax/_src/numpy/indexing.py:1123 ")
    assert row.versions["jax"] == "0.9.1"
    assert releases["2026-01-15"].versions["jax"] == "0.8.2"


def test_a_masked_loss_of_optax_became_zero(releases):
    row = releases["2025-09-15"]
    change = change_of(row, "function", "loss: cross-entropy where a mask")
    assert change.new == "0 instead of -inf"
    assert row.versions["optax"] == "0.2.6"
    assert releases["2025-07-15"].versions["optax"] == "0.2.5"


def test_an_optimizer_of_nnx_has_to_be_told_what_to_train(releases):
    row = releases["2025-09-15"]
    change = change_of(row, "function", "mistake: an optimizer that is not told")
    assert (change.old, change.new) == ("no error", "TypeError")
    assert row.versions["flax"] == "0.11.2"


def test_a_train_step_has_more_operations_since_jax_0_8(releases):
    for port in PORTS:
        (day,) = sets_with(releases, "work", port)
        assert releases[day].versions["jax"] == "0.8.0"


def test_nothing_changed_in_the_last_published_set(releases):
    *_, last = releases.values()
    assert last.counts == {}


def test_linen_and_plain_jax_cost_the_same_python_throughout(releases):
    (linen,) = {row.facts["linen"].lines for row in releases.values()}
    (pure,) = {row.facts["pure"].lines for row in releases.values()}
    assert f"{linen} and {pure} lines in a train step" in text_of("releases")


def lines_and_version(releases, port, package, day):
    """The lines of Python in a train step on a day, as "972 (0.13.6)"."""
    row = releases[day]
    return f"{row.facts[port].lines} ({row.versions[package]})"


def test_the_python_of_equinox_is_what_the_page_says(releases):
    page = text_of("releases")
    for day in ("2025-03-15", "2025-05-15", "2026-03-15"):
        assert lines_and_version(releases, "equinox", "equinox", day) in page


def test_the_python_of_nnx_is_what_the_page_says(releases):
    page = text_of("releases")
    most = max(releases, key=lambda day: releases[day].facts["nnx"].lines)
    *_, last = releases.values()
    for day in ("2025-01-15", "2025-03-15", most):
        assert lines_and_version(releases, "nnx", "flax", day) in page
    assert f"it is {last.facts['nnx'].lines} now" in page
