"""What an ONNX file must say about itself to be an AU model: JSON in `metadata_props["streamfer"]`.

`read_metadata` validates it, `write_metadata` puts it into a file of yours:

    from streamfer.action_units.contract import Metadata, Inputs, LandmarkInput, write_metadata
    write_metadata("mine.onnx", Metadata(
        name="mine", version="1", aus=("AU04_L", "AU04_R", "AU12"),
        inputs=Inputs(landmarks=LandmarkInput()), training_data="...", licence="...",
    ))

The tensors themselves are checked in model.py. docs/au-model.md explains it for people who bring a model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from streamfer.action_units import facs
from streamfer.errors import ExtraMissing, ModelContract, ModelMissing
from streamfer.records import LABELS

KEY = "streamfer"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LandmarkInput(_Part):
    """`landmarks`: float32 (N, 478, 3), MediaPipe's points in the frame named here."""

    frame: Literal["eyes"] = "eyes"  # model.to_face_frame


class CropInput(_Part):
    """`crop`: (N, 3, size_px, size_px) RGB, the face turned and scaled by its inner eye corners (faces/align.py).

    float32 gets (pixel / 255 - mean) / std, uint8 gets the pixels.
    """

    size_px: int = Field(ge=16, le=1024)
    ied_px: float = Field(gt=0)  # inner-eye distance in the crop; size_px / 4 shows chin and forehead
    dtype: Literal["float32", "uint8"] = "float32"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


class Inputs(_Part):
    landmarks: LandmarkInput | None = None
    crop: CropInput | None = None

    @model_validator(mode="after")
    def _one_at_least(self) -> Inputs:
        if self.landmarks is None and self.crop is None:
            raise ValueError("name at least one input: landmarks or crop")
        return self


class Spatial(_Part):
    """The model also names an expression, and where in the crop that came from.

    Outputs `expression` float32 (N, 8), probabilities in the order of records.LABELS, and `features` float32
    (N, C, h, w), which cover the whole crop. `class_weights` (8, C) is the linear classifier on the features' average
    over h and w: with it the class activation map needs no gradient (expression/cam.py).
    """

    class_weights: tuple[tuple[float, ...], ...] = Field(min_length=len(LABELS), max_length=len(LABELS))

    @field_validator("class_weights")
    @classmethod
    def _one_for_each_channel(cls, weights: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        if len({len(row) for row in weights}) != 1 or not weights[0]:
            raise ValueError("every expression needs one weight for each channel of `features`")
        return weights


class Metadata(_Part):
    """`aus` are the columns of the output `intensity` (N, K), FACS 0-5, such as AU12_L, AU12_R, AU17."""

    schema_: Literal[1] = Field(1, alias="schema")
    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    aus: tuple[str, ...] = Field(min_length=1)
    inputs: Inputs
    spatial: Spatial | None = None  # needs the input `crop`
    training_data: str = Field(min_length=1)
    licence: str = Field(min_length=1)

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @field_validator("aus")
    @classmethod
    def _known_and_once(cls, aus: tuple[str, ...]) -> tuple[str, ...]:
        columns = tuple(facs.column(*facs.parse(au)) for au in aus)
        twice = {c for c in columns if columns.count(c) > 1}
        if twice:
            raise ValueError(f"named twice: {', '.join(sorted(twice))}")
        return columns

    @model_validator(mode="after")
    def _maps_need_a_picture(self) -> Metadata:
        if self.spatial is not None and self.inputs.crop is None:
            raise ValueError("spatial: a model that looks at no crop has no map of it")
        return self

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)


def read_metadata(props: Mapping[str, str], path: Path) -> Metadata:
    """The metadata among a model's `metadata_props`. Raises ModelContract saying what to add or to change."""
    text = props.get(KEY)
    if text is None:
        raise ModelContract(
            f"AU model {path} does not say what its outputs are: add metadata_props['{KEY}'] with "
            "streamfer.action_units.contract.write_metadata (docs/au-model.md shows how)"
        )
    try:
        return Metadata.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise ModelContract(f"AU model {path}: metadata_props['{KEY}'] is not JSON ({error})") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'metadata'}: {e['msg']}" for e in error.errors()[:3])
        raise ModelContract(f"AU model {path}: metadata_props['{KEY}'] needs changing: {faults}") from None


def write_metadata(path: str | Path, metadata: Metadata) -> None:
    """Put the metadata into an ONNX file, in place; what other metadata it has is kept."""
    try:
        import onnx
    except ImportError:
        raise ExtraMissing.of("onnx", "train", "writing the metadata of an AU model") from None
    path = Path(path)
    if not path.is_file():
        raise ModelMissing(f"AU model {path} is not there")
    model = onnx.load(path)
    kept = {prop.key: prop.value for prop in model.metadata_props if prop.key != KEY}
    onnx.helper.set_model_props(model, {**kept, KEY: metadata.to_json()})
    onnx.save(model, path)
