"""Compares two models: what is compared, in what order, and the verdict.

1. Which parameter of the candidate is which of the reference: `parameters`. 2. In each
mode, in float64: outputs and new state, then gradients, then steps of training. 3. If
all that agrees: a call from the new state, inputs of other sizes, and the accuracy in
the models' own dtypes. 4. The verdict, and where the models part: `places`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import Any

import jax
import numpy as np

from ..errors import InputError, brief, listed
from ..program.model import (
    EVAL,
    TRAIN,
    Leaf,
    Model,
    as_arrays,
    checked,
    is_float,
    named_apart,
)
from ..program.sets import one_set
from .accuracy import accuracies
from .departure import Search
from .doubts import leaves_in_doubt
from .draws import different_draws
from .layouts import Transform
from .matching import Match, converted, match, unmatched
from .pairs import OF_PARAMETERS, Pair, leaf_errors
from .parameters import match_parameters
from .places import left_out, places_of, places_of_optimizers, rounded, with_rules
from .programs import Result, TracedProgram, program_of
from .real_parts import in_real_parts, together
from .report import ANOTHER, ONLY_IF, SAME, UNKNOWN, Comparison, Parameters, Place
from .training import difference_of_steps, errors_of_training
from .values import (
    AS_GIVEN,
    NOT_PERMUTED,
    OTHERS,
    Arguments,
    fixes_sizes,
    input_sets,
    is_finite,
    largest,
    param_sets,
    state_sets,
    varied,
)

#: The largest difference in float64, relative to the largest magnitude, that is
#: rounding; and how much more it may be in a gradient, and after some steps of
#: training.
ROUNDING, OF_GRADIENTS, OF_TRAINING = 1e-9, 100, 1000
#: How the name of a quantity begins; so many of them are told by their number.
OF_STATE, MANY_STATES = "new state", 4
NAMED = 6  # so many leaves without a partner are named in a sentence


def compare(
    reference: Model,
    candidate: Model,
    *inputs: Any,
    mapping: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Comparison:
    """Whether a candidate is the same function as a reference, with the reference's
    parameters in both.

    Args:
        reference, candidate: the models.
        inputs: what both are called with: pytrees of arrays.
        mapping: what leaves of the candidate are, where names and shapes don't tell:
            `{candidate_path: reference_path}`, or `{candidate_path: (reference_path,
            function)}`, with a tuple of paths for a function of several leaves.
        say: takes a sentence about what is done next.

    Returns: The verdict, the places where the two part, matched parameters, and the
        largest difference of each quantity.

    Raises:
        InputError: no model, one that does not take the inputs, a reference that
            returns NaN, or a wrong mapping.
    """
    if mapping is not None and not isinstance(mapping, Mapping):
        raise InputError(
            f"mapping is of type {type(mapping).__name__}, expected {{candidate_path: "
            f"reference_path}}."
        )
    checked(reference, "the reference")
    checked(candidate, "the candidate")
    reference, candidate = named_apart(reference, candidate)
    first, second, remarks = in_real_parts(reference, candidate, mapping)
    with np.errstate(all="ignore"):  # values of models that differ may overflow
        result = _Comparing(first, second, as_arrays(inputs), say).run(mapping)
    if remarks:
        result.remarks = [*remarks, *result.remarks]
        result.converted = together(candidate, result.converted)
    return result


@dataclass(frozen=True)
class _Failure:
    """A quantity that differs."""

    reason: str  # how it does, in words
    places: Callable[[], Iterable[Place]]  # looks for the lines that compute it


class _Comparing:
    """Compares two models step by step, and collects what is found."""

    def __init__(
        self,
        reference: Model,
        candidate: Model,
        inputs: tuple[Any, ...],
        say: Callable[[str], None],
    ):
        self._reference = reference
        self._candidate = candidate
        self._inputs = inputs
        self._say = say
        self._result = Comparison(reference.name, candidate.name)
        self._failures: dict[str, _Failure] = {}
        self._tolerance = ROUNDING
        self._in_doubt: list[str] = []  # paths of leaves that may be others
        self._proposed: list[Match] = []  # by names and shapes alone
        #: A candidate of one mode has to be the same function in all of the
        #: reference's.
        of_candidate = candidate.modes * len(reference.modes)
        self._modes = list(zip(reference.modes, of_candidate, strict=False))

    def run(self, mapping: Mapping[str, Any] | None) -> Comparison:
        reference, candidate = self._reference, self._candidate
        if len(reference.modes) < len(candidate.modes):
            self._remark(
                "Training is not compared: only the candidate has a mode for it. Give "
                "the reference train= and eval=."
            )
        self._say(f"Trace {reference.name} and {candidate.name}.")
        r, c = self._programs(*self._modes[0])
        first = self._match(r, c, mapping)
        self._compare_mode(first, self._modes[0])
        for mode in self._modes[1:]:
            r, c = self._programs(*mode)
            self._compare_mode(replace(first, r=r, c=c), mode)
        for further in (
            self._compare_next_call,
            self._compare_other_sizes,
            self._compare_accuracy,
        ):
            if not self._failures:
                further(first)
        self._result.draws = different_draws(reference, candidate, first.matches)
        if self._failures:
            self._tell_difference()
        else:
            self._tell_agreement(first)
        return self._result

    def _remark(self, sentence: str) -> None:
        self._result.remarks.append(sentence)

    def _programs(self, mode_r: str, mode_c: str) -> tuple[Any, Any]:
        r = program_of(self._reference, self._inputs, mode_r)
        c = program_of(self._candidate, self._inputs, mode_c)
        if len(r.outputs) != len(c.outputs):
            raise InputError(
                f"{c.model.name} returns {len(c.outputs)} arrays, {r.model.name} "
                f"{len(r.outputs)}. Give outputs=, a function that turns the outputs "
                "of a model into those of the other."
            )
        return r, c

    # Parameters and state

    def _match(self, r: Any, c: Any, mapping: Mapping[str, Any] | None) -> Pair:
        """Match parameters and state, and give the candidate the reference's values."""
        inputs = input_sets(jax.tree.leaves(self._inputs))
        of_state = match(r.states, c.states)
        state = state_sets(r.state_values, unmatched(r.states, of_state))
        own_state = state_sets(c.state_values, range(len(c.states)))
        own_state = converted(of_state, state, own_state)
        params = param_sets(r.param_values, self._kept_frozen(r.params, c.params))
        mine = Arguments(params, state, inputs)
        params = param_sets(
            c.param_values, self._kept_frozen(c.params, r.params), seed=1000
        )
        own = Arguments(params, own_state, inputs)

        matched = match_parameters(r, c, mine, own, mapping, self._say)
        params = converted(matched.matches, mine.params, own.params)
        self._proposed = matched.proposed
        self._result.parameters = Parameters.of(r.params, c.params, matched.matches)
        self._result.conditions = matched.conditions
        self._result.mapping = matched.mapping
        self._result.remarks += matched.remarks
        self._result.converted = [leaf[0] for leaf in params]
        self._result.converted_state = [leaf[0] for leaf in own_state]
        alone = Parameters.of(r.states, c.states, of_state)
        self._tell_state_of("reference", alone.only_reference)
        self._tell_state_of("candidate", alone.only_candidate)
        given = replace(own, params=params)
        return Pair(r, c, mine, given, matched.matches, of_state)

    def _kept_frozen(self, leaves: Sequence[Leaf], others: Sequence[Leaf]) -> list[int]:
        """The frozen leaves of a model that the other one cannot have: constants, such
        as a table of positions.
        """
        sizes = {leaf.size for leaf in others}
        kept = []
        for n, leaf in enumerate(leaves):
            if leaf.is_frozen and leaf.size not in sizes:
                kept.append(n)
                self._remark(
                    f"{leaf.path} is frozen, and no parameter of the other model: it "
                    "keeps its values."
                )
        return kept

    def _tell_state_of(self, whose: str, paths: Sequence[str]) -> None:
        if paths:
            self._remark(
                f"Only the {whose} has this state, which is not compared: "
                f"{listed(paths)}."
            )

    # In each mode

    def _compare_mode(self, pair: Pair, mode: tuple[str, str]) -> None:
        name = f" ({mode[0]})" if len(self._modes) > 1 else ""
        if pair.r.draws or pair.c.draws:
            self._remark(
                f"Random numbers are drawn{name}: each is replaced by the same number "
                "in both, since two frameworks draw differently from one key."
            )
        self._say(f"Compare outputs, gradients and training{name}.")
        agree = self._compare_outputs(pair, name)
        if not agree or not any(map(is_float, pair.r.outputs)):
            return
        try:
            _ = pair.r.gradient_trace, pair.c.gradient_trace  # they are traced here
            agree = self._compare_gradients(pair, name)
        except InputError as error:
            self._remark(f"Gradients{name} are not compared: {error}")
            return
        if agree:
            self._compare_training(pair.sets(OTHERS), name)

    def _compare_outputs(self, pair: Pair, name: str) -> bool:
        first, second = pair.r.forward(pair.mine), pair.c.forward(pair.given)
        if not is_finite([a[AS_GIVEN] for a in first.outputs]):
            raise InputError(
                f"{self._reference.name} returns NaN or infinity for these inputs: "
                "nothing can be compared with it."
            )
        tolerance = max(ROUNDING, 4 * _moved_by_constants(pair, first, second))
        self._tolerance = max(self._tolerance, tolerance)
        wanted = [list(a.shape[1:]) for a in first.outputs]
        shapes = [list(a.shape[1:]) for a in second.outputs]
        if shapes != wanted:
            remark = (
                f"The outputs have the shapes {listed(map(str, shapes))}, "
                f"expected {listed(map(str, wanted))}. "
            )
            self._remark(f"{remark}{self._candidate.hint}".rstrip())
        places = partial(self._places, pair)
        error = largest(first.outputs, second.outputs)
        agree = self._record(f"outputs{name}", error, tolerance, places)
        if not agree and shapes == wanted and _agree_in_order(first, second, tolerance):
            self._remark(
                f"With your inputs, the outputs{name} agree. They differ once the "
                "numbers of the inputs change places and are made a little smaller."
            )
        errors = leaf_errors(pair.state_matches, first.state, second.state)
        for n, (leaf, error) in enumerate(zip(pair.c.states, errors, strict=True)):
            if pair.state_matches[n].layout is not None:
                quantity = f"{OF_STATE} {leaf.path}{name}"
                agree &= self._record(quantity, error, tolerance, places)
        return agree

    def _compare_gradients(self, pair: Pair, name: str) -> bool:
        tolerance = OF_GRADIENTS * self._tolerance
        places = partial(self._places_of_gradients, pair, tolerance)
        few = pair.sets(NOT_PERMUTED)
        first, second = few.gradients()
        agree = True
        for quantity, error in few.gradient_errors(first, second).items():
            reason = ""
            if quantity == OF_PARAMETERS and error > tolerance:
                most = few.most_different_gradient(first, second, tolerance)
                reason = (
                    f"{quantity}{name} differ by {error:.1e} of the largest "
                    f"magnitude, most of all that of {most}"
                )
            agree &= self._record(f"{quantity}{name}", error, tolerance, places, reason)
        return agree

    def _compare_training(self, pair: Pair, name: str) -> None:
        """Compare parameters after some steps of SGD, of Adam, and of the models' own
        optimizers.
        """
        if any(isinstance(m.layout, Transform) for m in pair.matches):
            return
        tolerance = OF_TRAINING * self._tolerance
        places = partial(self._places_of_gradients, pair, self._tolerance)
        of_gradients = self._result.errors[f"{OF_PARAMETERS}{name}"]
        most_growth = tolerance / (4 * max(of_gradients, np.finfo(np.float64).eps))
        for steps, error in errors_of_training(pair, most_growth):
            self._record(f"{steps}{name}", error, tolerance, places)
        models = self._reference, self._candidate
        if any(model.optimizer is None for model in models):
            return
        error, where = difference_of_steps(pair)
        quantity = f"steps of their own optimizers{name}"
        reason = (
            f"{where}{name} differs by {error:.1e}, with equal gradients: the "
            "optimizers differ"
        )
        places = partial(places_of_optimizers, *models)
        self._record(quantity, error, tolerance, places, reason)

    # If all that agrees

    def _compare_next_call(self, pair: Pair) -> None:
        """Compare the outputs of a call from the state that a call returns, which may
        count calls.
        """
        if not all(isinstance(program, TracedProgram) for program in (pair.r, pair.c)):
            return
        models = self._reference, self._candidate
        if not any(jax.tree.leaves(model.state) for model in models):
            return
        programs = []
        for model, first, last in zip(
            models, self._modes[0], self._modes[-1], strict=True
        ):
            programs.append(TracedProgram(model, self._inputs, first, last))
        r, c = programs
        wanted = r.forward(pair.mine).outputs
        if is_finite(wanted):
            error = largest(wanted, c.forward(pair.given).outputs)
            places = partial(self._places, replace(pair, r=r, c=c))
            name = "outputs of the next call"
            self._record(name, error, self._tolerance, places)

    def _compare_other_sizes(self, pair: Pair) -> None:
        """Compare the outputs of a batch of one, and of another length, where both take
        them.
        """
        for name, inputs in varied(self._inputs):
            models = self._reference, self._candidate
            fixed = [m.name for m in models if fixes_sizes(m, self._inputs, inputs)]
            if fixed:
                self._remark(
                    f"The outputs of {name} are not compared: inputs= of "
                    f"{listed(fixed)} has arrays of one size."
                )
                continue
            arrays = list(map(one_set, jax.tree.leaves(inputs)))
            mine = replace(pair.mine, inputs=arrays)
            given = replace(pair.given, inputs=arrays)
            try:
                r = program_of(self._reference, inputs, self._modes[0][0])
                wanted = r.forward(mine).outputs
            except Exception:  # the model is made for the sizes that were given
                continue
            try:
                c = program_of(self._candidate, inputs, self._modes[0][1])
                outputs = c.forward(given).outputs
            except Exception as error:
                self._remark(
                    f"The reference takes {name}, the candidate does not: "
                    f"{brief(error)}"
                )
                continue
            if is_finite(wanted):
                error = largest(wanted, outputs)
                self._record(f"outputs of {name}", error, self._tolerance)

    def _compare_accuracy(self, pair: Pair) -> None:
        if pair.r.draws or pair.c.draws:
            return
        self._say("Run both in their own dtypes.")
        try:
            measured = list(accuracies(pair, self._inputs))
        except Exception as error:
            self._remark(
                f"Not run in its own dtype: {type(error).__name__}: {brief(error)}"
            )
            return
        places = partial(rounded, pair.c)
        for m in measured:
            reason = (
                f"{m.name} is {m.error:.1e}, that of the reference {m.of_reference:.1e}"
            )
            self._record(m.name, m.error, m.tolerance, places, reason)

    def _record(
        self,
        name: str,
        error: float,
        tolerance: float,
        places: Callable[[], Iterable[Place]] = tuple,
        reason: str = "",
    ) -> bool:
        """Keep the error of a quantity; whether it is within the tolerance."""
        self._result.errors[name] = error
        if error <= tolerance:
            return True
        if not reason:
            verb = "differ"
            if name.startswith(("gradient of", OF_STATE)):
                verb = "differs"
            reason = f"{name} {verb}"
            if isfinite(error):
                reason += f" by {error:.1e} of the largest magnitude"
        self._failures[name] = _Failure(reason, places)
        return False

    # The verdict

    def _tell_agreement(self, pair: Pair) -> None:
        result = self._result
        names = [name for name in result.errors if not name.startswith("error")]
        result.verdict = SAME
        result.reason = f"These agree: {listed(names)}."
        if result.conditions:
            result.verdict = ONLY_IF
            result.reason = (
                f"Only with {listed(result.conditions)}. Then these "
                f"agree: {listed(names)}."
            )
            self._say("Look for the place where they part without it.")
            params = converted(self._proposed, pair.mine.params, pair.given.params)
            pair = replace(pair, given=replace(pair.given, params=params))
            result.places = list(self._places(pair))

    def _tell_difference(self) -> None:
        result = self._result
        self._say("Look for the place where they part.")
        failure, *others = self._failures.values()
        result.places = list(failure.places())
        result.verdict = ANOTHER
        result.reason = f"The {failure.reason}."
        if self._only_training_differs():
            result.reason = f"Evaluation agrees, training does not. {result.reason}"
            if len(self._candidate.modes) < len(self._reference.modes):
                self._remark(
                    "The candidate has one mode, the reference has two. If the "
                    "candidate can be trained and evaluated, too, give it train= and "
                    "eval=."
                )
        if others:
            _, *names = self._failures
            result.reason += f" These differ, too: {listed(_summary(names))}."
        of_reference = result.parameters.only_reference
        of_candidate = result.parameters.only_candidate
        if of_reference and of_candidate:
            result.verdict = UNKNOWN
        elif self._in_doubt:
            result.verdict = UNKNOWN
            result.reason += (
                f" In doubt: {listed(self._in_doubt)}. The candidate may keep another "
                "parameter of the reference there, or other values, as a logarithm or "
                "an inverse; a mapping may say what."
            )
        alone = [*of_candidate, *of_reference][:NAMED]
        if alone:
            result.reason += (
                f" Without a partner: {listed(alone)}; a mapping may "
                "tell what they are."
            )

    def _only_training_differs(self) -> bool:
        if EVAL not in self._reference.modes:
            return False
        return all(name.endswith(f"({TRAIN})") for name in self._failures)

    def _places(self, pair: Pair) -> Iterator[Place]:
        search = Search(*pair.sets(OTHERS).tapes(), self._tolerance)
        self._in_doubt += leaves_in_doubt(search, pair)
        yield from self._places_of(search)

    def _places_of_gradients(self, pair: Pair, tolerance: float) -> Iterator[Place]:
        pair = pair.sets(OTHERS)
        yield from left_out(pair, OF_GRADIENTS * self._tolerance)
        search = Search(*pair.gradient_tapes(tolerance), tolerance)
        yield from with_rules(self._places_of(search), pair.c)

    def _places_of(self, search: Search) -> Iterator[Place]:
        if search.wrong:  # else they part for other values alone
            self._result.agreed = search.counts()
            yield from places_of(search)


def _summary(names: Sequence[str]) -> list[str]:
    """Names of quantities, those of many leaves of a state as their number."""
    states = [name for name in names if name.startswith(OF_STATE)]
    if len(states) < MANY_STATES:
        return list(names)
    others = [name for name in names if name not in states]
    return [*others, f"{len(states)} leaves of the new state"]


def _moved_by_constants(pair: Pair, first: Result, second: Result) -> float:
    """How much outputs change if constants of a narrow dtype are moved within their
    rounding.
    """
    if not pair.r.narrow_constants and not pair.c.narrow_constants:
        return 0.0
    of_reference = pair.r.forward(pair.mine, jitter=1).outputs
    of_candidate = pair.c.forward(pair.given, jitter=2).outputs
    moved = largest(first.outputs, of_reference)
    return moved + largest(second.outputs, of_candidate)


def _agree_in_order(first: Result, second: Result, tolerance: float) -> bool:
    """Whether outputs agree for the sets of values in which the inputs are in their
    order.
    """
    wanted = [a[NOT_PERMUTED] for a in first.outputs]
    own = [a[NOT_PERMUTED] for a in second.outputs]
    return largest(wanted, own) <= tolerance
