"""Whether the models of a pair are the same function, told without trigru's matching.

The parameters of the reference are copied into the candidate by the library's own
converter, by their order or by hand. Both are evaluated in float64, and NumPy compares
the outputs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax.traverse_util import flatten_dict
from trigru.bench.commands.user_files import inputs_of
from trigru.common.program.model import EVAL, as_arrays, is_float, leaves_of

#: What copies the parameters of a pair: a function of the pair and of the reference's
#: state dict, which returns the candidate's parameters in the order of its leaves.
Copy = Callable[[Any, Mapping[str, np.ndarray]], list[np.ndarray]]


def checked(pair: Any, name: str) -> str:
    """How the candidate was checked, and how much its outputs differ from those of the
    reference, relative to the largest magnitude.
    """
    copy, how = _copy_for(pair, name)
    if copy is None:
        return "not checked"
    module = pair.reference.programs.keywords["module"]
    module = _with_other_values(module).double().eval()
    wanted = _outputs_of_module(pair, module)
    values = {key: tensor.numpy() for key, tensor in module.state_dict().items()}
    with jax.enable_x64(True):
        own = _outputs_of_candidate(pair, copy(pair, values))
    size = max(np.abs(array).max() for array in wanted)
    differences = [np.abs(a - b).max() for a, b in zip(wanted, own, strict=True)]
    return f"{how}: {max(differences) / size:.0e}"


def _copy_for(pair: Any, name: str) -> tuple[Copy | None, str]:
    """What copies the parameters of a pair, and how it does, in words."""
    if name in BY_HAND:
        return BY_HAND[name], "copied by hand"
    if name in IN_ORDER:
        return _in_order, "copied in order"
    converter = _converter_of(getattr(pair, "new", None))
    if converter is None or type(pair.candidate.params) is not dict:
        return None, ""
    return converter, "copied by the library's converter"


def _with_other_values(module: torch.nn.Module) -> torch.nn.Module:
    """The module with random numbers added to its parameters: no zeros, no ones."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.1 * noise)
    return module


def _outputs_of_module(pair: Any, module: torch.nn.Module) -> list[np.ndarray]:
    tensors = []
    for array in as_arrays(inputs_of(pair)):
        tensor = torch.from_numpy(np.array(array))
        is_real = tensor.is_floating_point()
        tensors.append(tensor.double() if is_real else tensor.long())
    torch.set_default_dtype(torch.float64)
    with torch.no_grad():
        outputs = pair.reference.shared(module(*pair.reference.given(tuple(tensors))))
    return [a.numpy() for a in jax.tree.leaves(outputs)]


def _outputs_of_candidate(pair: Any, leaves: list[np.ndarray]) -> list[np.ndarray]:
    candidate = pair.candidate
    _, own, rebuild = leaves_of(candidate.params)
    shaped = [leaf.reshape(a.shape) for leaf, a in zip(leaves, own, strict=True)]
    params = rebuild(list(map(jnp.asarray, shaped)))
    state = jax.tree.map(_wide, candidate.state)
    inputs = jax.tree.map(_wide, as_arrays(inputs_of(pair)))
    mode = EVAL if EVAL in candidate.modes else candidate.modes[0]
    outputs, _ = candidate(params, state, inputs, mode)
    return list(map(np.asarray, jax.tree.leaves(outputs)))


def _wide(leaf: Any) -> Any:
    return jnp.asarray(leaf, jnp.float64) if is_float(leaf) else leaf


# What copies parameters ---------------------------------------------------------------


def _converter_of(model: Any) -> Copy | None:
    """The converter of the library of a model in Flax."""
    library = type(model).__module__.partition(".")[0]
    if library == "transformers":
        return _by_transformers
    return _by_diffusers if library == "diffusers" else None


