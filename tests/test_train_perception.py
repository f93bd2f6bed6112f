"""Three steps of the perception network's training on faces made here, a killed run that goes on, and the ONNX file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from streamfer.action_units.model import AUModel
from streamfer.datasets import still_demo
from streamfer.errors import ModelContract, UsageError
from streamfer.evaluation import photographs
from streamfer.records import LABELS
from streamfer.training import au_data, augment, distil, perception
from streamfer.training.au_data import AUData
from streamfer.training.augment import augmented, centre
from streamfer.training.face_crops import CROP_PX, MARGIN_PX, STORED_PX, FaceCrops, photo_crops
from streamfer.training.landmark_au import COLUMNS
from streamfer.training.perception import PerceptionTraining, alignment
from streamfer.training.perception_data import vote_shares
from streamfer.training.perception_export import blend_of, export
from streamfer.training.perception_net import NetSize

SMALL = NetSize(stem=8, mid=16, deep=16, deep_blocks=1, out=16, points=8)


def symmetric_face() -> np.ndarray:
    """(478, 3) px of a 48 px picture: every point has a partner across x = 24, forehead above, nose below the eyes."""
    points = np.zeros((478, 3))
    known = [(127, 356), (162, 389), (21, 251), (33, 263), (133, 362), (109, 338), (67, 297)]
    others = [i for i in range(478) if i not in {j for pair in known for j in pair}]
    pairs = [*known, *zip(others[::2], others[1::2], strict=True)]
    rng = np.random.default_rng(7)
    for right, left in pairs:
        x, y, z = rng.uniform(1, 16), rng.uniform(-16, 20), rng.uniform(-4, 4)
        points[right], points[left] = (24 - x, 22 + y, z), (24 + x, 22 + y, z)
    points[133], points[362] = (18, 20, 0), (30, 20, 0)
    points[[10, 151, 109, 338, 67, 297], 1], points[[4, 5, 195, 94], 1] = 2, 30
    points[:, 0] = np.where(points[:, 0] == 24, 24.5, points[:, 0])
    return points


@pytest.fixture
def data(tmp_path):
    """A FER+ file of 40 pictures and its crops, where the last five have no mesh."""
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (40, 48, 48), dtype=np.uint8)
    votes = np.zeros((40, 10), np.uint8)
    votes[np.arange(40), np.arange(40) % 8] = 8
    np.savez(tmp_path / "fer.npz", images=images, votes=votes)
    points = symmetric_face()[None] + rng.normal(0, 0.2, (40, 478, 3))
    points[35:] = np.nan
    photo_crops(images, points.astype(np.float32)).save(tmp_path / "cache" / "fer.npz")
    return tmp_path


def config_of(folder, out="run", **changes) -> PerceptionTraining:
    config = PerceptionTraining(
        out=folder / out, fer=(folder / "fer.npz",), cache=folder / "cache", epochs=0.75, batch=8, hold_out=8,
        size=SMALL, report_steps=1,
    )  # fmt: skip
    return replace(config, **changes)


def test_three_steps_move_the_weights_and_are_logged(data):
    net = perception.train(config_of(data))
    lines = (data / "run" / "log.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


def test_an_interrupted_run_ends_as_one_that_was_not(data, monkeypatch):
    whole = perception.train(config_of(data))
    one = perception.Run.one

    def killed(self, *args):
        if self.step == 2:
            raise KeyboardInterrupt
        return one(self, *args)

    monkeypatch.setattr(perception.Run, "one", killed)
    with pytest.raises(KeyboardInterrupt):
        perception.train(config_of(data, "cut", save_s=0.0))
    monkeypatch.setattr(perception.Run, "one", one)
    rest = perception.train(config_of(data, "cut", save_s=0.0))
    assert len((data / "cut" / "log.jsonl").read_text().splitlines()) == 3  # two before, one after
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(rest.state_dict()[name], value)


def test_a_run_does_not_go_on_with_other_settings(data):
    perception.train(config_of(data))
    with pytest.raises(UsageError, match="cues"):
        perception.train(config_of(data, cues=0.0))


def test_a_run_begins_with_the_weights_of_another(data):
    first = perception.train(config_of(data))
    still = {"rate": 0.0, "weight_decay": 0.0, "average": 0.0, "seed": 2, "epochs": 0.25, "out": "second"}
    second = perception.train(config_of(data, start=(data / "run" / "checkpoint.pt",), **still))
    weights = dict(first.named_parameters())
    for name, value in second.named_parameters():
        torch.testing.assert_close(value, weights[name], atol=1e-4, rtol=0)
    with pytest.raises(UsageError, match="another size"):
        perception.train(config_of(data, "third", start=(data / "run" / "checkpoint.pt",), size=replace(SMALL, out=8)))
    with pytest.raises(UsageError, match="is not there"):
        perception.train(config_of(data, "fourth", start=(data / "nothing" / "checkpoint.pt",)))


def test_a_run_begins_with_the_mean_of_two(data):
    paths = []
    for seed in (1, 2):
        perception.train(config_of(data, f"run{seed}", seed=seed))
        paths.append(data / f"run{seed}" / "checkpoint.pt")
    still = {"rate": 0.0, "weight_decay": 0.0, "average": 0.0, "seed": 3, "epochs": 0.25}
    mean = perception.train(config_of(data, "mean", start=tuple(paths), **still))
    one, two = (torch.load(path, weights_only=True)["averaged"] for path in paths)
    for name, value in mean.named_parameters():
        torch.testing.assert_close(value, (one[name] + two[name]) / 2, atol=1e-4, rtol=0)
    with pytest.raises(UsageError, match="start"):  # not the same run as one that began with either
        perception.train(config_of(data, "mean", start=tuple(paths[:1]), **still))


def test_an_earlier_run_softens_the_votes_and_photographs_are_mixed(data):
    perception.train(config_of(data))
    teacher = data / "run" / "checkpoint.pt"
    config = config_of(data, "second", distil=(teacher,), mix=0.4)
    perception.train(config)
    lines = [json.loads(line) for line in (data / "second" / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 3 and all(np.isfinite(line["labels"]) for line in lines)
    for other in (replace(config, mix=0.0), replace(config, distil=()), replace(config, distil_share=0.1)):
        with pytest.raises(UsageError, match=r"mix|distil"):
            perception.train(other)
    with pytest.raises(UsageError, match="is not there"):
        perception.train(config_of(data, "third", distil=(data / "nothing" / "checkpoint.pt",)))
    assert not {"distil", "distil_share", "mix"} & set(perception.settings(config_of(data)))  # older runs go on


def test_softened_votes_lie_between_the_votes_and_the_earlier_runs_readings(data, monkeypatch):
    net = perception.train(config_of(data))
    faces, votes = perception.load_photos(config_of(data))
    photos = perception.photos_of(faces, votes)
    read = distil.readings(net.eval(), photos)
    torch.testing.assert_close(read.sum(1), torch.ones(len(faces)), atol=1e-5, rtol=0)
    runs = [data / "run" / "checkpoint.pt", data / "other" / "checkpoint.pt"]
    soft = distil.softened(photos, perception.new_net(faces, SMALL), runs[:1], 0.25)
    torch.testing.assert_close(soft.shares, 0.75 * photos.shares + 0.25 * read)
    assert soft.maps is photos.maps
    other = distil.readings(perception.train(config_of(data, "other", seed=9)).eval(), photos)
    soft = distil.softened(photos, perception.new_net(faces, SMALL), runs, 0.5)
    torch.testing.assert_close(soft.shares, 0.5 * photos.shares + 0.25 * (read + other))
    monkeypatch.setattr(distil, "VIEWS", ((1.0, False),))
    plain = torch.from_numpy(perception.probabilities(net, photos))
    torch.testing.assert_close(distil.readings(net, photos), plain, atol=1e-3, rtol=0)


def test_a_view_is_the_products_crop_or_its_mirror_image(data):
    crops = perception.photos_of(*perception.load_photos(config_of(data))).crops
    torch.testing.assert_close(distil.view(crops, 1.0, False), augment.centre(crops), atol=0.05, rtol=0)
    torch.testing.assert_close(distil.view(crops, 1.0, True), augment.centre(crops).flip(3), atol=0.05, rtol=0)


def test_mixing_takes_the_same_share_of_the_same_other_row_of_everything():
    rng = torch.Generator().manual_seed(1)
    rows = torch.arange(64.0)
    one, two = augment.mixed((rows.view(64, 1), rows.view(64, 1, 1, 1).expand(64, 1, 2, 2)), 0.5, rng)
    torch.testing.assert_close(two, one.view(64, 1, 1, 1).expand(64, 1, 2, 2))
    assert (one[:, 0] != rows).float().mean() > 0.5
    again = augment.mixed((rows.view(64, 1),), 0.5, torch.Generator().manual_seed(1))[0]
    torch.testing.assert_close(again, one)
    own = augment.mixed((torch.eye(64),), 0.5, torch.Generator().manual_seed(1))[0].diagonal()
    assert own.min() >= 0.5  # a row stays mostly itself


def test_the_exported_file_keeps_the_contract_and_both_its_halves(data):
    net = perception.train(config_of(data))
    path = data / "perception.onnx"
    export(net, path, blend=blend_of({9: 0.5}), version="1", training_data="made by a test")
    model, landmarks = AUModel.load(path, device="cpu"), AUModel.load("landmarks", device="cpu")
    face = symmetric_face().astype(np.float32)
    picture = np.random.default_rng(5).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    seen = model.look(picture, face)
    assert seen is not None
    assert seen.expression.shape == (len(LABELS),)
    assert seen.expression.sum() == pytest.approx(1, abs=1e-4)
    assert seen.features.shape == (SMALL.out, 14, 14)
    crop = np.zeros((CROP_PX, CROP_PX, 3), np.uint8)
    got, alone = model.predict([face], [crop])[0], landmarks.predict([face])[0]
    kept = [i for i, name in enumerate(COLUMNS) if not name.startswith("AU09")]
    np.testing.assert_allclose(got[kept], alone[kept], atol=2e-3)


def test_a_runs_file_names_the_skins_shares_it_was_given(data, monkeypatch):
    """Of made-up renders in which the skin tells nothing, whatever is chosen is in the file and its metadata."""
    from streamfer.action_units import facs
    from streamfer.training import skin_share
    from streamfer.training.perception_export import export_run
    from streamfer.training.renders import Renders

    rng = np.random.default_rng(6)
    faces = FaceCrops.load(data / "cache" / "fer.npz").take(np.arange(24))
    units = tuple(sorted({name for unit in facs.UNITS.values() for name in unit.ict}))
    renders = Renders(
        faces.landmarks, rng.random((24, len(units)), np.float32), rng.random(24, np.float32), np.arange(24) // 12,
        np.arange(24) // 6, units, 0,
    )  # fmt: skip
    net = perception.train(config_of(data))
    monkeypatch.setattr(skin_share, "load_renders", lambda config, seed: (faces, renders))
    chosen = skin_share.choose(net, config_of(data))
    assert all(share in skin_share.SHARES[1:] for share in chosen.values())
    monkeypatch.setattr(skin_share, "choose", lambda net, config: {9: 2.0, 4: 0.5})
    model = AUModel.load(export_run(net, config_of(data, ict=data / "ict.npz")), device="cpu")
    assert model.info.training_data.endswith("skin's share AU4 0.5, AU9 2")
    assert "skin" not in AUModel.load(export_run(net, config_of(data)), device="cpu").info.training_data


def test_expression_without_a_mesh_comes_from_the_crop_alone(data):
    net = perception.train(config_of(data)).eval()
    crop = torch.randint(0, 256, (2, 3, CROP_PX, CROP_PX), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    missing = torch.full((2, 478, 3), float("nan"))
    with torch.no_grad():
        nans, zeros = net(crop, missing), net(crop, torch.zeros(2, 478, 3))
    for a, b in zip(nans, zeros, strict=True):
        assert torch.isfinite(a).all()
        torch.testing.assert_close(a, b)


def test_single_votes_are_slips_and_unknown_votes_are_dropped():
    share = vote_shares(np.array([[6, 1, 0, 2, 0, 0, 0, 0, 1, 0]], np.uint8))[0]
    assert share[LABELS.index("neutral")] == pytest.approx(0.75)
    assert share[LABELS.index("sadness")] == pytest.approx(0.25)
    assert share.sum() == pytest.approx(1)


def test_alignment_is_the_cosine_and_skips_faces_without_a_map():
    features = torch.rand(3, 4, 14, 14, generator=torch.Generator().manual_seed(2))
    maps = features.mean(dim=1).clone()
    maps[1] = 0
    assert alignment(features, maps).item() == pytest.approx(0, abs=1e-6)
    assert alignment(features, torch.zeros(3, 14, 14)).item() == 0


def test_augmentation_mirrors_picture_and_map_alike():
    """A bright square on the picture's left, and its map, land on the same side whether mirrored or not."""
    crops, maps = torch.zeros(64, STORED_PX, STORED_PX, dtype=torch.uint8), torch.zeros(64, 14, 14)
    crops[:, MARGIN_PX + 24 : MARGIN_PX + 32, MARGIN_PX + 8 : MARGIN_PX + 16] = 255
    maps[:, 6:8, 2:4] = 1
    flip = torch.arange(64) % 2 == 0
    pictures, moved = augmented(crops, flip, torch.Generator().manual_seed(0), maps, coarse=0.0)
    assert moved is not None
    left_of_map = moved[:, :, :7].sum(dim=(1, 2)) > moved[:, :, 7:].sum(dim=(1, 2))
    assert (left_of_map != flip).all()
    cells = torch.nn.functional.avg_pool2d(pictures, 4)[:, 0]
    bright = (cells * moved).sum(dim=(1, 2)) / moved.sum(dim=(1, 2))
    assert (bright > cells.mean(dim=(1, 2))).float().mean() > 0.9  # some are covered


