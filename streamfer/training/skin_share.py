"""How much of the skin's reading is added to each AU of a shipped perception file: chosen by a rule, on data of its own.

    shares = choose(net, config)                       # {4: 2.0, 9: 0.5}, for perception_export.blend_of

The landmark model sees where points moved, the skin's reading (perception_net.Skin) what the skin between them looks like. For each
AU the shares in `SHARES` are tried on two sets that no weights were trained on:

* renders of `CHOICE_SEED`, as landmark_scores measures them, mean of an AU's two sides: r in view (nothing but the
  expression changes), MAE, ICC(3,1);
* the photographs of FER+'s training set that training holds out: AUC between faces whose expression speaks for the AU
  (`perception.WEAK`, else cues.CODEBOOK) and those whose expression does not hold it; the stronger side counts.

The rule: of all shares whose AUC on photographs is at most `AUC_LOSS` below that of share 0 and whose MAE on renders is at most
`MAE_GAIN` times that of share 0, the one with the greatest r in view; the smaller share when two are equal. An AU that no
expression speaks for cannot be checked on real skin and keeps share 0: renders alone do not say how a reading carries over.

MAE is a guard and not what is minimised, because saying 0 to everything has less of it than any model has; r rather than ICC,
because a larger share raises ICC by the size of movements alone. The skin is added to the landmark reading and not averaged
with it: averaging takes from the landmarks what it gives to the skin; tried, it lost ICC on renders for every AU and share.

What it does not do: weigh one face's noise from frame to frame, or know how a coder would rate. The hand-labelled frames, FER+'s
validation faces and the renders of seed 14 are left alone here: numbers are reported on them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from streamfer.action_units import facs
from streamfer.action_units.model import AUModel
from streamfer.evaluation.agreement import auc
from streamfer.evaluation.expression import majority
from streamfer.expression.cues import CODEBOOK
from streamfer.records import LABELS
from streamfer.training.augment import centre
from streamfer.training.face_crops import FaceCrops, in_batches
from streamfer.training.landmark_au import COLUMNS
from streamfer.training.landmark_scores import predict, scores_on_renders
from streamfer.training.perception import WEAK, PerceptionTraining
from streamfer.training.perception_data import held_out, load_photos, load_renders
from streamfer.training.perception_net import NetSize, Perception
from streamfer.training.renders import Renders

log = logging.getLogger(__name__)

SHARES = (0.0, 0.5, 1.0, 2.0, 4.0)
AUC_LOSS, MAE_GAIN = 0.005, 1.1
CHOICE_SEED = 16


@dataclass(frozen=True, slots=True)
class Reading:
    """Of N faces: what the landmark model reads (N, K), NaN without a mesh, and the skin's reading, 0 at rest."""

    landmarks: np.ndarray
    skin: np.ndarray

    def blended(self, share: float) -> np.ndarray:
        """(N, K), 0-5, as the exported graph adds them up and `AUModel.predict` cuts them off."""
        return np.clip(self.landmarks + share * self.skin, 0, 5)


@dataclass(frozen=True, slots=True)
class Trial:
    """One share for one AU. `auc` is NaN where no expression speaks for the AU, or none is there."""

    au: int
    share: float
    r_within: float
    mae: float
    icc: float
    auc: float


