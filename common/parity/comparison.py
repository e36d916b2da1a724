"""Compares two models: parameters, outputs, gradients and training in float64, then accuracy in their own dtypes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from math import isfinite
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError, brief, listed
from ..program.model import (
    EVAL,
    TRAIN,
    Model,
    as_arrays,
    checked,
    is_float,
    named_apart,
)
from ..program.sets import one_set
from .departure import Search
from .doubts import leaves_in_doubt
from .draws import different_draws
from .layouts import Transform
from .matching import converted, match, unmatched
from .pairs import OF_PARAMETERS, Pair, leaf_errors
from .parameters import match_parameters
from .places import left_out, places_of, places_of_optimizers, rounded, with_rules
from .programs import TracedProgram, program_of
from .report import ANOTHER, ONLY_IF, SAME, UNKNOWN, Comparison, Parameters, Place
from .training import difference_of_steps, errors_of_training
from .values import (
    AS_GIVEN,
    OTHERS,
    Arguments,
    fixes_sizes,
    input_sets,
    largest,
    param_sets,
    state_sets,
    varied,
)

ROUNDING = 1e-9  # the largest difference in float64, relative to the largest magnitude, that is rounding
OF_GRADIENTS, OF_TRAINING = (
    100,
    1000,
)  # how much more it may be in a gradient, and after some steps of training
#: How many times the reference's error the candidate's may be in the working dtype, and how many of its last digits.
TIMES, DIGITS = 4.0, 64.0


def compare(
    reference: Model,
    candidate: Model,
    *inputs: Any,
    mapping: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Comparison:
    """Whether a candidate is the same function as a reference, with the reference's parameters in both.

    Args:
        reference, candidate: the models.
        inputs: what both are called with: pytrees of arrays.
        mapping: what leaves of the candidate are, where names and shapes don't tell:
            `{candidate_path: reference_path}`, or `{candidate_path: (reference_path, function)}`, with a tuple of paths
            for a function of several leaves.
        say: takes a sentence about what is done next.

    Returns:
        The verdict, the places where the two part, matched parameters, and the largest difference of each quantity.

    Raises:
        InputError: no model, one that does not take the inputs, a reference that returns NaN, or a wrong mapping.
    """
    if mapping is not None and not isinstance(mapping, Mapping):
        raise InputError(
            f"mapping is of type {type(mapping).__name__}, expected {{candidate_path: reference_path}}."
        )
    models = named_apart(
        checked(reference, "the reference"), checked(candidate, "the candidate")
    )
    with np.errstate(all="ignore"):  # values of models that differ may overflow
        return _Comparing(*models, as_arrays(inputs), say).run(mapping)


class _Comparing:
    def __init__(
        self,
        reference: Model,
        candidate: Model,
        inputs: tuple[Any, ...],
        say: Callable[[str], None],
    ):
        self.reference, self.candidate, self.inputs, self.say = (
            reference,
            candidate,
            inputs,
            say,
        )
        self.result = Comparison(reference.name, candidate.name)
        #: Of each quantity that differs, how it does, and a function that looks for the lines that compute it.
        self.failures: dict[str, tuple[str, Callable[[], Iterable[Place]]]] = {}
        #: Paths of leaves of the candidate whose values the reference may keep otherwise.
        self._in_doubt: list[str] = []
        self.tolerance = ROUNDING
        #: Of both models; a candidate of one mode has to be the same function in all of the reference's.
        self.modes = [
            *zip(reference.modes, candidate.modes * len(reference.modes), strict=False)
        ]

    def run(self, mapping: Any) -> Comparison:
        reference, candidate, modes = self.reference, self.candidate, self.modes
        if len(reference.modes) < len(candidate.modes):
            self.result.remarks.append(
                "Training is not compared: only the candidate has a mode for it. Give the reference train= and eval=."
            )
        self.say(f"Trace {reference.name} and {candidate.name}.")
        first = self._match(*self._programs(*modes[0]), mapping)
        for mode in modes:
            r, c = (first.r, first.c) if mode == modes[0] else self._programs(*mode)
            self._mode(
                replace(first, r=r, c=c), f" ({mode[0]})" if len(modes) > 1 else ""
            )
        for compared_last in (self._next_call, self._variations, self._accuracy):
            if not self.failures:
                compared_last(first)
        self.result.draws = different_draws(reference, candidate, first.matches)
        self._decide(first)
        return self.result

    def _programs(self, mode_r: str, mode_c: str) -> tuple[Any, Any]:
        r, c = (
            program_of(self.reference, self.inputs, mode_r),
            program_of(self.candidate, self.inputs, mode_c),
        )
        if len(r.outputs) != len(c.outputs):
            raise InputError(
                f"{self.candidate.name} returns {len(c.outputs)} arrays, {self.reference.name} {len(r.outputs)}. Give "
                "outputs=, a function that turns the outputs of a model into those of the other."
            )
        return r, c

    def _match(self, r: Any, c: Any, mapping: Any) -> Pair:
        """Choose which leaf is which, first by names, then by function."""
        result, inputs = self.result, input_sets(jax.tree.leaves(self.inputs))
        states = match(r.states, c.states)
        state = state_sets(r.state_values, unmatched(r.states, states))
        arguments = Arguments(param_sets(r.param_values), state, inputs)
        own_state = converted(
            states, state, state_sets(c.state_values, range(len(c.states)))
        )
        own = Arguments(param_sets(c.param_values, seed=1000), own_state, inputs)
        matched = match_parameters(r, c, arguments, own, mapping, self.say)
        matches, self._proposed = matched.matches, matched.proposed
        result.parameters = Parameters.of(r.params, c.params, matches)
        result.conditions, result.mapping = matched.conditions, matched.mapping
        result.remarks += matched.remarks
        given = replace(own, params=converted(matches, arguments.params, own.params))
        result.converted, result.converted_state = (
            [a[0] for a in some] for some in (given.params, given.state)
        )
        of_state = Parameters.of(r.states, c.states, states)
        for whose, paths in (
            ("reference", of_state.only_reference),
            ("candidate", of_state.only_candidate),
        ):
            if paths:
                result.remarks.append(
                    f"Only the {whose} has this state, which is not compared: {listed(paths)}."
                )
        return Pair(r, c, arguments, given, matches, states)

    def _mode(self, pair: Pair, name: str) -> None:
        if pair.r.draws or pair.c.draws:
            self.result.remarks.append(
                f"Random numbers are drawn{name}: each is replaced by the same number in both, since two frameworks "
                "draw differently from one key."
            )
        self.say(f"Compare outputs, gradients and training{name}.")
        if self._outputs(pair, name) and any(is_float(a) for a in pair.r.outputs):
            try:
                _ = pair.r.gradient_trace, pair.c.gradient_trace  # they are traced here
            except InputError as error:
                self.result.remarks.append(f"Gradients are not compared: {error}")
                return
            self._gradients(pair, name)

    def _outputs(self, pair: Pair, name: str) -> bool:
        first, second = pair.r.forward(pair.mine), pair.c.forward(pair.given)
        if not _is_finite(a[AS_GIVEN] for a in first.outputs):
            raise InputError(
                f"{self.reference.name} returns NaN or infinity for these inputs: nothing can be compared with it."
            )
        moved = 0.0
        if pair.r.narrow_constants or pair.c.narrow_constants:
            moved += largest(first.outputs, pair.r.forward(pair.mine, jitter=1).outputs)
            moved += largest(
                second.outputs, pair.c.forward(pair.given, jitter=2).outputs
            )
        tolerance = max(ROUNDING, 4 * moved)
        self.tolerance = max(self.tolerance, tolerance)
        own, wanted = (
            [list(a.shape[1:]) for a in result.outputs] for result in (second, first)
        )
        if own != wanted:
            remark = f"The outputs have the shapes {listed(map(str, own))}, expected {listed(map(str, wanted))}"
            self.result.remarks.append(f"{remark}. {self.candidate.hint}".rstrip())
        places = partial(self._places, pair)
        same = self._record(
            f"outputs{name}", largest(first.outputs, second.outputs), tolerance, places
        )
        if not same and own == wanted:
            unpermuted = slice(0, 2)
            given = [[a[unpermuted] for a in r.outputs] for r in (first, second)]
            if largest(*given) <= tolerance:
                self.result.remarks.append(
                    f"With the inputs in their order, the outputs{name} agree. They differ once the numbers of the "
                    "inputs change places."
                )
        errors = leaf_errors(pair.state_matches, first.state, second.state)
        for leaf, m, error in zip(
            pair.c.states, pair.state_matches, errors, strict=True
        ):
            if m.layout is not None:
                same &= self._record(
                    f"new state {leaf.path}{name}", error, tolerance, places
                )
        return same

    def _next_call(self, pair: Pair) -> None:
        """Compare the outputs of a call from the state that a call returns, which may count calls."""
        models = (self.reference, self.candidate)
        traced = all(isinstance(program, TracedProgram) for program in (pair.r, pair.c))
        if not traced or not any(jax.tree.leaves(model.state) for model in models):
            return
        ways = zip(models, self.modes[0], self.modes[-1], strict=True)
        r, c = (
            TracedProgram(model, self.inputs, first, last)
            for model, first, last in ways
        )
        wanted, own = r.forward(pair.mine).outputs, c.forward(pair.given).outputs
        if _is_finite(wanted):
            places = partial(self._places, replace(pair, r=r, c=c))
            self._record(
                "outputs of the next call", largest(wanted, own), self.tolerance, places
            )

    def _gradients(self, pair: Pair, name: str) -> None:
        """Compare gradients; and parameters after some steps of SGD, of Adam, and of the models' own optimizers."""
        tolerance, places = (
            OF_GRADIENTS * self.tolerance,
            partial(self._places, pair, of_gradients=True),
        )
        few = pair.sets(slice(2))
        first, second = few.gradients()
        agree = True
        for quantity, error in few.gradient_errors(first, second).items():
            reason = ""
            if quantity == OF_PARAMETERS and error > tolerance:
                most = few.most_different_gradient(first, second, tolerance)
                reason = f"{quantity}{name} differ by {error:.1e} of the largest magnitude, most of all that of {most}"
            agree = self._record(f"{quantity}{name}", error, tolerance, places, reason)
        if not agree or any(isinstance(m.layout, Transform) for m in pair.matches):
            return
        pair = pair.sets(OTHERS)
        for steps, error in errors_of_training(pair):
            self._record(f"{steps}{name}", error, OF_TRAINING * self.tolerance, places)
        if (
            self.reference.optimizer is not None
            and self.candidate.optimizer is not None
        ):
            error, where = difference_of_steps(pair)
            reason = f"{where}{name} differs by {error:.1e}, with equal gradients: the optimizers differ"
            places = partial(places_of_optimizers, self.reference, self.candidate)
            self._record(
                f"steps of their own optimizers{name}",
                error,
                OF_TRAINING * self.tolerance,
                places,
                reason,
            )

    def _variations(self, pair: Pair) -> None:
        """A batch of one, and another length, where both take them."""
        mode_r, mode_c = self.modes[0]
        for name, inputs in varied(self.inputs):
            fixed = [
                model.name
                for model in (self.reference, self.candidate)
                if fixes_sizes(model, self.inputs, inputs)
            ]
            if fixed:
                self.result.remarks.append(
                    f"The outputs of {name} are not compared: inputs= of {listed(fixed)} has arrays of one size."
                )
                continue
            arrays = list(map(one_set, jax.tree.leaves(inputs)))
            try:
                first = program_of(self.reference, inputs, mode_r).forward(
                    replace(pair.mine, inputs=arrays)
                )
            except Exception:  # the model is made for the sizes that were given
                continue
            try:
                second = program_of(self.candidate, inputs, mode_c).forward(
                    replace(pair.given, inputs=arrays)
                )
            except Exception as error:
                self.result.remarks.append(
                    f"The reference takes {name}, the candidate does not: {brief(error)}"
                )
                continue
            if _is_finite(first.outputs):
                self._record(
                    f"outputs of {name}",
                    largest(first.outputs, second.outputs),
                    self.tolerance,
                )

    def _accuracy(self, pair: Pair) -> None:
        if pair.r.draws or pair.c.draws:
            return
        self.say("Run both in their own dtypes.")
        pair = pair.sets(AS_GIVEN)
        exact = pair.r.forward(pair.mine).outputs

        def error_of(outputs: list[Any]) -> float:
            pairs = [
                (np.asarray(a), b)
                for a, b in zip(outputs, exact, strict=True)
                if b.dtype.kind in "fc"
            ]
            return largest(
                [b for _, b in pairs], [a.astype(b.dtype)[None] for a, b in pairs]
            )

        try:
            with jax.default_matmul_precision("highest"):
                own = pair.r.run(pair.mine, self.inputs, jit=True)
                outputs = {
                    jit: pair.c.run(pair.given, self.inputs, jit=jit)
                    for jit in (True, False)
                }
        except Exception as error:
            self.result.remarks.append(
                f"Not run in its own dtype: {type(error).__name__}: {brief(error)}"
            )
            return
        epsilon = max(
            (float(jnp.finfo(a.dtype).eps) for a in own if is_float(a)), default=0.0
        )
        for jit, arrays in outputs.items():
            error, name = (
                error_of(arrays),
                "error in its own dtype" + ("" if jit else ", not compiled"),
            )
            reason = f"{name} is {error:.1e}, that of the reference {error_of(own):.1e}"
            self._record(
                name,
                error,
                TIMES * error_of(own) + DIGITS * epsilon,
                partial(rounded, pair.c),
                reason,
            )

    def _record(
        self,
        name: str,
        error: float,
        tolerance: float,
        places: Callable[[], Any] = tuple,
        reason: str = "",
    ) -> bool:
        """Keep the error of a quantity; whether it is within the tolerance."""
        self.result.errors[name] = error
        if error <= tolerance:
            return True
        verb = "differs" if name.startswith(("gradient of", "new state")) else "differ"
        by = f" by {error:.1e} of the largest magnitude" if isfinite(error) else ""
        self.failures[name] = reason or f"{name} {verb}{by}", places
        return False

    def _decide(self, pair: Pair) -> None:
        result, parameters = self.result, self.result.parameters
        if not self.failures:
            agree = listed(
                name for name in result.errors if not name.startswith("error")
            )
            result.verdict, result.reason = SAME, f"These agree: {agree}."
            if result.conditions:
                result.verdict = ONLY_IF
                result.reason = (
                    f"Only with {listed(result.conditions)}. Then these agree: {agree}."
                )
                self.say("Look for the place where they part without it.")
                result.places = list(self._places(self._as_proposed(pair)))
            return
        self.say("Look for the place where they part.")
        (_, (reason, places)), *others = self.failures.items()
        result.places = list(places())
        result.verdict, result.reason = ANOTHER, f"The {reason}."
        if self._only_training_differs():
            result.reason = f"Evaluation agrees, training does not. {result.reason}"
            if len(self.candidate.modes) < len(self.reference.modes):
                result.remarks.append(
                    "The candidate has one mode, the reference has two. If the candidate can be trained and "
                    "evaluated, too, give it train= and eval=."
                )
        if others:
            differing = listed(name for name, _ in others)
            result.reason += f" These differ, too: {differing}."
        alone = [*parameters.only_candidate, *parameters.only_reference]
        if parameters.only_candidate and parameters.only_reference:
            result.verdict = UNKNOWN
        elif self._in_doubt:
            result.verdict = UNKNOWN
            result.reason += (
                f" In doubt: {listed(self._in_doubt)}. The candidate may keep another parameter of the reference there, "
                "or other values, as a logarithm or an inverse; a mapping may say what."
            )
        if alone:
            result.reason += f" Without a partner: {listed(alone[:6])}; a mapping may tell what they are."

    def _as_proposed(self, pair: Pair) -> Pair:
        """The pair with parameters that are matched by names and shapes alone."""
        params = converted(self._proposed, pair.mine.params, pair.given.params)
        return replace(pair, given=replace(pair.given, params=params))

    def _only_training_differs(self) -> bool:
        if EVAL not in self.reference.modes:
            return False
        return all(name.endswith(f"({TRAIN})") for name in self.failures)

    def _places(self, pair: Pair, *, of_gradients: bool = False) -> Iterator[Place]:
        pair = pair.sets(OTHERS)
        if of_gradients:
            yield from left_out(pair, OF_GRADIENTS * self.tolerance)
        search = Search(
            *(pair.gradient_tapes() if of_gradients else pair.tapes()), self.tolerance
        )
        if not of_gradients:
            self._in_doubt += leaves_in_doubt(search, pair)
        if search.wrong:  # else they part for other values alone
            self.result.agreed = search.counts()
            places = places_of(search)
            yield from with_rules(places, pair.c) if of_gradients else places


def _is_finite(arrays: Iterable[np.ndarray]) -> bool:
    return all(np.isfinite(a).all() for a in arrays if a.dtype.kind in "fc")
