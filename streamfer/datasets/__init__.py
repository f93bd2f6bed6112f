"""Micro- and macro-expression data sets, read as they are distributed. (Those of single faces: stills.py.)

    dataset = load("casme2", "/data/CASME2")
    dataset.clips[0].annotations, dataset.remarks

One function for each data set, from its root folder to a `Dataset` (records.py). What they share: tables.py (spreadsheets),
moments.py (the rules for onset, apex and offset), folders.py (frames and their numbers), aus.py, emotions.py. Layouts,
traps and their sources: docs/datasets.md. `published.py` holds what a data set should contain.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

from streamfer.datasets import emotions
from streamfer.datasets.records import Annotation, Clip, Dataset, Remark
from streamfer.errors import SourceMissing, UsageError

LOADERS: dict[str, str] = {
    "casme": "casme:casme", "casme2": "casme:casme2",
    "casme_sq": "casme_long:casme_squared", "casme3a": "casme_long:casme3a", "casme3c": "casme_long:casme3c",
    "samm": "samm:samm", "samm_lv": "samm:samm_lv",
    "smic_hs": "smic:hs", "smic_vis": "smic:vis", "smic_nir": "smic:nir",
    "smic_hs_e": "smic:hs_e", "smic_vis_e": "smic:vis_e", "smic_nir_e": "smic:nir_e",
    "mmew": "others:mmew", "4dme": "others:four_dme", "dfme": "others:dfme", "plain": "plain:plain",
}  # fmt: skip
"""Name -> module:function."""
FPS_FILE = "fps.json"
ALIASES = {
    "casmeii": "casme2", "casme1": "casme", "casmei": "casme", "casme^2": "casme_sq", "cas(me)^2": "casme_sq",
    "casme_squared": "casme_sq", "cas(me)2": "casme_sq", "casme3": "casme3a", "cas(me)^3": "casme3a", "sammlv": "samm_lv",
    "smic": "smic_hs", "smic_e_hs": "smic_hs_e", "own": "plain", "csv": "plain",
}  # fmt: skip


def load(name: str, path: str | Path) -> Dataset:
    """Read a data set.

    Raises UsageError for an unknown name, SourceMissing or SourceUnreadable when the folder does not hold that data
    set (the message says what was expected and what is there), ExtraMissing without the spreadsheet reader.
    """
    root = Path(path)
    known = canonical(name)
    if not root.exists():
        raise SourceMissing(f"{root}: no such folder; give the folder of {known} as it was distributed")
    module, function = LOADERS[known].split(":")
    read = getattr(importlib.import_module(f"streamfer.datasets.{module}"), function)
    clips, remarks = read(root, known)
    if not clips:
        why = f"; {len(remarks)} rows were dropped, first: {remarks[0].message}" if remarks else ""
        raise SourceMissing(f"{root}: holds no clip of {known}{why}")
    return _resampled(Dataset(known, root, clips, remarks))


def _resampled(dataset: Dataset) -> Dataset:
    """A copy of a data set at another frame rate says so in fps.json ({"fps": 60}) in its root."""
    path = dataset.root / FPS_FILE
    if not path.is_file():
        return dataset
    try:
        fps = float(json.loads(path.read_text(encoding="utf-8"))["fps"])
        if not 0 < fps <= 10_000:
            raise ValueError(fps)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise UsageError(f'{path}: should hold {{"fps": number}} ({type(error).__name__}: {error})') from None
    remark = Remark("noted", "fps_file", FPS_FILE, None, f"{fps:g} frames a second, instead of the published rate")
    clips = tuple(replace(clip, fps=fps) for clip in dataset.clips)
    return replace(dataset, clips=clips, remarks=(*dataset.remarks, remark))


def canonical(name: str) -> str:
    """The name of a loader. Raises UsageError naming the nearest one."""
    plain = name.strip().casefold().replace("-", "_").replace(" ", "_")
    plain = ALIASES.get(plain, plain)
    if plain not in LOADERS:
        import difflib

        from streamfer.datasets import stills

        if own := stills.known(name):
            raise UsageError(
                f"'{name}' has no clips: its single faces are for `dataset check {own}`, `evaluate "
                f"{'aus' if own in stills.CODED else 'fer'} --dataset {own}` and training"
            )
        near = difflib.get_close_matches(plain, LOADERS, n=1, cutoff=0.4)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise UsageError(f"no data set '{name}'{hint} Known: {', '.join(LOADERS)}")
    return plain


__all__ = ["LOADERS", "Annotation", "Clip", "Dataset", "Remark", "canonical", "emotions", "load"]
