"""Frameworks as documented and called alike, from the command line to the printed cell, on a machine of known costs."""

import re

import pytest
from support.known import WAYS, Arm, groups, says, short, verdict


@pytest.mark.parametrize("way", WAYS)
def test_the_closing_tables(run, way):
    """Each framework in one call style, which each cell names, and never in the best of several."""
    by_port = {name.partition("[")[0]: name for name in WAYS[way]}
    table = run.tables[f"{way}: time / pure[jit]"]
    ports = ["linen", "nnx", "equinox", "torch"]
    assert table.columns == ["workload", *ports]
    assert [row[0] for row in table.rows] == [" ".join(group.split("/")[:2]) for group in groups("stock")]
    for group, row in zip(groups("stock"), table.rows, strict=True):
        for port, cell in zip(ports, row[1:], strict=True):
            if port not in by_port:
                assert cell == "-"
                continue
            arm = Arm(run, group, by_port[port])
            style, _, number = cell.partition(" ")
            assert style == by_port[port].partition("[")[2][:-1]
            assert says(number, short(arm.ratio)), f"{cell} of {arm.name} in {group}"


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