def _by_transformers(pair: Any, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    from transformers.modeling_flax_pytorch_utils import (
        convert_pytorch_state_dict_to_flax,
    )

    pair.new._module = pair.new.module.clone(dtype=jnp.float64)
    tensors = {key: torch.from_numpy(array) for key, array in values.items()}
    return _known_to(pair, convert_pytorch_state_dict_to_flax(tensors, pair.new))


def _by_diffusers(pair: Any, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    from diffusers.models.modeling_flax_pytorch_utils import (
        convert_pytorch_state_dict_to_flax,
    )

    tensors = {key: torch.from_numpy(array) for key, array in values.items()}
    return _known_to(pair, convert_pytorch_state_dict_to_flax(tensors, pair.new))


def _known_to(pair: Any, converted: Any) -> list[np.ndarray]:
    """The converted leaves that the candidate has, too."""
    by_path = flatten_dict(converted, sep="/")
    paths = pair.candidate.paths()
    is_in_params = all(path in by_path for path in paths)
    prefix = "" if is_in_params else "params/"
    return [np.asarray(by_path[prefix + path]) for path in paths]


def _by_name(pair: Any, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return [values[path] for path in pair.candidate.paths()]


def _in_order(pair: Any, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Equinox keeps parameters in the order in which PyTorch does."""
    return [array for key, array in values.items() if "running" not in key]


def _lstm_cell(pair: Any, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    bias = values["bias_ih"] + values["bias_hh"]
    return [values["weight_ih"], values["weight_hh"], bias]


def _gru_cell(pair: Any, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Leaves of linen: hn, hr, hz, in, ir, iz; the biases of r and z are sums."""
    bias_r, bias_z, bias_n = np.split(values["bias_ih"], 3)
    bias_hr, bias_hz, bias_hn = np.split(values["bias_hh"], 3)
    ir, iz, input_n = (part.T for part in np.split(values["weight_ih"], 3))
    hr, hz, hn = (part.T for part in np.split(values["weight_hh"], 3))
    of_state = [bias_hn, hn, hr, hz]
    return [*of_state, bias_n, input_n, bias_r + bias_hr, ir, bias_z + bias_hz, iz]


def _attention(pair: Any, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Leaves of linen: key, out, query, value, each bias and kernel."""
    query, key, value = (part.T for part in np.split(values["in_proj_weight"], 3))
    of_query, of_key, of_value = np.split(values["in_proj_bias"], 3)
    out = [values["out_proj.bias"], values["out_proj.weight"].T]
    return [of_key, key, *out, of_query, query, of_value, value]


def _attention_of_equinox(
    pair: Any, values: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    return [*np.split(values["in_proj_weight"], 3), values["out_proj.weight"]]


def _transposed_conv(pair: Any, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return [values["bias"], values["weight"].transpose(2, 3, 1, 0)]


def _dense_of_linen(pair: Any, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Layers in their order; linen has the bias first, and turns the kernel."""
    leaves = []
    for name, array in values.items():
        if name.endswith("weight"):
            axes = (2, 3, 1, 0) if array.ndim == 4 else (1, 0)
            leaves += [values[name.replace("weight", "bias")], array.transpose(axes)]
    return leaves


def _nature_cnn(pair: Any, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """As of dense layers; the image is flattened channels last."""
    leaves = _dense_of_linen(pair, values)
    channels = len(values["cnn.4.bias"])
    image = leaves[-1].reshape(channels, -1, leaves[-1].shape[1])
    return [*leaves[:-1], image.swapaxes(0, 1)]


BY_HAND: dict[str, Copy] = {
    "dqn": _nature_cnn,
    "gru_cell": _gru_cell,
    "layer_attention": _attention,
    "layer_attention_eqx": _attention_of_equinox,
    "layer_transpose_conv": _transposed_conv,
    "lstm_cell": _lstm_cell,
    "mamba": _by_name,
}
IN_ORDER = {
    "layer_conv1d",
    "layer_embedding",
    "layer_layer_norm",
    "layer_prelu",
    "layer_transpose_conv_eqx",
}
