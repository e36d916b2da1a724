"""Frameworks as documented and called alike, from the command line to the printed cell, on a machine of known costs."""

import re
from itertools import combinations

import numpy as np
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


def test_frameworks_against_each_other(run):
    expected = []
    for group in groups("stock"):
        of_way = [
            {f"{one.port} / {other.port}": one.over(other) for one, other in combinations(found, 2)}
            for found in ([Arm(run, group, name) for name in names] for names in WAYS.values())
        ]
        expected += [(group, two, [ratios.get(two) for ratios in of_way]) for two in of_way[0]]
    table = run.tables["Frameworks against each other"]
    assert table.columns == ["workload", "time / time", "as documented", "called alike"]
    assert [row[:2] for row in table.rows] == [[" ".join(g.split("/")[:2]), two] for g, two, _ in expected]
    for (group, two, ratios), row in zip(expected, table.rows, strict=True):
        for ratio, cell in zip(ratios, row[2:], strict=True):
            dress = "()" if ratio and verdict(ratio) == "indistinguishable" else ""
            known = (dress, *ratio) if ratio else "-"
            assert says(cell, known), f"{two} in {group} is {cell}, expected {known}"


def test_what_causes_the_differences(run):
    """One framework in two styles, two frameworks in one; in the order of the closing tables."""
    alike = WAYS["Called alike, the parameters as one pytree"]
    asked = [("nnx[jit]", "nnx[split]"), ("equinox[filter_jit]", "equinox[partition]"), *combinations(alike, 2)]
    expected = []
    for group in groups("stock"):
        for names in asked:
            one, other = (Arm(run, group, name) for name in names)
            if verdict(one.over(other)) != "indistinguishable":
                expected.append((group, one, other))
    table = run.tables["What causes the differences"]
    assert [row[:2] for row in table.rows] == [[" ".join(g.split("/")[:2]), one.name] for g, one, _ in expected]
    for (_, one, other), row in zip(expected, table.rows, strict=True):
        words, numbers = one.why(other)
        assert re.sub(r"[-+]?\d+(\.\d+)?", "", row[2]) == words
        found = [float(number) for number in re.findall(r"[-+]?\d+(?:\.\d+)?", re.sub(r"\w+\[", "[", row[2]))]
        np.testing.assert_allclose(found, numbers, rtol=1e-3, atol=0.2, err_msg=str(row))


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
