"""The tables "By version" of docs/releases.md: the published run beside one with older versions."""

from pathlib import Path

from decision import SITUATIONS, Measured, ratio_text, table_of  # beside this script
from trigru.bench.analysis.answer import WAYS
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.statistics import CONFIDENCE, compare_effects, verdict
from trigru.bench.reporting.naming import CALLED, name_of
from trigru.bench.reporting.numbers import count

#: The published run, and the run of the last versions that Python 3.11 has.
NEW, OLD = "cpu.json.gz", "cpu-py311.json.gz"


def version_tables(results: Path) -> str:
    """Which framework is fastest with each set of versions, and the ratios that differ between them."""
    new = Measured(load(results / NEW))
    if not (results / OLD).exists():
        return f"One set of versions was measured: {new.versions}."
    old = Measured(load(results / OLD))
    changed = [
        (text, name_of(port), CALLED[way], *found)
        for text, workload, phase in SITUATIONS
        for way in WAYS
        for port in new.answer.ports
        if (found := _changed(old, new, workload, phase, way, port))
    ]
    winners = table_of(
        ("situation", *(f"{measured.named}, {CALLED[way]}" for way in WAYS for measured in (old, new)), "same answer"),
        [_winners(old, new, text, workload, phase) for text, workload, phase in SITUATIONS],
    )
    total = len(WAYS) * len(SITUATIONS) * len(new.answer.ports)
    columns = "situation", "framework", "called", old.named, new.named, "change"
    return "\n\n".join(
        [
            "Which frameworks no other is faster than:",
            winners,
            f"**The answer depends on your versions** in {len(changed)} of {count(total, 'ratio')} to plain JAX, by "
            "more than chance and the noise floor:",
            table_of(columns, changed) if changed else "none.",
            "A ratio also changes where plain JAX itself got faster or slower. "
            f"Of {total} ratios that do not change, 95 % intervals call about {total * (1 - CONFIDENCE):.0f} changed.",
            "\n".join(
                f"- {measured.named}: {measured.versions}; {measured.run.datetime[:10]}." for measured in (old, new)
            ),
        ]
    )


def _changed(old: Measured, new: Measured, workload: str, phase: str, way: str, port: str) -> tuple[str, ...]:
    """Both ratios and the change; nothing where it is no more than chance."""
    (before, floor), (after, other_floor) = (m.effect(workload, phase, way, port) for m in (old, new))
    change = compare_effects(after, before)
    word = verdict(change, max(floor, other_floor))
    if word == "indistinguishable":
        return ()
    cells = [measured.row(workload, phase).cells[way][port] for measured in (old, new)]
    both = map(ratio_text, cells)
    return *both, f"**{word}**: {ratio_text(change)}"


def _winners(old: Measured, new: Measured, text: str, workload: str, phase: str) -> tuple[str, ...]:
    found = [measured.row(workload, phase).fastest[way] for way in WAYS for measured in (old, new)]
    pairs = found[:2], found[2:]
    if all(before == after for before, after in pairs):
        same = "yes"
    else:
        same = "in part" if all({*before} & {*after} for before, after in pairs) else "**no**"
    return text, *(", ".join(map(name_of, names)) for names in found), same
