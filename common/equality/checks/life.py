"""The checks of a model's life, and of its parameters on their way: into a port and back, in layouts, through a file.

A model that is copied or stored in another way is still the same model: JAX traces the same program of it, with what
was chosen for it (dtype, unroll, remat, kernel). Rows of the contract ask the same of every call and call style.
"""

import copy
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ...config import GRUConfig
from ...errors import DefectError, NotOfferedError, brief, listed
from ...gru.kernels import STOCK
from ...parameters.layouts import CANONICAL, TORCH, Layout, flatten
from ...parameters.record import GRUParams, config_of, leaves, random_params
from ...port.protocol import Params, Port, WithKernel
from ...program import evaluate
from ..contract.data import config_of as config_of_row
from ..contract.data import data_of
from ..contract.factors import Row, other_kernels, whole_row
from ..contract.programs import choices_of, direct, named_answers
from ..contract.reference import Answers, expect_one
from .check import OF_READOUT, PARAMS, Case, one_set, require_cases, text_of

#: Records with a -0.0, whose sign an addition loses; of one unit, of which no shape tells axes apart; and in each dtype
#: of storage.
RECORDS: tuple[Params, ...] = (
    *(
        jax.tree.map(
            lambda p: np.where(np.arange(p.size).reshape(p.shape) == 0, -0.0, p), params
        )
        for params in (PARAMS, OF_READOUT)
    ),
    random_params(GRUConfig(1, 1)),
    *(
        random_params(GRUConfig(2, 3, param_dtype=dtype))
        for dtype in ("float32", "bfloat16", "float16")
    ),
)


def conversions(port: Port) -> Iterator[Case]:
    """Dumped parameters keep their bits through both layouts and the port's own, and through a file."""
    own = getattr(port, "layout", CANONICAL)
    for params in RECORDS:
        config, is_gru = config_of(params), isinstance(params, GRUParams)
        with suppress(*() if is_gru else (NotOfferedError,)):
            dumped: Any = port.dump(port.load(config, params))
            if not all(
                isinstance(array, np.ndarray) for array in leaves(dumped).values()
            ):
                raise DefectError("dump gives other arrays than NumPy's.")
            ways: dict[str, Callable[[Any], Params]] = {"dumped": lambda params: params}
            for layout in (CANONICAL, TORCH, own):
                ways[f"in the layout {layout.name}"] = partial(_through, layout)
            ways[f"in the layout {own.name} as a tree"] = lambda params: own.record(
                flatten(own.tree(params))
            )
            if is_gru and config.param_dtype != "bfloat16":  # which no file holds
                ways["in a file"] = _through_file
            what = f"{config.param_dtype} parameters of {config.hidden_size} units{'' if is_gru else ' and a readout'}"
            for way, through in ways.items():
                yield Case(
                    f"{what} {way}", partial(through, dumped), params, bound=None
                )


def _through(layout: Layout, params: Params) -> Params:
    arrays, config = layout.flat(params), config_of(params)
    if config.param_dtype != "bfloat16":
        layout.check(arrays)
    return layout.record(arrays)


def _through_file(params: GRUParams) -> GRUParams:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gru.safetensors"
        params.save(path)
        return GRUParams.open(path)


CHOICES: dict[str, Any] = {
    "dtype": "bfloat16",
    "unroll": 3,
    "remat": True,
}  # each of which has to stay
#: What may be given to a call, in which a choice may be lost that is kept in a plain one.
GIVEN = {
    "lengths": "passed",
    "resets": "passed",
    "carry": "passed",
    "reverse": "yes",
    "time-major": "yes",
}


def _pickled(model: Any) -> Any:
    try:
        content = pickle.dumps(model)
    except (
        Exception
    ) as error:  # as where a framework keeps a function of JAX that no pickle takes
        raise NotOfferedError(
            f"a model that can be pickled ({brief(error)})"
        ) from error
    return pickle.loads(content)


COPIES: dict[str, Callable[[Any], Any]] = {
    "copied by copy.copy": copy.copy,
    "copied by copy.deepcopy": copy.deepcopy,
    "pickled and unpickled": _pickled,
    "flattened and unflattened": lambda model: jax.tree.unflatten(
        *jax.tree.flatten(model)[::-1]
    ),
}


def life(port: Port) -> Iterator[Case]:
    """A model that is made, loaded or copied stays what it is, and so it does in each call and call style."""
    levels = {"entry": "classifier", "lengths": "passed"}
    of_classifier = chain(
        _origins(port, levels), _choices(port, levels), _differences(port, levels)
    )
    yield Case("a classifier", partial(require_cases, of_classifier))
    yield from chain(
        _origins(port, {}), _choices(port, {}), _differences(port, {}), _calls(port)
    )


def _origins(port: Port, levels: Row) -> Iterator[Case]:
    """Models that are made and loaded alike are alike, and each has its own parameters."""
    row = whole_row({"phase": "forward", **levels})
    (data, model, arrays), config, key = (
        one_set(row, port),
        config_of_row(row),
        jax.random.key(0),
    )

    def answers(model: Any) -> Answers:
        return named_answers(
            row, port, data, evaluate(partial(direct, row, port), model, *arrays)
        )

    record = jax.tree.map(np.array, data.params)
    loaded = port.load(config, record)
    for array in jax.tree.leaves(record):
        array[...] = np.nan
    yield Case(
        "loaded, its record then written over",
        partial(port.dump, loaded),
        data.params,
        None,
    )
    other = port.load(config, jax.tree.map(lambda p: np.roll(p, 1), data.params))
    yield Case("loaded, and then another", partial(answers, model), expect_one(row))
    made, twin = (evaluate(partial(port.make, config), key) for _ in range(2))
    params = port.dump(made)
    yield Case("made twice with one key", partial(port.dump, twin), params, None)
    yield Case(
        "made, on its dumped parameters",
        partial(answers, made),
        expect_one(row, params=params),
    )
    alike = model, loaded, other, made, twin, port.load(config, params)
    yield Case("made or loaded alike", partial(_require_one_structure, *alike))


