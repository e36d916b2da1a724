"""Both programs of a comparison, and what ought to be the same in them: outputs, gradients, training, draws."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import jax
import numpy as np
import optax

from ..compat import enable_x64
from ..errors import InputError, brief
from ..program.model import Leaf, Model, is_float, leaves_of
from ..program.tape import Tape
from .departure import moved_starts
from .layouts import LeafLayout
from .matching import Match
from .programs import Result
from .values import Arguments, largest

#: How many steps; how far the first of SGD moves the largest parameter; and Adam's learning rate.
STEPS, SGD_MOVES, ADAM_RATE = 10, 0.01, 1e-3
LARGE_MODEL, STEPS_IF_LARGE = (
    2_000_000,
    3,
)  # a model of more numbers than these is trained for a few steps alone
OWN_STEPS = (
    3  # how many steps are compared that each model makes with an optimizer of its own
)
MOST_ROUNDING = 1e-8  # where rounding has grown to this, no further step is compared
DIFFERENT = 1e-4  # beyond it updates differ for certain, and no further step is made
#: The name of a quantity.
OF_PARAMETERS = "gradients of parameters"
KEYS = 64  # from so many keys parameters are drawn
CHANCE = 0.001  # the probability that any draws are called different by chance, of all leaves and tests together
MOST_NUMBERS = 256  # the most numbers of a leaf that are compared for each key
SAME_DRAWS = 1e-4  # relative differences of draws up to this are rounding
BLOCKS = (
    1,
    2,
    3,
    4,
)  # into so many blocks a matrix may be cut, each of which is orthogonal


@dataclass(frozen=True)
class Pair:
    """The programs of both models in one mode, of the reference and of the candidate, and what each is called with."""

    r: Any
    c: Any
    mine: Arguments
    given: Arguments
    matches: list[
        Match
    ]  # one for each leaf of the candidate's parameters, and of its state
    state_matches: list[Match]

    def sets(self, some: slice) -> "Pair":
        return replace(self, mine=self.mine.sets(some), given=self.given.sets(some))

    @property
    def sides(self) -> tuple[tuple[Any, Arguments], tuple[Any, Arguments]]:
        return (self.r, self.mine), (self.c, self.given)

    def gradients(self) -> list[Result]:
        return [program.gradient(arguments) for program, arguments in self.sides]

    def gradient_errors(self, first: Result, second: Result) -> dict[str, float]:
        """The largest difference of the gradient of each input, and of the parameters, by the name of the quantity."""
        errors = {}
        of_inputs = zip(first.of_inputs, second.of_inputs, strict=False)
        for n, (wanted, own) in enumerate(of_inputs, 1):
            number = f" {n}" if len(first.of_inputs) > 1 else ""
            errors[f"gradient of input{number}"] = largest(
                [wanted], [own], first.of_inputs
            )
        of_params = [
            largest([wanted], [own], first.of_params)
            for _, wanted, own in self._param_gradients(first, second)
        ]
        return errors | {OF_PARAMETERS: max(of_params, default=0.0)}

    def most_different_gradient(
        self, first: Result, second: Result, tolerance: float
    ) -> str:
        """The reference's parameter whose gradients differ most, and in how many of its numbers."""
        words, worst = "", 0.0
        for leaf, wanted, own in self._param_gradients(first, second):
            error = largest([wanted], [own], first.of_params)
            if error > worst:
                slack = tolerance * np.abs(wanted).max(initial=0)
                count = (np.abs(own - wanted) > slack).any(axis=0).sum()
                words = f"{leaf.path}, in {count} of {leaf.size} numbers"
                worst = error
        return words

    def _param_gradients(
        self, first: Result, second: Result
    ) -> Iterator[tuple[Leaf, np.ndarray, np.ndarray]]:
        """Leaves of the reference with their gradients in both, as far as the candidate's can be given back."""
        sets = max(map(len, first.of_params))
        totals = [np.zeros((sets, *a.shape[1:]), a.dtype) for a in first.of_params]
        known: set[int] = set()
        computed: set[int] = set()
        for m, gradient in zip(self.matches, second.of_params, strict=True):
            if isinstance(m.layout, LeafLayout):
                wide = np.broadcast_to(gradient, (sets, *gradient.shape[1:]))
                m.layout.give_back(wide, totals)
                known.update(m.layout.sources)
            elif m.layout:
                computed.update(m.layout.sources)
        for n in sorted(known - computed):
            yield self.r.params[n], first.of_params[n], totals[n]

    def tapes(self) -> tuple[Tape, Tape, list[tuple[int, int]]]:
        """All values of both, and the numbers of those outputs and new states that ought to be the same."""
        first, second = moved_starts(self.r.tape(self.mine), self.c.tape(self.given))
        a, b = Result(self.r, first.outputs), Result(self.c, second.outputs)
        states = _paired(self.state_matches, a.state, b.state)
        return first, second, [*zip(a.outputs, b.outputs, strict=True), *states]

    def gradient_tapes(self) -> tuple[Tape, Tape, list[tuple[int, int]]]:
        first, second = (
            program.gradient_tape(arguments) for program, arguments in self.sides
        )
        a, b = Result(self.r, first.outputs), Result(self.c, second.outputs)
        params = _paired(self.matches, a.of_params, b.of_params)
        return first, second, [*params, *zip(a.of_inputs, b.of_inputs, strict=False)]


