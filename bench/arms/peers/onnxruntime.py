"""ONNX Runtime's GRU with a learned initial state: one graph of ONNX operators, as a trained model is served.

It runs inference alone, on the CPU. The equations are the oracle's (`linear_before_reset=1`); ONNX stacks the gates as
z, r, n, and adds one bias to the product with the input, another to the product with the state:

    W = (z, r, n) of weight_ih      (1, 3H, D)
    R = (z, r, n) of weight_hh      (1, 3H, H)
    B = (z, r, n) of bias, (0, 0, bias_n)   (1, 6H)

Source of the operator: https://onnx.ai/onnx/operators/onnx__GRU.html
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# If the library is not installed, a type checker takes this module, which has its name, for the library.

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from ....common.config import GRUConfig
from ....common.errors import UnavailableError
from ....common.parameters.record import ClassifierParams, GRUParams, ReadoutParams
from ....common.port.protocol import Params, Program
from . import Peer, PeerStyle

#: Operators as of ONNX 1.15; the first of its releases that has this opset.
_OPSET, _IR = 20, 9


def _build(config: GRUConfig, params: Params, phase: str) -> Program:
    if phase not in ("forward", "step"):
        raise UnavailableError(f"onnxruntime[session] has no {phase}: ONNX Runtime is for inference.")
    model = _step(params) if phase == "step" else _forward(config, params)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = [entry.name for entry in session.get_inputs()]

    def call(*arrays: Any) -> Any:
        results = session.run(None, dict(zip(inputs, arrays, strict=False)))
        return results[0] if len(results) == 1 else tuple(results)

    def put(array: Any) -> Any:
        array = np.asarray(array)
        return array.astype(np.int32) if array.dtype.kind in "iu" else array

    return Program(
        call=call,
        params=lambda: _dump(model),
        lower=None,
        leaves=0,  # the session holds the parameters
        read=lambda gradient: gradient,
        put=put,
        wait=lambda result: result,
        device="CPU",
        backend="cpu",
    )


def _forward(config: GRUConfig, params: Params) -> Any:
    """Final carry (B, H) and outputs (B, T, H) of x (B, T, D); or logits (B, C) of x and lengths (B,)."""
    classifier = isinstance(params, ClassifierParams)
    gru = params.gru if isinstance(params, ClassifierParams) else params
    size = {"size": np.array([len(gru.initial_carry)])}
    nodes = [
        helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("Shape", ["x"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["one", "batch", "size"], ["shape"], axis=0),
        helper.make_node("Expand", ["initial_carry", "shape"], ["start"]),
        helper.make_node(
            "GRU",
            ["steps", "W", "R", "B", "lengths" if classifier else "", "start"],
            ["all", "last"],
            hidden_size=len(gru.initial_carry),
            linear_before_reset=1,
        ),
        helper.make_node("Squeeze", ["last", "first"], ["carry"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", "T", config.input_size])]
    if isinstance(params, ClassifierParams):
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["B"]))
        nodes.append(helper.make_node("Gemm", ["carry", "readout.weight", "readout.bias"], ["logits"], transB=1))
        size |= {"readout.weight": params.readout.weight, "readout.bias": params.readout.bias}
        results = {"logits": "BC"}
    else:
        nodes.append(helper.make_node("Squeeze", ["all", "second"], ["outputs by step"]))  # (T, 1, B, H)
        nodes.append(helper.make_node("Transpose", ["outputs by step"], ["outputs"], perm=[1, 0, 2]))
        results = {"carry": "BH", "outputs": "BTH"}
    return _model(nodes, inputs, results, _parameters(gru) | size)


def _step(params: Params) -> Any:
    """Carry and output, both (B, H), of a frame (B, D) and a carry (B, H)."""
    gru = params.gru if isinstance(params, ClassifierParams) else params
    nodes = [
        helper.make_node("Unsqueeze", ["frame", "first"], ["steps"]),
        helper.make_node("Unsqueeze", ["before", "first"], ["start"]),
        helper.make_node(
            "GRU",
            ["steps", "W", "R", "B", "", "start"],
            ["", "last"],
            hidden_size=len(gru.initial_carry),
            linear_before_reset=1,
        ),
        helper.make_node("Squeeze", ["last", "first"], ["carry"]),
        helper.make_node("Identity", ["carry"], ["output"]),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", None]) for name in ("frame", "before")]
    return _model(nodes, inputs, {"carry": "BH", "output": "BH"}, _parameters(gru))


def _model(nodes: list[Any], inputs: list[Any], results: dict[str, str], arrays: dict[str, Any]) -> Any:
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(axes)) for name, axes in results.items()]
    numbers = {"one": np.array([1]), "first": np.array([0]), "second": np.array([1])}
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in (numbers | arrays).items()]
    graph = helper.make_graph(nodes, "learned_gru", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)


def _parameters(gru: GRUParams) -> dict[str, np.ndarray]:
    """ONNX's arrays, and the initial carry (1, 1, H)."""
    bias_n = np.zeros_like(gru.bias)
    bias_n[-len(gru.bias_n) :] = gru.bias_n
    return {
        "W": _exchanged(gru.weight_ih)[None],
        "R": _exchanged(gru.weight_hh)[None],
        "B": np.concatenate([_exchanged(gru.bias), bias_n])[None],
        "initial_carry": np.asarray(gru.initial_carry)[None, None],
    }


def _exchanged(stacked: Any) -> np.ndarray:
    """Of the gates r, z, n: z, r, n; and the way back."""
    first, second, n = np.split(np.asarray(stacked), 3)
    return np.concatenate([second, first, n])


def _dump(model: Any) -> Params:
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    bias, of_state = np.split(found["B"][0], 2)
    gru = GRUParams(
        weight_ih=_exchanged(found["W"][0]),
        weight_hh=_exchanged(found["R"][0]),
        bias=_exchanged(bias),
        bias_n=np.split(of_state, 3)[2],
        initial_carry=found["initial_carry"][0, 0],
    )
    if "readout.weight" not in found:
        return gru
    return ClassifierParams(gru, ReadoutParams(found["readout.weight"], found["readout.bias"]))


PEER = Peer(
    name="onnxruntime",
    title="ONNX Runtime",
    packages=("onnxruntime", "onnx"),
    call_styles=(PeerStyle("session", "onnxruntime.InferenceSession(model).run(None, inputs)", _build),),
)
