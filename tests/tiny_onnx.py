"""Networks that stand in for those that need a download: a few weights, real shapes."""

import onnx
from onnx import TensorProto, helper, numpy_helper


def save_onnx(path, nodes, inputs, outputs, weights):
    """Save a graph of float32 tensors; shapes by name, None where free."""
    values = [
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in x.items()]
        for x in (inputs, outputs)
    ]
    arrays = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "tiny", *values, arrays)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path
