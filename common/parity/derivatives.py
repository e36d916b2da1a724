"""The derivative of a program's outputs by each single number of its parameters, by
which numbers are told apart.
"""

from dataclasses import replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from .values import Arguments

#: Derivatives that differ by less, relative to their size, are the same; and the size
#: below which they are rounding.
SAME_DERIVATIVE, ROUNDING = 1e-7, 1e-11
#: Around these numbers values are drawn to see which have an effect, and which are
#: added up. A unit may be at rest with values of one sign, as behind a ReLU, and have
#: an effect with others.
GENERIC_MEANS = (0.25, 0.25, -0.25, -0.25, 0.0, 0.0)
SETS = 2  # sets of values that are evaluated together


class Numbers:
    """The numbers of a program's parameters, one behind the other, but for those of
    leaves that are bound.

    Args:
        program: the program.
        arguments: what it is called with: one set, whose bound leaves stay as they are.
        bound: the leaves that have a partner already.
    """

    def __init__(self, program: Any, arguments: Arguments, bound: set[int]):
        self._program = program
        self._arguments = arguments
        self.shapes: dict[int, tuple[int, ...]] = {}
        self.sizes: dict[int, int] = {}
        self.starts: dict[int, int] = {}
        self.size = 0
        for n, leaf in enumerate(arguments.params):
            if n not in bound:
                self.shapes[n] = leaf.shape[1:]
                self.sizes[n] = prod(self.shapes[n])
                self.starts[n] = self.size
                self.size += self.sizes[n]

    def derivatives(self, values: np.ndarray) -> np.ndarray:
        """The derivative of the weighted outputs by each number: (sets, numbers) of
        values in, (numbers, sets) out.
        """
        params = list(self._arguments.params)
        for leaf, begin in self.starts.items():
            part = values[:, begin : begin + self.sizes[leaf]]
            params[leaf] = part.reshape(len(values), *self.shapes[leaf])
        arguments = replace(self._arguments, params=params)
        gradients = self._program.gradient(arguments).of_params
        columns = []
        for leaf, size in self.sizes.items():
            flat = np.real(gradients[leaf]).reshape(-1, size)
            columns.append(np.broadcast_to(flat, (len(values), size)))
        return np.concatenate(columns, axis=1).T

    @cached_property
    def groups(self) -> dict[int, np.ndarray]:
        """The numbers that are added up, by the first of them.

        A number that is alone is a group of one.
        """
        random = np.random.default_rng(5)
        columns = []
        for mean in GENERIC_MEANS:
            values = random.normal(mean, 0.2, (SETS, self.size))
            columns.append(self.derivatives(values))
        derivatives = np.concatenate(columns, axis=1)
        is_finite = np.isfinite(derivatives).all(axis=0)
        derivatives = derivatives[:, is_finite]
        classes = refined(np.zeros(self.size, int), derivatives)
        magnitudes = np.abs(derivatives)
        has_effect = (magnitudes > ROUNDING * magnitudes.max(axis=0)).any(axis=1)
        # The sort is stable: the numbers of a class stay in their order.
        by_class = np.argsort(classes, kind="stable")
        cuts = np.flatnonzero(np.diff(classes[by_class])) + 1
        groups = {}
        for group in np.split(by_class, cuts):
            first = int(group[0])
            if has_effect[first]:
                groups[first] = group
        return groups

    @cached_property
    def chosen(self) -> np.ndarray:
        """The first number of each group."""
        return np.array(sorted(self.groups), int)

    @cached_property
    def places(self) -> np.ndarray:
        """For each number its place among the chosen ones; -1 for one that is not
        chosen.
        """
        places = np.full(self.size, -1)
        places[self.chosen] = np.arange(len(self.chosen))
        return places


def refined(classes: np.ndarray, derivatives: np.ndarray) -> np.ndarray:
    """Classes, numbered from 0, whose members have one derivative in each column,
    too.
    """
    for column in derivatives.T:
        size = np.abs(column).max(initial=0)
        order = np.lexsort((column, classes))
        steps = np.diff(column[order])
        slack = SAME_DERIVATIVE * np.abs(column[order][1:]) + ROUNDING * size
        begins = (np.diff(classes[order]) != 0) | (steps > slack)
        classes = np.empty_like(classes)
        classes[order] = np.concatenate([[0], np.cumsum(begins)])
    return classes