def test_the_stored_crop_holds_the_products_crop_in_its_middle():
    faces = FaceCrops(
        np.arange(STORED_PX * STORED_PX, dtype=np.int64).reshape(1, STORED_PX, STORED_PX).astype(np.uint8),
        np.zeros((1, 478, 3), np.float32), np.ones(1, bool), np.zeros(1, int),
    )  # fmt: skip
    middle = centre(torch.from_numpy(faces.crops))
    assert middle.shape == (1, 1, CROP_PX, CROP_PX)
    assert middle[0, 0, 0, 0] == faces.crops[0, MARGIN_PX, MARGIN_PX]


def test_photographs_are_scored_with_and_without_a_mesh_and_mirrored(data):
    """A network whose last layer is set by hand always says surprise: the share of surprise is its accuracy."""
    net = perception.train(config_of(data))
    with torch.no_grad():
        net.label.weight.zero_()
        net.label.bias.copy_(torch.eye(len(LABELS))[LABELS.index("surprise")] * 9)
    path = data / "surprise.onnx"
    export(net, path, blend=blend_of({}), version="1", training_data="made by a test")
    faces = FaceCrops.load(data / "cache" / "fer.npz")
    votes = np.load(data / "fer.npz")["votes"]
    for mirror in (False, True):
        result = photographs.score(faces, votes, AUModel.load(path, device="cpu"), mirror)
        assert result.without_mesh == 5
        assert result.scores.recall["surprise"] == 1
        assert result.scores.accuracy == pytest.approx(1 / 8)
        assert "accuracy     0.1250" in photographs.report(result, as_json=False)


