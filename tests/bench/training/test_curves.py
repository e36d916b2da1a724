"""Pictures of trainings show the epochs that were trained."""

import numpy as np
from trigru.bench.training.plots import curves_picture
from trigru.bench.training.study import Run


def test_losses_are_drawn_at_their_epochs_as_long_as_all_seeds_train():
    losses = [3.0, 2.0, 1.0], [5.0, 4.0]
    runs = [Run("vowels", "linen", "learned", s, of, of, 0, False, 1.0, 0.5, 0.0) for s, of in enumerate(losses)]
    (line,) = curves_picture(runs).figure.axes[0].get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [1, 2])
    np.testing.assert_array_equal(line.get_ydata(), [4.0, 3.0])
