"""The bundled AU model's network: landmarks in the face frame -> AU intensities, the same for a face and its mirror.

    1. turn the head to the front: three axes from points that muscles hardly move, Gram-Schmidt, one scale
    2. standardise, and put the mirrored face beside the face
    3. two small perceptrons read both: one the upper half of the face for the AUs of brow, lids and cheeks, one the lower
       half for the others, so that talking does not read as frowning and blinking not as smiling; their left outputs
       on the mirrored face are the right ones of the face

A face at rest reads about `REST`, not 0: faces whose rest lies below the average one would otherwise be cut off at 0,
and their small movements with it. Taking the neutral level off (action_units/baseline.py) removes it.

So `AUxx_L` of a face and `AUxx_R` of its mirror image are equal exactly, by construction. All of it is in the ONNX
file: the caller gives landmarks in the face frame (action_units/model.py) and knows nothing of this.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from streamfer.action_units import facs
from streamfer.action_units.contract import Metadata

REST = 0.4
"""What the exported model reads on an average face at rest; 5 stays 5."""

# pairs (the person's right, left) along the x axis: temples and eye corners
_ACROSS = ((127, 356), (162, 389), (21, 251), (33, 263), (133, 362))
# the y axis runs from the forehead to the ridge and base of the nose
_ABOVE, _BELOW = (10, 151, 109, 338, 67, 297), (4, 5, 195, 94)
_ORIGIN = (168, 6, 197, 133, 362, 33, 263)
_LID_LOWER, _NOSE_TIP = [145, 374], 4


class LandmarkAUs(nn.Module):
    """`columns` name the outputs; every sided AU must be there with both sides."""

    order: torch.Tensor  # which of left | whole | right each column is
    mirror: torch.Tensor  # (478,) which landmark is the mirror image of which
    mean: torch.Tensor  # (478, 3)
    scale: torch.Tensor  # (478, 3)
    flip: torch.Tensor
    upper: torch.Tensor  # landmarks of the upper half
    lower: torch.Tensor
    together: torch.Tensor  # puts the outputs of the two halves in order

    def __init__(self, columns: tuple[str, ...], mirror: np.ndarray, mean: np.ndarray, std: np.ndarray, hidden: int) -> None:
        super().__init__()
        parsed = [facs.parse(column) for column in columns]
        sided = sorted({number for number, side in parsed if side != "both"})
        whole = [number for number, side in parsed if side == "both"]
        place = {(n, s): i for i, (n, s) in enumerate((*((n, "left") for n in sided), *((n, "both") for n in whole)))}
        place |= {(n, "right"): len(place) + i for i, n in enumerate(sided)}
        self.register_buffer("order", torch.tensor([place[p] for p in parsed]))
        self.register_buffer("mirror", torch.tensor(mirror))
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(1 / std, dtype=torch.float32))
        self.register_buffer("flip", torch.tensor([-1.0, 1.0, 1.0]))
        self.sided = len(sided)
        # halves overlap between the eyes and the tip of the nose
        height, eyes, nose = mean[:, 1], mean[_LID_LOWER, 1].mean(), mean[_NOSE_TIP, 1]
        self.register_buffer("upper", torch.tensor(np.flatnonzero(height < nose)))
        self.register_buffer("lower", torch.tensor(np.flatnonzero(height > eyes)))
        is_upper = np.array([facs.UNITS[n].part == "upper" for n in (*sided, *whole)])
        places = np.concatenate([np.flatnonzero(is_upper), np.flatnonzero(~is_upper)])
        self.register_buffer("together", torch.tensor(np.argsort(places)))
        self.read_upper = _perceptron(3 * len(self.upper), hidden, int(is_upper.sum()))
        self.read_lower = _perceptron(3 * len(self.lower), hidden, int((~is_upper).sum()))

    def forward(self, landmarks: torch.Tensor) -> torch.Tensor:
        """(N, 478, 3) -> (N, K), `REST` ... 5, not clipped."""
        return REST + (1 - REST / 5) * self.read(to_front(landmarks))

    def read(self, front: torch.Tensor) -> torch.Tensor:
        """Landmarks turned by `to_front` -> (N, K) with 0 at rest: what is trained."""
        both = torch.cat([front, front[:, self.mirror] * self.flip])
        faces = (both - self.mean) * self.scale
        halves = (self.read_upper(faces[:, self.upper].flatten(1)), self.read_lower(faces[:, self.lower].flatten(1)))
        read = torch.cat(halves, dim=1)[:, self.together]
        half = front.shape[0]
        left, right = read[:half], read[half:]
        whole = (left[:, self.sided :] + right[:, self.sided :]) / 2
        return torch.cat([left[:, : self.sided], whole, right[:, : self.sided]], dim=1)[:, self.order]


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(0.05),
        nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(0.05),
        nn.Linear(hidden, outputs),
    )  # fmt: skip


def to_front(points: torch.Tensor) -> torch.Tensor:
    """Landmarks (N, 478, 3) turned to look straight ahead, unit = mean width of the `_ACROSS` pairs in space."""
    right, left = (points[:, [pair[i] for pair in _ACROSS]].mean(dim=1) for i in (0, 1))
    across = left - right
    width = across.norm(dim=1, keepdim=True)
    x = across / width
    down = points[:, list(_BELOW)].mean(dim=1) - points[:, list(_ABOVE)].mean(dim=1)
    down = down - (down * x).sum(dim=1, keepdim=True) * x
    y = down / down.norm(dim=1, keepdim=True)
    z = torch.stack([
        x[:, 1] * y[:, 2] - x[:, 2] * y[:, 1], x[:, 2] * y[:, 0] - x[:, 0] * y[:, 2], x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0],
    ], dim=1)  # fmt: skip
    axes = torch.stack([x, y, z], dim=2)  # (N, 3, 3), columns
    centred = points - points[:, list(_ORIGIN)].mean(dim=1, keepdim=True)
    return torch.matmul(centred, axes) / width[:, :, None]


def mirror_of(framed: np.ndarray) -> np.ndarray:
    """Which landmark (478,) is the mirror image of which, found on faces (N, 478, 3) in the face frame."""
    from scipy.optimize import linear_sum_assignment

    mean = framed.mean(axis=0)
    cost = np.linalg.norm(mean[:, None] - (mean * [-1, 1, 1])[None], axis=2) ** 2
    partner = linear_sum_assignment(cost)[1]
    if not (partner[partner] == np.arange(len(partner))).all():
        raise ValueError("the landmarks do not pair up: these are no faces")
    return partner.astype(np.int64)


def export(net: LandmarkAUs, metadata: Metadata, path: Path) -> None:
    """Write the ONNX file with its metadata, checked against the network."""
    import onnxruntime

    from streamfer.action_units.contract import write_metadata

    net = net.eval().cpu()
    example = torch.randn(2, 478, 3)
    torch.onnx.export(
        net, (example,), str(path), input_names=["landmarks"], output_names=["intensity"], opset_version=17,
        dynamic_axes={"landmarks": {0: "N"}, "intensity": {0: "N"}}, dynamo=False,
    )  # fmt: skip
    write_metadata(path, metadata)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        for count in (1, 5):
            faces = torch.randn(count, 478, 3)
            got = session.run(None, {"landmarks": faces.numpy()})[0]
            np.testing.assert_allclose(got, net(faces).numpy(), atol=2e-3)
