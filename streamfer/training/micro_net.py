"""STSTNet and its export: three shallow streams over onset-apex flow, 1,683 parameters for three classes.

Liong, Gan, See, Khor, Huang, "Shallow Triple Stream Three-dimensional CNN (STSTNet) for Micro-expression Recognition",
FG 2019, table I; the layers are those of the paper, sizes in brackets:

    input        3 x 28 x 28    flow u, v, strain, 0-255
    3 streams    conv 3x3, padding 2 -> 3 | 5 | 8 maps (30 x 30), ReLU, batch norm, max pool 3/3, padding 1 (10 x 10), dropout 0.5
    together     16 x 10 x 10, average pool 2 (5 x 5), fully connected 400 -> classes
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from streamfer.expression.micro import INPUT_PX, KEY, MicroMetadata

STREAMS = (3, 5, 8)


class STSTNet(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.streams = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(3, maps, 3, padding=2), nn.ReLU(), nn.BatchNorm2d(maps),
                nn.MaxPool2d(3, stride=3, padding=1), nn.Dropout(0.5),
            )
            for maps in STREAMS
        )  # fmt: skip
        self.pool = nn.AvgPool2d(2)
        self.classify = nn.Linear(sum(STREAMS) * 5 * 5, classes)

    def forward(self, flow: torch.Tensor) -> torch.Tensor:
        """(N, 3, 28, 28) -> (N, K) logits."""
        together = torch.cat([stream(flow) for stream in self.streams], dim=1)
        return self.classify(self.pool(together).flatten(1))


class _Probabilities(nn.Module):
    def __init__(self, net: STSTNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, flow: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.net(flow), dim=1)


def export(net: STSTNet, metadata: MicroMetadata, path: Path) -> None:
    """Write the ONNX file with its metadata, checked against the network in a fresh session."""
    import onnx
    import onnxruntime

    whole = _Probabilities(net.eval().cpu()).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the newer exporter needs onnxscript for the same file
        torch.onnx.export(
            whole, (torch.zeros(2, 3, INPUT_PX, INPUT_PX),), str(path), input_names=["flow"],
            output_names=["probability"], opset_version=17, dynamic_axes={"flow": {0: "N"}, "probability": {0: "N"}},
            dynamo=False,
        )  # fmt: skip
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {KEY: metadata.to_json()})
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        for count in (1, 5):
            flows = 255 * torch.rand(count, 3, INPUT_PX, INPUT_PX, generator=torch.Generator().manual_seed(count))
            got = session.run(None, {"flow": flows.numpy()})[0]
            np.testing.assert_allclose(got, whole(flows).numpy(), atol=1e-5)