def load_net(checkpoint: Path) -> Perception:
    """The averaged network of a run's checkpoint, in eval mode on the CPU."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    weights = state["averaged"]
    side = round(weights["skin.regions"].shape[1] ** 0.5)
    regions = weights["skin.regions"].reshape(-1, side, side).numpy()
    mean, scale = weights["mean"].numpy(), weights["scale"].numpy()
    net = Perception(regions, mean, 1 / scale, NetSize(**state["config"]["size"]))
    net.load_state_dict(weights)
    return net.eval()


def read(net: Perception, faces: FaceCrops) -> Reading:
    points = np.full((len(faces), len(COLUMNS)), np.nan, np.float32)
    points[faces.found] = predict(AUModel.load("landmarks", device="cpu"), faces.landmarks[faces.found])
    parts = []
    with torch.no_grad():
        for rows in in_batches(len(faces), 256):
            grey = centre(torch.from_numpy(faces.crops[rows]))
            nothing = torch.zeros(len(grey), *net.mean.shape)
            parts.append(net.see(grey, nothing, torch.zeros(len(grey), 1)).skin.numpy())
    skin = np.concatenate(parts) if parts else np.zeros((0, len(COLUMNS)), np.float32)
    return Reading(points, skin)


def choose(net: Perception, config: PerceptionTraining) -> dict[int, float]:
    """AU -> share, those of 0 left out. Draws the renders of `CHOICE_SEED` when the cache has none (some minutes)."""
    faces, votes = load_photos(config)
    rows = np.flatnonzero(held_out(len(faces), config.hold_out) & faces.found)
    pictures, renders = load_renders(replace(config, people=50, views=8, expressions=6), CHOICE_SEED)
    found = trials(read(net, pictures), renders, read(net, faces.take(rows)), majority(votes[rows]))
    log.info("share of the skin, by AU: r in view / MAE / ICC / AUC\n%s", table(found))
    return best(found)


def trials(drawn: Reading, renders: Renders, photos: Reading, labels: np.ndarray) -> list[Trial]:
    """Every AU with every share. `labels` (M,) of the photographs in the order of LABELS, -1 for none."""
    found = []
    for share in SHARES:
        scores = scores_on_renders(drawn.blended(share), renders, COLUMNS)
        blended = photos.blended(share)
        for au, columns in sides().items():
            rows = [scores[COLUMNS[k]] for k in columns]
            strength = blended[:, columns].max(axis=1)
            r_within, error, icc = (float(np.mean([r[key] for r in rows])) for key in ("r_within", "mae", "icc"))
            found.append(Trial(au, share, r_within, error, icc, label_auc(au, strength, labels)))
    return found


def sides() -> dict[int, list[int]]:
    """AU -> its columns in COLUMNS."""
    own: dict[int, list[int]] = {}
    for k, column in enumerate(COLUMNS):
        own.setdefault(facs.parse(column)[0], []).append(k)
    return own


def label_auc(au: int, strength: np.ndarray, labels: np.ndarray) -> float:
    """AUC of `strength` (M,) between faces with an expression that speaks for the AU and those without it."""
    holding = {label for label in LABELS if au in CODEBOOK[label]}
    speaking = {label for label, weight in WEAK.get(au, {}).items() if weight >= 0.5} or holding
    named = np.array([LABELS[k] if k >= 0 else "" for k in labels])
    without = set(LABELS) - holding - set(WEAK.get(au, {}))
    return auc(strength[np.isin(named, list(speaking))], strength[np.isin(named, list(without))])


def best(found: Iterable[Trial]) -> dict[int, float]:
    """The rule of the module's docstring; AUs with share 0 are left out."""
    by_au: dict[int, list[Trial]] = {}
    for trial in found:
        by_au.setdefault(trial.au, []).append(trial)
    shares = {}
    for au, tried in by_au.items():
        none = next(trial for trial in tried if trial.share == 0)
        allowed = [t for t in tried if t.auc >= none.auc - AUC_LOSS and t.mae <= MAE_GAIN * none.mae]  # NaN never is
        chosen = max(allowed, key=lambda t: (t.r_within, -t.share), default=none)
        if chosen.share:
            shares[au] = chosen.share
    return shares


def table(found: Iterable[Trial]) -> str:
    """Markdown: one row an AU, a cell `r in view / MAE / ICC / AUC` for each share, the chosen one in bold."""
    found = list(found)
    chosen = best(found)
    lines = ["| AU | " + " | ".join(f"{s:g}" for s in SHARES) + " |", "|---|" + "---|" * len(SHARES)]
    for au in dict.fromkeys(t.au for t in found):
        cells = []
        for trial in (t for t in found if t.au == au):
            text = f"{trial.r_within:.3f} / {trial.mae:.3f} / {trial.icc:.2f} / {'-' if np.isnan(trial.auc) else f'{trial.auc:.2f}'}"
            cells.append(f"**{text}**" if trial.share == chosen.get(au, 0.0) else text)
        lines.append(f"| AU{au} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
