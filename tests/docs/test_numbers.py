"""Sentences of the docs about published results say what the results say, page by
page.
"""

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
        assert ratio("nnx[nnx.jit-tree]/equinox[jit]", at) > 1.9
    for at in (*SMALLEST, *SITUATIONS):
        assert 1 / 1.3 < ratio(functional, at) < 1.3
        assert ratio("nnx[jit_partial]/equinox[jit]", at) < (
            1.25 if at in SMALLEST else 1.02
        )
        assert (
            at in SMALLEST
            or at[1] == "step"
            or ratio("nnx[nnx.jit-tree]/equinox[jit]", at) < 1.1
        )
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


def test_what_each_release_changed():
    sets = read(RESULTS / "releases.json").rows
    by_day = {row.name: row for row in sets}
    assert {(row.reason, row.python) for row in sets} == {("", "3.13")}
    assert not any(
        "function" in row.counts.get(port, ()) for row in sets for port in PORTS
    )
    drawn = {
        row.name: [port for port in PORTS if "draws" in row.counts.get(port, ())]
        for row in sets
    }
    assert {day: ports for day, ports in drawn.items() if ports} == {
        "2025-03-15": ["pure", "linen", "equinox"]
    }
    assert {row.facts[port].works for row in sets for port in PORTS} == {"yes"}
    at = {
        change.line.partition(" (")[0]: row.versions
        for row in sets
        for change in row.moved
        if change.line
    }
    assert at["flax/nnx/training/metrics.py:126"]["flax"] == "0.12.7"
    assert at["jax/_src/numpy/indexing.py:1123"]["jax"] == "0.9.1"
    assert [
        row.versions["jax"] for row in sets if "work" in row.counts.get("pure", ())
    ] == ["0.8.0"]
    assert (sets[-1].versions, sets[-1].counts) == (sets[-2].versions, {})

    def lines(port, package, *days):
        """The lines of a train step and the version, of each day."""
        return [
            part
            for day in days
            for part in (
                by_day[day].facts[port].lines,
                by_day[day].versions[package],
            )
        ]

    most = max(sets, key=lambda row: row.facts["nnx"].lines).name
    equinox = lines("equinox", "equinox", "2025-03-15", "2025-05-15", "2026-03-15")
    nnx = lines("nnx", "flax", "2025-01-15", "2025-03-15", most, sets[-1].name)
    before, after = (
        {row.facts[port].lines for row in sets} for port in ("linen", "pure")
    )
    sentences = (
        "linen and plain JAX cost the same Python throughout**: "
        f"{', '.join(map(str, before))} and {', '.join(map(str, after))} lines in a "
        "train step",
        "from {} lines in a train step by `filter_jit` (Equinox {}) to {} ({}), and to "
        "{} ({})".format(*equinox),
        "from {} lines by `nnx.jit` (Flax {}) to {} ({}), then up to {} ({}); it is {} "
        "now".format(*nnx[:-1]),
    )
    assert [
        sentence for sentence in sentences if sentence not in text_of("releases")
    ] == []
