"""The check of a model's life: made, loaded, copied or pickled, it is the same model,
and keeps what was chosen for it.

JAX traces the same program of a copy, with the chosen dtype, unroll, remat and kernel.
Cases of the contract ask the same of every call and call style.
"""

import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from ...errors import DefectError, NotOfferedError, brief
from ...gru.kernels import STOCK
from ...parameters.record import GRUParams
from ...port.compilation import configured
from ...port.protocol import Port, WithKernel
from ...program import evaluate
from ..contract.arrays import arrays_of
from ..contract.calling import call_directly, named_answers
from ..contract.cases import Case
from ..contract.expected import Answers, answers_to_one
from ..contract.named import other_kernels
from .check import Trial, one_set, text_of

#: Each of these has to stay with a model.
CHOICES: dict[str, Any] = {"dtype": "bfloat16", "unroll": 3, "remat": True}
#: A call without masks or flags.
PLAIN = Case(phase="forward")


def _pickled(model: Any) -> Any:
    """A model through pickle.

    Raises a NotOfferedError where a framework keeps a function that no pickle takes.
    """
    try:
        content = pickle.dumps(model)
    except Exception as error:  # of any kind
        lack = f"a model that can be pickled ({brief(error)})"
        raise NotOfferedError(lack) from error
    return pickle.loads(content)


def _unflattened(model: Any) -> Any:
    arrays, structure = jax.tree.flatten(model)
    return structure.unflatten(arrays)


COPIES: dict[str, Callable[[Any], Any]] = {
    "copied by copy.copy": copy.copy,
    "copied by copy.deepcopy": copy.deepcopy,
    "pickled and unpickled": _pickled,
    "flattened and unflattened": _unflattened,
}


def life(port: Port) -> Iterator[Trial]:
    """A model that is made, loaded or copied stays what it is."""
    yield Trial("what it leaves changed", partial(_require_same_settings, port))
    yield from _origins(port)
    yield from _copies(port)
    yield from _differences(port)


def _require_same_settings(port: Port) -> None:
    """Require that to make, load and call a model changes nothing that others share."""
    config = PLAIN.config()
    before = _settings()
    evaluate(partial(port.make, config), jax.random.key(0))
    _, model, (passed, *_) = one_set(PLAIN, port)
    evaluate(port.apply, model, passed[0])
    if _settings() != before:
        raise DefectError("a setting of JAX or a random state is another one")


def _settings() -> Any:
    """JAX's, and NumPy's random state.

    Python's is another one after checks of types by beartype, which are sampled.
    """
    return dict(jax.config.values), pickle.dumps(np.random.get_state())


def _origins(port: Port) -> Iterator[Trial]:
    """Models that are made and loaded alike are alike, and each has its own
    parameters.
    """
    arrays, model, arguments = one_set(PLAIN, port)
    config, key, expected = PLAIN.config(), jax.random.key(0), answers_to_one(PLAIN)

    def answers(model: Any) -> Answers:
        results = evaluate(partial(call_directly, PLAIN, port), model, *arguments)
        return named_answers(PLAIN, port, arrays, results)

    record = jax.tree.map(np.array, arrays.params)
    loaded = port.load(config, record)
    for array in record:
        array[...] = np.nan
    dump = partial(port.dump, loaded)
    yield Trial("loaded, its record then written over", dump, arrays.params, None)

    rolled = jax.tree.map(lambda array: np.roll(array, 1), arrays.params)
    other = port.load(config, rolled)
    yield Trial("loaded, and then another", partial(answers, model), expected)

    def call_both_in_python() -> Answers:
        with configured({"jax_disable_most_optimizations": True}):
            on_device = jax.device_put(arguments)
            call_directly(PLAIN, port, model, *on_device)
            results = call_directly(PLAIN, port, other, *on_device)
        return named_answers(PLAIN, port, arrays, results)

    expected = answers_to_one(PLAIN, params=rolled)
    yield Trial("called outside of jit after another", call_both_in_python, expected)

    made = evaluate(partial(port.make, config), key)
    twin = evaluate(partial(port.make, config), key)
    params: Any = port.dump(made)
    yield Trial("made twice with one key", partial(port.dump, twin), params, None)
    expected = answers_to_one(PLAIN, params=params)
    yield Trial("made, on its dumped parameters", partial(answers, made), expected)

    alike = model, loaded, other, made, twin, port.load(config, params)
    yield Trial("made or loaded alike", partial(_require_one_structure, *alike))


