"""Frameworks as documented and called alike, from the command line to the printed cell, on a machine of known costs."""

import re

from support.known import WAYS, Arm, groups, says, verdict


def test_frameworks_against_plain_jax(run):
    """Each framework in the style that a label names, and never in the best of several."""
    table = run.tables["Frameworks against plain JAX"]
    assert table.columns == ["workload", "phase", "port", "documented", "functional"]
    by_port = [{name.partition("[")[0]: name for name in names} for names in WAYS.values()]
    assert len(table.rows) == 4 * len(groups("stock"))
    for workload, phase, port, *cells in table.rows:
        for cell, names in zip(cells, by_port, strict=True):
            if port not in names:
                assert cell == "-"
                continue
            ratio = Arm(run, f"{workload}/{phase}/float32/stock", names[port]).ratio
            dress = "(%)" if verdict(ratio) == "indistinguishable" else "%"
            assert says(cell, (dress, *ratio)), f"{cell} of {names[port]} in {workload} {phase}"


def test_the_screen_has_each_framework_in_both_ways_and_who_is_fastest(run):
    """With peers, the two ways stand below each other."""
    blocks = run.screen.split("Time of a call")[1:]
    assert len(blocks) == 2
    for block, names in zip(blocks, WAYS.values(), strict=True):
        lines = [line for line in block.splitlines() if re.match("  (forward pass|train step|one time step) ", line)]
        assert len(lines) == len(groups("stock"))
        for group, line in zip(groups("stock"), lines, strict=True):
            found = [Arm(run, group, name) for name in names]
            first = [arm for arm in found if all(verdict(arm.over(other)) != "slower" for other in found)]
            fastest = "not told apart" if len(first) == len(found) else ", ".join(arm.port for arm in first)
            assert line.endswith(f"  {fastest}"), f"{line} in {group}"
            cells = re.findall(r"[\d.]+ [µm]?s\b", line)
            for arm, cell in zip(found, cells, strict=True):
                assert says(cell, (arm.time_s,)), f"{cell} of {arm.name} in {line}"
