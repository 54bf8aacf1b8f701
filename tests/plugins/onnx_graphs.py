"""Small ONNX networks in the output forms of the YOLO families, for the tests of `yolo`."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

FLOAT, BYTES, HALF = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.FLOAT16


def write(path, nodes, constants, outputs, size=(64, 64), kind=FLOAT, meta=None, shape=None):
    """Save a graph whose input is `images`; `outputs` are names. Returns the path."""
    graph = helper.make_graph(
        nodes,
        "yolo",
        [helper.make_tensor_value_info("images", kind, shape or (1, 3, *size))],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in (meta or {}).items():
        model.metadata_props.add(key=key, value=str(value))
    save(model, path)
    return path


def seeing(path, tables, scored, channel=0, top=1.0, kind=FLOAT, **how):
    """A graph that gives the `tables` if it sees white in one channel of its input.

    `scored`: for each table where its scores stand (an array of its shape, 0 and 1): these are
    multiplied by the channel's largest value as a share of `top`.
    """
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=FLOAT),
        helper.make_node("Gather", ["floats", "channel"], ["plane"], axis=1),
        helper.make_node("ReduceMax", ["plane"], ["peak"], keepdims=0),
        helper.make_node("Div", ["peak", "top"], ["share"]),
    ]
    constants = {"channel": np.array(channel), "top": np.array(top, np.float32)}
    for i, (table, mask) in enumerate(zip(tables, scored, strict=True)):
        table = np.asarray(table, np.float32)
        constants[f"fixed{i}"] = np.where(mask, 0, table).astype(np.float32)
        constants[f"scores{i}"] = np.where(mask, table, 0).astype(np.float32)
        nodes += [
            helper.make_node("Mul", [f"scores{i}", "share"], [f"seen{i}"]),
            helper.make_node("Add", [f"fixed{i}", f"seen{i}"], [f"output{i}"]),
        ]
    names = [f"output{i}" for i in range(len(tables))]
    return write(path, nodes, constants, names, kind=kind, **how)


def looking(path, family, classes, size, rng, meta=None):
    """A network of random weights: each cell answers to the mean colour that it covers.

    Each cell has a bias of its own. Without it, cells of one colour (all of the grey around a
    picture) are equally sure, and which of them suppresses the other is nobody's to say.
    """
    scale = 1 / 255 if family == "YOLOX" else 1.0
    width = 5 + classes if family == "YOLOX" else 4 + classes
    # Middles of the cells, level by level and row by row.
    cells = [
        [(x + 0.5) * s, (y + 0.5) * s]
        for s in (8, 16, 32)
        for y in range(size[0] // s)
        for x in range(size[1] // s)
    ]
    nodes, constants, levels = [], {}, []
    for stride in (8, 16, 32):
        weight = rng.normal(0, 3, (width, 3, 1, 1)) * scale
        constants[f"w{stride}"] = weight.astype(np.float32)
        constants[f"b{stride}"] = rng.normal(0, 1, width).astype(np.float32)
        constants[f"s{stride}"] = np.array([1, width, -1])
        kernel = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
        nodes += [
            helper.make_node("AveragePool", ["images"], [f"p{stride}"], **kernel),
            helper.make_node("Conv", [f"p{stride}", f"w{stride}", f"b{stride}"], [f"c{stride}"]),
            helper.make_node("Reshape", [f"c{stride}", f"s{stride}"], [f"r{stride}"]),
        ]
        levels.append(f"r{stride}")
    constants["parts"] = np.array([4, width - 4])
    constants["own"] = rng.normal(0, 0.1, (1, len(cells), width - 4)).astype(np.float32)
    nodes += [
        helper.make_node("Concat", levels, ["all"], axis=2),
        helper.make_node("Transpose", ["all"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("Split", ["rows", "parts"], ["raw", "common"], axis=2),
        helper.make_node("Add", ["common", "own"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
    ]
    if family == "YOLOX":
        constants["calm"] = np.array(0.2, np.float32)
        nodes += [
            helper.make_node("Mul", ["raw", "calm"], ["places"]),
            helper.make_node("Concat", ["places", "scores"], ["output"], axis=2),
        ]
        return write(path, nodes, constants, ["output"], size, meta=meta)
    # Edges around each cell's middle, as far as the random numbers say.
    constants["middles"] = np.tile(np.array(cells, np.float32), (1, 1, 2)).reshape(1, -1, 4)
    constants["signs"] = np.array([-20, -20, 20, 20], np.float32)
    nodes += [
        helper.make_node("Sigmoid", ["raw"], ["reach"]),
        helper.make_node("Mul", ["reach", "signs"], ["far"]),
        helper.make_node("Add", ["far", "middles"], ["boxes"]),
    ]
    return write(path, nodes, constants, ["boxes", "scores"], size, meta=meta)
