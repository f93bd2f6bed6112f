"""Class activation maps on tensors made by hand; resampling and CAM-COS against torch, gradients against formulas."""

from __future__ import annotations

import numpy as np
import pytest

from streamfer.expression.cam import _resample, att_cos, cam_cos, class_activation, gradient_cam, normalised, per_class
from streamfer.records import LABELS

torch = pytest.importorskip("torch")

A = np.array([[[1, 0], [0, 0]], [[0, 2], [0, 0]], [[0, 0], [3, 1]]], np.float32)[None]  # (1, 3, 2, 2)
WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.0, 1.0, 0.0]])


class Net(torch.nn.Module):
    """Convolution, ReLU, average pooling, linear: what the closed form is for."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.ReLU())
        self.head = torch.nn.Linear(6, 8)

    def forward(self, x):
        features = self.body(x)
        return {"logits": self.head(features.mean(dim=(2, 3))), "features": features}


def test_cam_by_hand() -> None:
    # w A = [[1, -2], [1.5, 0.5]], stretched from -2..1.5 to 0..1
    assert class_activation(A, WEIGHTS, [0], "cam")[0] == pytest.approx(np.array([[3, 0], [3.5, 2.5]]) / 3.5)


def test_layercam_by_hand() -> None:
    # relu(w) A = [[1, 0], [1.5, 0.5]]
    assert class_activation(A, WEIGHTS, [0], "layercam")[0] == pytest.approx(np.array([[1, 0], [1.5, 0.5]]) / 1.5)


def test_gradcampp_by_hand() -> None:
    # g = w / 4 = .25, -.25, .125; sums of A 1, 2, 4; alpha 1 / (2 + g sum A) = 1/2.25, -, 1/2.5
    # weights 4 alpha relu(g) = 1/2.25, 0, .5/2.5: map [[.4444, 0], [.6, .2]]
    expected = np.array([[1 / 2.25, 0], [0.6, 0.2]]) / 0.6
    assert class_activation(A, WEIGHTS, [0], "gradcam++")[0] == pytest.approx(expected, rel=1e-5)


def test_each_sample_has_its_own_class() -> None:
    two = class_activation(np.concatenate([A, A]), WEIGHTS, [0, 1])
    assert two[1] == pytest.approx(np.array([[0, 1], [0, 0]]))
    assert two[0] == pytest.approx(class_activation(A, WEIGHTS, [0])[0])


@pytest.mark.parametrize("method", ["cam", "gradcam++", "layercam"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_features_and_weights_give_what_gradients_give(method, seed) -> None:
    net, rng = Net(seed).eval(), np.random.default_rng(seed)
    inputs, classes = torch.tensor(rng.random((5, 3, 9, 7)), dtype=torch.float32), rng.integers(0, 8, 5)
    by_gradient = gradient_cam(net, net.body, inputs, classes, method, scores=lambda output: output["logits"])
    with torch.no_grad():
        features = net(inputs)["features"].numpy()
    closed = class_activation(features, net.head.weight.detach().numpy(), classes, method)
    assert by_gradient.shape == (5, 9, 7) and by_gradient.max() == pytest.approx(1)
    assert closed == pytest.approx(by_gradient, abs=1e-5)
    assert all(p.grad is None for p in net.parameters()), "the network's own gradients are left alone"


def test_gradients_of_a_sample_do_not_see_the_others() -> None:
    net = Net(3).eval()
    inputs = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    whole = gradient_cam(net, net.body, inputs, [1, 2, 3, 4], scores=lambda output: output["logits"])
    alone = gradient_cam(net, net.body, inputs[2:3], [3], scores=lambda output: output["logits"])
    assert whole[2:3] == pytest.approx(alone, abs=1e-6)


def test_gradient_maps_work_inside_no_grad_and_leave_no_hook() -> None:
    net = Net(4).eval()
    with torch.no_grad():
        gradient_cam(net, net.body, torch.rand(1, 3, 5, 5), [0], scores=lambda output: output["logits"])
    assert not net.body._forward_hooks


@pytest.mark.parametrize("bad", [np.full((1, 3, 3), 2.0), np.full((1, 3, 3), np.nan), np.zeros((1, 3, 3))])
def test_an_even_or_broken_map_is_empty(bad) -> None:
    assert not normalised(bad).any()


# ----------------------------------------------------------------------------------------- metrics


@pytest.mark.parametrize("before", [(3, 3), (7, 7), (5, 9), (28, 28), (56, 40)])
@pytest.mark.parametrize("size", [7, 28, 112])
def test_resampling_is_torchs(before, size) -> None:
    maps = np.random.default_rng(0).random((2, *before)).astype(np.float32)
    interpolate = torch.nn.functional.interpolate
    given = torch.tensor(maps)[:, None]
    plain = interpolate(given, size=(size, size), mode="bilinear", align_corners=False)[:, 0].numpy()
    aligned = interpolate(given, size=(size, size), mode="bilinear", align_corners=True, antialias=True)[:, 0].numpy()
    assert _resample(maps, size, aligned=False) == pytest.approx(plain, abs=1e-5)
    assert _resample(maps, size, aligned=True) == pytest.approx(aligned, abs=1e-5)


def test_cam_cos_by_hand() -> None:
    cue = np.array([[[1, 0], [0, 0]], [[1, 1], [0, 0]], [[0, 0], [0, 0]]], float)
    cam = np.array([[[1, 0], [0, 0]], [[1, 0], [1, 0]], [[1, 0], [0, 0]]], float)
    assert cam_cos(cam, cue) == pytest.approx([1, 0.5, np.nan], nan_ok=True)
    assert cam_cos(np.zeros((1, 2, 2)), cue[:1]) == pytest.approx([0]), "a map that shows nothing agrees with nothing"


def test_att_cos_by_hand() -> None:
    cue = np.array([[[1.0]]])
    assert att_cos(np.ones((1, 4, 1, 1)), cue) == pytest.approx([1])
    features = np.zeros((1, 2, 3, 3))
    features[0, 0, 1, 1] = 2.0  # mean 1 in the middle
    features[0, :, 0, 0] = -1.0  # mean -1 in a corner: everything is lifted by 1
    cue = _resample(np.pad(np.ones((1, 1, 1)), ((0, 0), (1, 1), (1, 1))), 3, aligned=True)
    lifted = np.ones((1, 3, 3))
    lifted[0, 1, 1], lifted[0, 0, 0] = 2, 0
    shown = _resample(lifted, 3, aligned=True)
    assert att_cos(features, cue)[0] == pytest.approx(
        (shown * cue).sum() / np.sqrt((shown**2).sum() * (cue**2).sum()), rel=1e-5
    )


def test_positive_attention_is_not_lifted() -> None:
    features, cue = np.full((1, 2, 4, 4), 5.0), np.eye(4)[None]
    features[0, :, 0, 0] = 6
    shown = _resample(features.mean(axis=1), 4, aligned=True)
    expected = (shown * cue).sum() / np.sqrt((shown**2).sum() * 4)
    assert att_cos(features, cue)[0] == pytest.approx(expected, rel=1e-5)


def test_the_mean_is_over_classes_and_skips_neutral() -> None:
    label = {name: i for i, name in enumerate(LABELS)}
    values = np.array([np.nan, 0.2, 0.4, 0.9])
    classes, mean = per_class(values, np.array([label["neutral"], label["anger"], label["anger"], label["fear"]]))
    assert classes == pytest.approx({"anger": 0.3, "fear": 0.9})
    assert mean == pytest.approx(0.6)
    assert np.isnan(per_class(np.array([np.nan]), np.array([0]))[1])
