"""Compares two models: parameters, outputs, gradients and training in float64, then accuracy in their own dtypes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError, brief, listed
from .copies import copies
from .departure import Search
from .draws import different_draws
from .layouts import Transform
from .matching import Match, match, unmatched, with_uses
from .model import CALL, EVAL, TRAIN, Model, checked, is_float, named_apart
from .obstacles import with_rules
from .pairs import left_out, not_compared, paired_gradients, paired_outputs, parameter_gradients
from .places import places_of, places_of_optimizers, rounded
from .programs import Program
from .record import ANOTHER, SAME, UNKNOWN, Comparison, Parameters, Place
from .refinement import Refinement
from .starts import moved_starts
from .tape import Tape
from .training import difference_of_steps, rates, steps_of, trained
from .values import (
    AS_GIVEN,
    OTHERS,
    Arguments,
    as_arrays,
    error_of,
    input_sets,
    is_key,
    key_set,
    largest,
    match_by_values,
    param_sets,
    state_sets,
    varied,
    weights_of,
)

#: The largest difference in float64, relative to the largest magnitude, that is rounding.
ROUNDING = 1e-9
#: How much more it may be in a gradient, and after some steps of training.
OF_GRADIENTS, OF_TRAINING = 100, 1000
#: How many times the reference's error the candidate's may be in the working dtype, and how many of its last digits.
TIMES, DIGITS = 4.0, 64.0

Say = Callable[[str], None]


def compare(
    reference: Model,
    candidate: Model,
    *inputs: Any,
    mapping: Mapping[str, Any] | None = None,
    say: Say = lambda message: None,
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
        raise InputError(f"mapping is of type {type(mapping).__name__}, expected {{candidate_path: reference_path}}.")
    models = named_apart(checked(reference, "the reference"), checked(candidate, "the candidate"))
    with np.errstate(all="ignore"):  # values of models that differ may overflow
        return _Comparing(*models, as_arrays(inputs), mapping, say).result


@dataclass(frozen=True)
class _Failure:
    """A quantity that differs.

    Args:
        name: of the quantity.
        reason: how it differs, as the start of a sentence.
        places: a function without arguments that looks for the lines that compute it.
    """

    name: str
    reason: str
    places: Callable[[], Iterable[Place]] = tuple


class _Comparing:
    def __init__(self, reference: Model, candidate: Model, inputs: tuple[Any, ...], mapping: Any, say: Say):
        self.reference, self.candidate, self.inputs, self.say = reference, candidate, inputs, say
        self.result = Comparison(reference.name, candidate.name)
        self.failures: list[_Failure] = []
        self.tolerance = ROUNDING
        modes = list(self._modes())
        say(f"Trace {reference.name} and {candidate.name}.")
        first = self._programs(*modes[0], inputs)
        self._match(*first, mapping)
        for number, mode in enumerate(modes):
            name = f" ({mode[0]})" if len(modes) > 1 else ""
            self._mode(*(first if number == 0 else self._programs(*mode, inputs)), name)
        if not self.failures:
            self._variations(*modes[0])
        if not self.failures:
            self._accuracy(*first)
        self.result.draws = different_draws(reference, candidate, self.matches)
        self._decide()

    # What is compared -------------------------------------------------------------------------------------------

    def _modes(self) -> Iterator[tuple[str, str]]:
        mine, others = self.reference.modes, self.candidate.modes
        if others == (CALL,):
            yield from ((mode, CALL) for mode in mine)  # it has to be the same function in all of them
        elif mine == (CALL,):
            self.result.remarks.append(
                "Training is not compared: only the candidate has a mode for it. Give the reference train= and eval=."
            )
            yield CALL, EVAL
        else:
            yield from ((mode, mode) for mode in (EVAL, TRAIN))

    def _programs(self, mode_r: str, mode_c: str, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
        r, c = self.reference.program(inputs, mode_r), self.candidate.program(inputs, mode_c)
        if len(r.outputs) != len(c.outputs):
            raise InputError(
                f"{self.candidate.name} returns {len(c.outputs)} arrays, {self.reference.name} {len(r.outputs)}. Give "
                "outputs=, a function that turns the outputs of a model into those of the other."
            )
        return r, c

    def _match(self, r: Any, c: Any, mapping: Any) -> None:
        """Choose which leaf is which, first by names, then by function."""
        inputs = input_sets(jax.tree.leaves(self.inputs))
        self.state_matches = match(r.states, c.states)
        state = state_sets(r.state_values, unmatched(r.states, self.state_matches))
        self.arguments = Arguments(param_sets(r.param_values), state, inputs)
        own_state = zip(state_sets(c.state_values, range(len(c.states))), self.state_matches, strict=True)
        given_state = [a if m.layout is None else m.layout.convert(state) for a, m in own_state]
        own = Arguments(param_sets(c.param_values, seed=1000), given_state, inputs)
        reference, first = r.tape(self.arguments.one(OTHERS)), c.tape(own.one(OTHERS))
        self.matches: list[Match] = match(with_uses(r.params, reference), with_uses(c.params, first), mapping)
        del first  # all values of a large program: they are not needed again
        match_by_values(self.matches, r.param_values, c.param_values)
        if any(len(m.options) > 1 for m in self.matches):
            self.say("Match the parameters by what is computed of them.")
            Refinement(reference, c, self.arguments.one(OTHERS), own.one(OTHERS), self.matches).run()
        self.result.remarks += copies(r, c, self.arguments.one(OTHERS), own.one(OTHERS), self.matches)
        self.result.parameters = Parameters.of(r.params, c.params, self.matches)
        self.result.remarks += not_compared(r.params, c.params, self.matches)
        pairs = zip(own.params, self.matches, strict=True)
        params = [a if m.layout is None else m.layout.convert(self.arguments.params) for a, m in pairs]
        self.given = replace(own, params=params)
        given = self.given.one(AS_GIVEN)
        self.result.converted, self.result.converted_state = [a[0] for a in given.params], [a[0] for a in given.state]
        states = Parameters.of(r.states, c.states, self.state_matches)
        for whose, paths in (("reference", states.only_reference), ("candidate", states.only_candidate)):
            if paths:
                self.result.remarks.append(f"Only the {whose} has this state, which is not compared: {listed(paths)}.")

    def _mode(self, r: Any, c: Any, name: str) -> None:
        """Compare outputs, state, gradients and training."""
        if r.draws or c.draws:
            self.result.remarks.append(
                f"Random numbers are drawn{name}: each is replaced by the same number in both, since two frameworks "
                "draw differently from one key."
            )
        self.say(f"Compare outputs, gradients and training{name}.")
        if self._outputs(r, c, name) and any(is_float(a) for a in r.outputs):
            try:
                _ = r.gradient_trace, c.gradient_trace  # they are traced here
            except InputError as error:
                self.result.remarks.append(f"Gradients are not compared: {error}")
                return
            self._gradients(r, c, name)

    def _outputs(self, r: Any, c: Any, name: str) -> bool:
        given = self.given
        first, second = r.forward(self.arguments), c.forward(given)
        if not all(np.isfinite(a[AS_GIVEN]).all() for a in first.outputs if a.dtype.kind in "fc"):
            raise InputError(
                f"{self.reference.name} returns NaN or infinity for these inputs: nothing can be compared with it."
            )
        tolerance = ROUNDING
        if r.narrow_constants or c.narrow_constants:
            moved = largest(first.outputs, r.forward(self.arguments, jitter=1).outputs)
            moved += largest(second.outputs, c.forward(given, jitter=2).outputs)
            tolerance = max(ROUNDING, 4 * moved)
        self.tolerance = max(self.tolerance, tolerance)
        places = partial(self._places, r, c)
        shapes = [[list(a.shape[1:]) for a in result.outputs] for result in (second, first)]
        if shapes[0] != shapes[1]:
            remark = (
                f"The outputs have the shapes {listed(map(str, shapes[0]))}, expected {listed(map(str, shapes[1]))}"
            )
            self.result.remarks.append(f"{remark}. {self.candidate.hint}".rstrip())
        same = self._record(f"outputs{name}", largest(first.outputs, second.outputs), tolerance, places)
        for leaf, m, new in zip(c.states, self.state_matches, second.state, strict=True):
            if m.layout is not None:
                error = largest([m.layout.convert(first.state)], [new])
                same &= self._record(f"new state {leaf.path}{name}", error, tolerance, places)
        return same

    def _gradients(self, r: Any, c: Any, name: str) -> None:
        weights, tolerance = weights_of(r.outputs), OF_GRADIENTS * self.tolerance
        places = partial(self._places_of_gradients, r, c)
        first = r.gradient(self.arguments.first(2), weights)
        second = c.gradient(self.given.first(2), weights)
        for n, (a, b) in enumerate(zip(first.of_inputs, second.of_inputs, strict=False)):
            which = f" {n + 1}" if len(first.of_inputs) > 1 else ""
            error = largest([a], [b], first.of_inputs)
            self._record(f"gradient of input{which}{name}", error, tolerance, places)
        worst = max(parameter_gradients(self.matches, first, second), default=0.0)
        agree = self._record(f"gradients of parameters{name}", worst, tolerance, places)
        if agree and not any(isinstance(m.layout, Transform) for m in self.matches):
            self._training(r, c, name, weights)

    def _training(self, r: Any, c: Any, name: str, weights: Any) -> None:
        """Compare the parameters after a few steps of SGD and of Adam."""
        mine, given = self.arguments.one(OTHERS), self.given.one(OTHERS)
        optimizers = rates(mine.params, r.gradient(mine, weights).of_params)
        for which, optimizer in optimizers.items():
            first, second = trained(r, optimizer, mine, weights), trained(c, optimizer, given, weights)
            errors = [
                largest([m.layout.convert(first)], [b], first)
                for m, b in zip(self.matches, second, strict=True)
                if m.layout is not None
            ]
            error, tolerance = max(errors, default=0.0), OF_TRAINING * self.tolerance
            places = partial(self._places_of_gradients, r, c)
            self._record(f"{steps_of(mine.params)} steps of {which}{name}", error, tolerance, places)
        if all(getattr(model, "optimizer", None) is not None for model in (self.reference, self.candidate)):
            error, where = difference_of_steps(r, c, mine, given, self.matches, weights)
            quantity = f"steps of their own optimizers{name}"
            self.result.errors[quantity] = error
            if error > OF_TRAINING * self.tolerance:
                reason = f"{where}{name} differs by {error:.1e}, with equal gradients: the optimizers differ"
                self.failures.append(
                    _Failure(quantity, reason, partial(places_of_optimizers, self.reference, self.candidate))
                )

    def _variations(self, mode_r: str, mode_c: str) -> None:
        """A batch of one, and another length, where both take them."""
        for name, inputs in varied(self.inputs):
            arrays = [key_set(a) if is_key(a) else np.asarray(a)[None] for a in jax.tree.leaves(inputs)]
            try:
                r = self.reference.program(inputs, mode_r)
                first = r.forward(replace(self.arguments, inputs=arrays))
            except Exception:  # the model is made for the sizes that were given
                continue
            try:
                c = self.candidate.program(inputs, mode_c)
                second = c.forward(replace(self.given, inputs=arrays))
            except Exception as error:
                self.result.remarks.append(f"The reference takes {name}, the candidate does not: {brief(error)}")
                continue
            if all(np.isfinite(a).all() for a in first.outputs if a.dtype.kind in "fc"):
                self._record(f"outputs of {name}", largest(first.outputs, second.outputs), self.tolerance)

    def _accuracy(self, r: Any, c: Any) -> None:
        """Whether the candidate is as accurate as the reference, in the dtypes that they have, compiled and not."""
        if r.draws or c.draws:
            return
        self.say("Run both in their own dtypes.")
        mine, given = self.arguments.one(AS_GIVEN), self.given.one(AS_GIVEN)
        exact = r.forward(mine).outputs
        try:
            with jax.default_matmul_precision("highest"):
                own = r.run(mine, self.inputs, jit=True)
                found = {jit: c.run(given, self.inputs, jit=jit) for jit in (True, False)}
        except Exception as error:
            self.result.remarks.append(f"Not run in its own dtype: {type(error).__name__}: {brief(error)}")
            return
        epsilon = max((float(jnp.finfo(a.dtype).eps) for a in own if is_float(a)), default=0.0)
        allowed = TIMES * error_of(own, exact) + DIGITS * epsilon
        for jit, outputs in found.items():
            error, name = error_of(outputs, exact), "error in its own dtype" + ("" if jit else ", not compiled")
            self.result.errors[name] = error
            if error > allowed:
                reason = f"{name} is {error:.1e}, that of the reference {error_of(own, exact):.1e}"
                self.failures.append(_Failure(name, reason, partial(rounded, c)))

    def _record(self, name: str, error: float, tolerance: float, places: Callable[[], Iterable[Place]] = tuple) -> bool:
        self.result.errors[name] = error
        if error <= tolerance:
            return True
        verb = "differs" if name.startswith(("gradient of", "new state")) else "differ"
        by = f" by {error:.1e} of the largest magnitude" if isfinite(error) else ""
        self.failures.append(_Failure(name, f"{name} {verb}{by}", places))
        return False

    # What is said ----------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        result, parameters = self.result, self.result.parameters
        if not self.failures:
            result.verdict = SAME
            agree = listed(name for name in result.errors if not name.startswith("error"))
            result.reason = f"These agree: {agree}."
            return
        failure = self.failures[0]
        unknown = bool(parameters.only_candidate and parameters.only_reference)
        result.verdict = UNKNOWN if unknown else ANOTHER
        result.reason = f"The {failure.reason}."
        if others := [other.name for other in self.failures[1:]]:
            result.reason += f" These differ, too: {listed(others)}."
        if alone := [*parameters.only_candidate, *parameters.only_reference]:
            result.reason += f" Without a partner: {listed(alone[:6])}; a mapping may tell what they are."
        self.say("Look for the place where they part.")
        result.places = list(failure.places())

    def _places(self, r: Any, c: Any) -> Iterator[Place]:
        """The lines where the outputs and the new states part."""
        first, second = moved_starts(r.tape(self.arguments.one(OTHERS)), c.tape(self.given.one(OTHERS)))
        return self._parting(first, second, paired_outputs(r, c, first, second, self.state_matches))

    def _places_of_gradients(self, r: Any, c: Any) -> Iterator[Place]:
        """The lines where gradients part."""
        mine, given, weights = self.arguments.one(OTHERS), self.given.one(OTHERS), weights_of(r.outputs)
        yield from left_out((r, c), (mine, given), weights, self.matches, OF_GRADIENTS * self.tolerance)
        first, second = r.gradient_tape(mine, weights), c.gradient_tape(given, weights)
        places = self._parting(first, second, paired_gradients(r, c, first, second, self.matches))
        yield from with_rules(places, c.closed) if isinstance(c, Program) else places

    def _parting(self, first: Tape, second: Tape, pairs: list[tuple[int, int]]) -> Iterator[Place]:
        search = Search(first, second, pairs, self.tolerance)
        self.result.agreed = search.counts()
        return places_of(search)
