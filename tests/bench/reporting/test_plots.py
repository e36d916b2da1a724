"""Pictures show the numbers that they are of."""

import numpy as np
from matplotlib.figure import Figure
from trigru.bench.analysis.statistics import Comparison
from trigru.bench.reporting.plots.figures import INK, draw_ratio, shade_floor


def test_a_floor_reaches_as_far_down_as_up_on_an_axis_of_ratios():
    axes = Figure().subplots()
    shade_floor(axes, 2.0, 0.25, 3)
    (box,) = axes.patches
    np.testing.assert_allclose(box.get_bbox().extents, [0.8, 2.0, 1.25, 5.0])


def test_a_whisker_reaches_from_the_low_end_of_the_interval_to_the_high_one():
    axes = Figure().subplots()
    draw_ratio(axes, 3.0, Comparison(2.0, 1.0, 2.5), INK)
    (whisker,) = axes.collections[0].get_segments()
    np.testing.assert_allclose(whisker, [[1.0, 3.0], [2.5, 3.0]])