def _require_one_structure(*models: Any) -> None:
    structures = {jax.tree.structure(model) for model in models}
    if len(structures) > 1:
        raise DefectError("models differ in jax.tree.structure: JAX compiles for each")


def _copies(port: Port) -> Iterator[Trial]:
    """Copies of a model with all choices, also a kernel that is not stock, have its
    program.

    Of two models with one `jax.tree.structure`, JAX runs one program; it is traced only
    where structures differ. That each choice is in a program at all is what
    `_differences` asks.
    """
    choices = dict(CHOICES)
    for kernel in other_kernels(port)[-1:]:
        choices["kernel"] = kernel
    arrays, model, arguments = one_set(PLAIN, port, **choices)
    params = arrays.params

    def load_record() -> GRUParams:
        return params

    yield Trial("a record, loaded twice", load_record, arrays_of(PLAIN).params, None)
    program, results = _trace(PLAIN, port, model, arguments)
    dtypes = sorted({str(results[name].dtype) for name in ("carry", "outputs")})
    if dtypes != [CHOICES["dtype"]]:
        raise DefectError(
            f"with dtype={CHOICES['dtype']!r}, a model gives {', '.join(dtypes)}."
        )

    def keep(copied: Callable[[Any], Any], source: Any) -> Any:
        """The parameters of a copy, which has the model's program."""
        other = copied(source)
        if jax.tree.structure(other) != jax.tree.structure(model):
            other_program, _ = _trace(PLAIN, port, other, arguments)
            if text_of(other_program) != text_of(program):
                raise DefectError(
                    "a model has another program: dtype, unroll, remat or kernel is "
                    "lost"
                )
        return port.dump(other)

    for what, copied in COPIES.items():
        yield Trial(what, partial(keep, copied, model), params, None)
    make = partial(port.make, replace(PLAIN.config(), **choices))
    made = evaluate(make, jax.random.key(0))
    yield Trial("made", partial(keep, _same, made), port.dump(made), None)
    one_structure = partial(_require_one_structure, model, _unflattened(model))
    yield Trial("flattened and unflattened", one_structure)
    yield Trial("after its copies were used", partial(port.dump, model), params, None)


def _same(model: Any) -> Any:
    return model


def _differences(port: Port) -> Iterator[Trial]:
    """Each option makes another program, and a model for which JAX does not run that of
    another.
    """
    arrays, model, arguments = one_set(PLAIN, port, **CHOICES)
    program = text_of(_trace(PLAIN, port, model, arguments)[0])
    is_leaf = jax.tree.leaves(model)[0] is model  # as NNX's modules before flax 0.12

    def require_another_program(other: Port, option: dict[str, Any]) -> None:
        config = replace(PLAIN.config(), **CHOICES | option)
        differs = other.load(config, arrays.params)
        other_program, _ = _trace(PLAIN, other, differs, arguments)
        if text_of(other_program) == program:
            raise DefectError("it makes no difference to the program")
        if not option or is_leaf:
            return
        if jax.tree.structure(differs) == jax.tree.structure(model):
            raise DefectError(
                "it makes no difference to jax.tree.structure, so that jax.jit runs "
                "the former program"
            )

    options: list[dict[str, Any]] = [{"unroll": 1}, {"remat": False}]
    options += [{"kernel": kernel} for kernel in other_kernels(port)]
    options.append({"dtype": "float32"})
    for option in options:
        yield Trial(str(option), partial(require_another_program, port, option))
    if isinstance(port, WithKernel) and port.kernel != STOCK:
        stock = WithKernel(port, STOCK)
        run = partial(require_another_program, stock, {})
        yield Trial(f"kernel={port.kernel}", run)


def _trace(case: Case, port: Port, model: Any, arguments: Any) -> tuple[Any, Any]:
    """The jaxpr of a call, and the shapes and dtypes of its results."""
    call = partial(call_directly, case, port)
    return jax.make_jaxpr(call, return_shape=True)(model, *arguments)