def test_a_model_without_expression_is_refused():
    with pytest.raises(ModelContract, match="names no expression"):
        AUModel.load("landmarks", device="cpu").express([np.zeros((478, 3), np.float32)], None)


def test_frames_that_coders_labelled_are_a_source_of_their_own(data):
    """Three steps on an imitation of DISFA whose people of fold 3 are left out; what was not coded teaches nothing."""
    coded = AUData("disfa", data / "disfa", fold=3, step=1)
    still_demo.make("disfa", coded.path, subjects=3)  # SN001 and SN002 are tested in fold 3
    crops, truth = au_data.labelled(coded, data / "cache")
    assert crops.shape == (still_demo.FRAMES, STORED_PX, STORED_PX)
    written = [int(line.split(",")[1]) for line in (coded.path / "ActionUnit_Labels/SN003/SN003_au12.txt").read_text().split()]
    for side in "LR":
        np.testing.assert_array_equal(truth[:, COLUMNS.index(f"AU12_{side}")], written)
    assert np.isnan(truth[:, [COLUMNS.index(c) for c in ("AU07_L", "AU15_L", "AU24")]]).all()  # SN003's AU15 is a planted gap
    config = config_of(data, "coded", coded=(coded,), coded_batch=4)
    net = perception.train(config)
    lines = [json.loads(line) for line in (data / "coded" / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 3 and all(line["coded"] > 0 for line in lines)
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())
    for other in (config_of(data, "coded"), replace(config, coded=(replace(coded, fold=None),))):
        with pytest.raises(UsageError, match="coded"):
            perception.train(other)
    assert not any(key.startswith("coded") for key in perception.settings(config_of(data)))  # older runs go on


def test_only_what_is_known_is_an_error():
    read = torch.tensor([[1.0, 7.0], [2.0, 7.0]], requires_grad=True)
    error = perception.squared_error(read, torch.tensor([[3.0, float("nan")], [2.0, float("nan")]]))
    error.backward()
    assert error.item() == pytest.approx(2.0)
    assert read.grad is not None and read.grad[:, 1].tolist() == [0, 0] and read.grad[0, 0] == -2
    assert perception.squared_error(read, torch.full((2, 2), float("nan"))).item() == 0


def test_a_source_without_aus_or_without_that_fold_is_refused(tmp_path):
    still_demo.make("feafa", tmp_path / "feafa", subjects=1)
    with pytest.raises(UsageError, match="no such fold"):
        au_data.labelled(AUData("feafa", tmp_path / "feafa", fold=1), tmp_path)
    with pytest.raises(UsageError, match="disfa, bp4d, feafa"):
        au_data.labelled(AUData("rafdb", tmp_path), tmp_path)