def _require_one_structure(*models: Any) -> None:
    if len(set(map(jax.tree.structure, models))) > 1:
        raise DefectError("models differ in jax.tree.structure: JAX compiles for each")


def _choices(port: Port, levels: Row) -> Iterator[Case]:
    """Copies of a model with all choices, also a kernel that is not stock, have its program.

    Of two models with one `jax.tree.structure`, JAX runs one program; it is traced only where structures differ. That
    each choice is in a program at all is what `_differences` asks.
    """
    row = whole_row({"phase": "forward", **levels})
    others = other_kernels(port)
    choices = CHOICES | ({"kernel": others[-1]} if others else {})
    data, _, arrays = one_set(row, port)
    model = port.load(replace(config_of_row(row), **choices), data.params)
    yield Case("a record, loaded twice", lambda: data.params, data_of(row).params, None)
    program, results = _traced(row, port, model, arrays)
    dtypes = {
        str(array.dtype)
        for name, array in results.items()
        if name in ("carry", "outputs", "logits")
    }
    if dtypes != {CHOICES["dtype"]}:
        raise DefectError(
            f"with dtype={CHOICES['dtype']!r}, a model gives {', '.join(sorted(dtypes))}."
        )

    def kept(copied: Callable[[], Any]) -> Params:
        other = copied()
        is_alike = jax.tree.structure(other) == jax.tree.structure(model)
        if not is_alike and text_of(_traced(row, port, other, arrays)[0]) != text_of(
            program
        ):
            raise DefectError(
                "a model has another program: dtype, unroll, remat or kernel is lost"
            )
        return port.dump(other)

    for what, again in COPIES.items():
        yield Case(what, partial(kept, partial(again, model)), data.params, None)
    made = evaluate(
        partial(port.make, replace(config_of_row(row), **choices)), jax.random.key(0)
    )
    yield Case("made", partial(kept, lambda: made), port.dump(made), None)
    unflattened = COPIES["flattened and unflattened"](model)
    yield Case(
        "flattened and unflattened", partial(_require_one_structure, model, unflattened)
    )
    yield Case(
        "after its copies were used", partial(port.dump, model), data.params, None
    )


def _differences(port: Port, levels: Row) -> Iterator[Case]:
    """Each option makes another program, and a model for which JAX does not run that of another."""
    row = whole_row({"phase": "forward", **levels})
    data, model, arrays = one_set(row, port, **CHOICES)
    program = text_of(_traced(row, port, model, arrays)[0])

    def require_another_program(other: Port, option: dict[str, Any]) -> None:
        differs = other.load(
            replace(config_of_row(row), **CHOICES | option), data.params
        )
        if text_of(_traced(row, other, differs, arrays)[0]) == program:
            raise DefectError("it makes no difference to the program")
        is_leaf = (
            jax.tree.leaves(model)[0] is model
        )  # as NNX's modules before flax 0.12
        if (
            option
            and not is_leaf
            and jax.tree.structure(differs) == jax.tree.structure(model)
        ):
            raise DefectError(
                "it makes no difference to jax.tree.structure, so that jax.jit runs the former program"
            )

    options = [
        {"unroll": 1},
        {"remat": False},
        *({"kernel": kernel} for kernel in other_kernels(port)),
    ]
    for option in (*options, {"dtype": "float32"}):
        yield Case(str(option), partial(require_another_program, port, option))
    if isinstance(port, WithKernel) and port.kernel != STOCK:
        yield Case(
            f"kernel={port.kernel}",
            partial(require_another_program, WithKernel(port, STOCK), {}),
        )


def _calls(port: Port) -> Iterator[Case]:
    """Under each kernel that is not stock, a call keeps all choices, with each argument alone, and all without it.

    Under the stock one, rows of the contract ask the same. It is seen in traces, of which nothing is evaluated.
    """

    def choices_in(levels: Row) -> set[tuple[str, Any]]:
        row = whole_row({"phase": "forward", **levels})
        return choices_of(
            _traced(row, port, *one_set(row, port, **CHOICES)[1:])[0].jaxpr
        )

    def require_choices(known: set[tuple[str, Any]], levels: Row) -> None:
        if lost := known - choices_in(levels):
            names = listed(map(str, sorted(lost)))
            raise DefectError(
                f"the model loses its kernel, dtype, unroll or remat: its program has no {names}"
            )

    rows = [{"batch": "none"}, *({name: GIVEN[name]} for name in GIVEN)]
    rows += [
        {name: level for name, level in GIVEN.items() if name != absent}
        for absent in GIVEN
    ]
    rows += [{"entry": "classifier"}, {"entry": "classifier", "lengths": "passed"}]
    for kernel in other_kernels(port):
        known = choices_in({"kernel": kernel})
        for levels in rows:
            yield Case(
                f"{levels}, kernel={kernel}",
                partial(require_choices, known, {"kernel": kernel, **levels}),
            )


def _traced(row: Row, port: Port, model: Any, arrays: Any) -> tuple[Any, Any]:
    return jax.make_jaxpr(partial(direct, row, port), return_shape=True)(model, *arrays)