def leaf_errors(
    matches: Sequence[Match], reference: Any, candidate: Any, among: Any = ()
) -> list[float]:
    """The largest difference of each leaf of the candidate from what it is of the reference's; 0 without a partner."""
    pairs = zip(matches, candidate, strict=True)
    return [
        0.0 if m.layout is None else largest([m.layout.convert(reference)], [a], among)
        for m, a in pairs
    ]


def _paired(
    matches: Sequence[Match], first: Sequence[int], second: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """The values of leaves of the candidate that are one leaf of the reference."""
    for match, value in zip(matches, second, strict=True):
        if match.layout is not None and len(match.layout.sources) == 1:
            yield first[match.layout.sources[0]], value


def errors_of_training(pair: Pair) -> Iterator[tuple[str, float]]:
    """How many steps of which optimizer, and the largest difference of the parameters after them.

    A step may magnify rounding, as where training diverges. The last step that is compared is the one before. It is
    found by training the reference twice, the second time with parameters that are moved in their last digit.
    """
    steps = STEPS
    if sum(p.size for p in pair.mine.params) > LARGE_MODEL:
        steps = STEPS_IF_LARGE
    optimizers = {"SGD": optax.sgd(_rate_of_sgd(pair)), "Adam": optax.adam(ADAM_RATE)}
    for name, optimizer in optimizers.items():
        last = None
        moved = replace(pair.mine, params=_moved_in_the_last_digit(pair.mine.params))
        both = zip(
            _trained(pair.r, optimizer, moved),
            _trained(pair.c, optimizer, pair.given),
            strict=True,
        )
        for step, (reference, candidate) in enumerate(islice(both, steps), 1):
            first, again = ([a[k : k + 1] for a in reference] for k in (0, 1))
            if (
                not _is_finite(reference)
                or largest(first, again, first) > MOST_ROUNDING
            ):
                break
            errors = leaf_errors(pair.matches, first, candidate, first)
            unit = "step" if step == 1 else "steps"
            last = f"{step} {unit} of {name}", max(errors, default=0.0)
        if last is not None:
            yield last


def _rate_of_sgd(pair: Pair) -> float:
    """A learning rate with which the first step moves the largest parameter by a hundredth."""
    gradients = pair.r.gradient(pair.mine).of_params
    steepest = max(np.abs(g).max(initial=0) for g in gradients)
    if not steepest:
        return 0.0
    size = max(np.abs(p).max(initial=0) for p in pair.mine.params)
    return float(SGD_MOVES * size / steepest)


def _moved_in_the_last_digit(params: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Two sets of parameters: those of a first set, and these with errors such as rounding makes."""
    random = np.random.default_rng(11)
    epsilon = np.finfo(np.float64).eps
    result = []
    for value in params:
        noise = 1 + epsilon * random.uniform(-1, 1, value.shape)
        result.append(np.concatenate([value, value * noise]))
    return result


def _trained(
    program: Any, optimizer: Any, arguments: Arguments
) -> Iterator[list[np.ndarray]]:
    """The parameters after each step. The optimizer sees one vector, so that JAX compiles it once."""
    shapes = [p.shape for p in arguments.params]
    ends = np.cumsum([p.size for p in arguments.params])[:-1]

    def joined(leaves: Sequence[np.ndarray]) -> np.ndarray:
        flat = [
            np.broadcast_to(np.asarray(leaf), shape).reshape(-1)
            for leaf, shape in zip(leaves, shapes, strict=True)
        ]
        return np.concatenate(flat)

    def apart(vector: Any) -> list[np.ndarray]:
        parts = np.split(np.asarray(vector), ends)
        return [p.reshape(shape) for p, shape in zip(parts, shapes, strict=True)]

    return _steps(program, optimizer, arguments, joined, apart)


def _is_finite(arrays: Sequence[np.ndarray]) -> bool:
    return all(np.isfinite(a).all() for a in arrays)


def difference_of_steps(pair: Pair) -> tuple[float, str]:
    """The largest difference of an update by the models' own optimizers, in the first step with any, and its name."""

    def leaves(tree: Any) -> list[np.ndarray]:
        return [
            np.asarray(leaf)[None] for leaf in jax.tree.leaves(tree) if is_float(leaf)
        ]

    both = (
        _steps(p, p.model.optimizer, some, p.tree, leaves) for p, some in pair.sides
    )
    worst, where = 0.0, ""
    for step, (first, second) in enumerate(
        islice(zip(*both, strict=True), OWN_STEPS), 1
    ):
        mine = [
            after - before
            for after, before in zip(first, pair.mine.params, strict=True)
        ]
        given = [
            after - before
            for after, before in zip(second, pair.given.params, strict=True)
        ]
        for leaf, error in zip(
            pair.c.params, leaf_errors(pair.matches, mine, given, first), strict=True
        ):
            if error > worst:
                worst, where = error, f"update of {leaf.path} after step {step}"
        if worst > DIFFERENT:
            break
    return worst, where


def _steps(
    program: Any,
    optimizer: Any,
    arguments: Arguments,
    together: Callable[[Any], Any],
    apart: Callable[[Any], list[np.ndarray]],
) -> Iterator[list[np.ndarray]]:
    """The parameters after each step; `together` makes of leaves what the optimizer sees, `apart` leaves of it."""
    params = arguments.params
    with enable_x64(True):
        state = optimizer.init(together(params))
    while True:
        with enable_x64(
            True
        ):  # not around the yield: whoever goes on would compute in 64 bits, too
            gradient = program.gradient(replace(arguments, params=params)).of_params
            updates, state = optimizer.update(
                together(gradient), state, together(params)
            )
            params = apart(optax.apply_updates(together(params), updates))
        yield params


def different_draws(
    reference: Model, candidate: Model, matches: Sequence[Match]
) -> list[str]:
    """A sentence for each leaf of the candidate that is drawn from another distribution, if both models have `make`."""
    if reference.make is None or candidate.make is None:
        return []
    first, second = _drawn(reference), _drawn(candidate)
    sentences = []
    for path, m, own in zip(candidate.paths(), matches, second, strict=True):
        difference = m.layout and compared(
            m.layout.convert(first), own, CHANCE / max(3 * len(matches), 1)
        )
        sentences += [f"{path}: {difference}."] if difference else []
    return sentences


def _drawn(model: Model) -> list[np.ndarray]:
    """The leaves of new models, with an axis of keys in front. Raises an InputError if `make` fails or gives others."""
    keys = jax.random.split(jax.random.key(0), KEYS)
    make: Any = model.make
    try:
        try:
            leaves = leaves_of(jax.jit(jax.vmap(make))(keys))[1]
        except Exception:  # what cannot be traced is called for each key
            leaves = [
                np.stack(column)
                for column in zip(
                    *(leaves_of(make(key))[1] for key in keys), strict=True
                )
            ]
    except Exception as error:
        raise InputError(
            f"make of {model.name} fails: {type(error).__name__}: {brief(error)}"
        ) from error
    wanted, shapes = (
        [leaf.shape for leaf in leaves_of(model.params)[0]],
        [a.shape[1:] for a in leaves],
    )
    if shapes != wanted:
        raise InputError(
            f"make of {model.name} returns leaves of shapes {shapes}, expected {wanted}, as its parameters."
        )
    return leaves


@np.errstate(all="ignore")
def compared(a: np.ndarray, b: np.ndarray, chance: float) -> str:
    """How draws of a leaf, with an axis of keys, differ, if at all; each test errs with the probability `chance`."""
    a, b = (
        np.stack([np.real(x), np.imag(x)], -1) if x.dtype.kind == "c" else x
        for x in (a, b)
    )
    fixed = [bool((x == x[:1]).all()) for x in (a, b)]
    if fixed[0] != fixed[1]:
        names = (
            ("the reference", "the candidate")
            if fixed[0]
            else ("the candidate", "the reference")
        )
        constant = (a if fixed[0] else b)[0]
        value = (
            f"always {constant.flat[0]:.3g}"
            if np.ptp(constant) == 0
            else "the same for each key"
        )
        return f"{names[0]} has {value}, {names[1]} draws it at random"
    if all(fixed):
        size = np.abs(a[0], where=np.isfinite(a[0]), out=np.zeros(a[0].shape)).max(
            initial=0
        )
        if np.isclose(
            b[0], a[0], rtol=0, atol=SAME_DRAWS * size
        ).all():  # also where both are infinity
            return ""
        words = [
            f"it is {x.flat[0]:.3g}" if np.ptp(x[0]) == 0 else "it has other numbers"
            for x in (b, a)
        ]
        return f"{words[0]} in the candidate, {words[1]} in the reference"
    blocks_of = [_orthogonal_blocks(x) for x in (a, b)]
    for axis, blocks in sorted(blocks_of[0] ^ blocks_of[1], key=lambda way: way[1]):
        names = (
            ("reference", "candidate")
            if (axis, blocks) in blocks_of[0]
            else ("candidate", "reference")
        )
        if blocks == 1:
            return f"it is an orthogonal matrix in the {names[0]}, and none in the {names[1]}"
        return f"each of {blocks} blocks along axis {axis} is orthogonal in the {names[0]}, and not in the {names[1]}"
    import scipy.stats  # here, since it takes long

    tests: Any = scipy.stats
    a, b = a.reshape(KEYS, -1), b.reshape(KEYS, -1)
    samples: Any = {"mean": (np.mean, a.mean(1), b.mean(1), max(a.std(), b.std()))}
    if a.shape[1] > 1:
        samples["standard deviation"] = (
            np.std,
            *(np.log(np.maximum(x.std(1), 1e-300)) for x in (a, b)),
            1.0,
        )
    for name, (of, first, second, size) in samples.items():
        far = abs(first.mean() - second.mean()) > SAME_DRAWS * size
        if far and tests.ttest_ind(first, second, equal_var=False).pvalue < chance:
            return f"the {name} is {of(b):.3g} in the candidate, {of(a):.3g} in the reference"
    some = np.random.default_rng(0).permutation(a.shape[1])[:MOST_NUMBERS]
    if (
        tests.ks_2samp(
            a[:, some].reshape(-1), b[:, some].reshape(-1), method="asymp"
        ).pvalue
        < chance
    ):
        return (
            "the numbers have another distribution, with the same mean and standard deviation; the largest magnitude "
            f"is {np.abs(b).max():.3g} in the candidate, {np.abs(a).max():.3g} in the reference"
        )
    return ""


def _orthogonal_blocks(a: np.ndarray) -> set[tuple[int, int]]:
    """The axes and numbers of blocks along them that are orthogonal matrices, up to a factor; axis 0 for one block."""
    matrices = a.reshape(len(a), -1, a.shape[-1])[:8] if a.ndim > 2 else a[:8, None]
    ways = {
        (axis, n)
        for axis in (0, 1)
        for n in BLOCKS
        if (axis == 0 or n > 1) and matrices.shape[1 + axis] % n == 0
    }
    return {
        (axis, n)
        for axis, n in ways
        if all(map(_is_orthogonal, np.split(matrices, n, 1 + axis)))
    }


def _is_orthogonal(matrices: np.ndarray) -> bool:
    """Whether rows or columns, whichever are fewer, are orthogonal and of one length; not where there is but one."""
    if min(matrices.shape[1:]) < 2:
        return False
    flat = (
        matrices if matrices.shape[1] <= matrices.shape[2] else matrices.swapaxes(1, 2)
    )
    products = flat @ flat.swapaxes(1, 2)
    lengths = np.trace(products, axis1=1, axis2=2) / products.shape[1]
    rest = np.abs(products - lengths[:, None, None] * np.eye(products.shape[1])).max()
    return bool(rest <= 1e-3 * np.abs(lengths).max(initial=0)) and bool(
        (lengths > 0).all()
    )
