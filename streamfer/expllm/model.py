"""ExpLLM: what the vision encoder saw of a key moment -> projector -> a causal language model of transformers.

    looks (apex, and its difference from the onset) --projector--> V vectors in the place of the <img> tokens
    [<bos> <img> x V, evidence table, task] --Llama-architecture decoder--> chain of thought, then the label

Projectors:

* `mlp`: two layers with GELU on each cell of the feature map, as in ExpLLM (Lan et al. 2025; theirs are 256 patches of
  DINOv2, ours 18: 3 x 3 cells of the apex, 3 x 3 of the difference).
* `patches` (patches.py): the whole of DINOv2's grid through such an MLP, for large language models.
* `mpp`: FEALLM's multi-perspective projector and local clue aggregator (Hu et al. 2025), faithful to the blocks of their
  figure; every size is ours, as theirs are not published. Queries are the same cells; they attend to the encoder's early
  map, then to 16 local regions around landmarks (a convolution each, attention among them), then to each other, and one
  more token carries the local regions flattened.

Inputs that may be missing (no picture, no face found in it) are replaced by a learned vector, so that the evidence table
alone can be explained. Weights are kept as safetensors, never as pickles; the language model is any causal LM of
transformers: `LlamaConfig` for nano, others with LoRA adapters (adapters.py).
"""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.nn import functional

from streamfer.expllm.graph import BASE, EPSILON, GRAPH, write_graph
from streamfer.expllm.looks import CELLS, EARLY, PATCH, REGIONS, VIEWS, ArrayLooks, Channels, image_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from streamfer.expllm.batches import TorchState
    from streamfer.expllm.patches import Pictures

PROJECTORS = ("mlp", "mpp")


@dataclass(frozen=True, slots=True)
class ModelSize:
    """A decoder of the Llama architecture, and the projector in front of it."""

    vocabulary: int
    width: int = 384
    layers: int = 6
    heads: int = 6
    inner: int = 1024
    positions: int = 512
    projector: Literal["mlp", "mpp", "patches"] = "mlp"
    features: int = 96  # channels of the encoder's map
    early: int = 64  # of its early map
    embedding: int = 192  # length of its embedding
    bridge: int = 128  # width inside `mpp`
    dropout: float = 0.0
    answer: int = 320  # longest answer in tokens; nano's are up to about 260


@dataclass(slots=True)
class Looks:
    """What the encoder saw of N key moments. `seen` is 0 where there was no picture or no face in it.

    For a still the onset is missing: `change` is zeros.
    """

    apex: torch.Tensor  # (N, features, CELLS, CELLS)
    change: torch.Tensor  # (N, features, CELLS, CELLS): apex minus onset
    embedding: torch.Tensor  # (N, embedding), of the apex
    early: torch.Tensor  # (N, early, EARLY, EARLY), of the apex
    early_change: torch.Tensor  # (N, early, EARLY, EARLY)
    points: torch.Tensor  # (N, REGIONS, 2), x and y over the crop, -1 to 1
    seen: torch.Tensor  # (N,) 0 or 1

    def __len__(self) -> int:
        return len(self.seen)

    def take(self, rows: torch.Tensor | list[int]) -> Looks:
        return Looks(*(getattr(self, name)[rows].float() for name in self.__slots__))

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> Looks:
        return Looks(*(getattr(self, name).to(device, dtype) for name in self.__slots__))

    @classmethod
    def none(cls, count: int, size: ModelSize) -> Looks:
        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(count, *shape)

        cells, side = (size.features, CELLS, CELLS), (size.early, EARLY, EARLY)
        return cls(
            zeros(*cells), zeros(*cells), zeros(size.embedding), zeros(*side), zeros(*side), zeros(REGIONS, 2), zeros()
        )

    @classmethod
    def of(cls, looks: ArrayLooks) -> Looks:
        return cls(*(torch.from_numpy(getattr(looks, name)) for name in cls.__slots__))

    @classmethod
    def joined(cls, parts: list[Looks]) -> Looks:
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in cls.__slots__))


class Mlp(nn.Module):
    """Each cell through two layers; a vector for its place and view is added."""

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        self.cells = nn.Sequential(nn.Linear(size.features, size.width), nn.GELU(), nn.Linear(size.width, size.width))
        self.whole = nn.Sequential(nn.Linear(size.embedding, size.width), nn.GELU(), nn.Linear(size.width, size.width))
        self.place = nn.Parameter(torch.randn(VIEWS * CELLS * CELLS, size.width) * 0.02)

    def forward(self, looks: Looks) -> torch.Tensor:
        both = torch.cat([looks.apex.flatten(2), looks.change.flatten(2)], dim=2).transpose(1, 2)
        return torch.cat([self.cells(both) + self.place, self.whole(looks.embedding)[:, None]], dim=1)


class LocalClues(nn.Module):
    """FEALLM's local clue aggregator: 16 regions, a convolution each, attention among them."""

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        # one kernel for each region over its own 3 x 3 patch of both early maps: a grouped product
        self.weight = nn.Parameter(torch.randn(REGIONS, 2 * size.early * PATCH * PATCH, size.bridge) * 0.02)
        self.bias = nn.Parameter(torch.zeros(REGIONS, size.bridge))
        self.attention = nn.MultiheadAttention(size.bridge, 4, batch_first=True)
        self.norm = nn.LayerNorm(size.bridge)
        self.token = nn.Linear(REGIONS * size.bridge, size.width)
        offsets = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, PATCH) * 2 / EARLY] * 2, indexing="xy"), dim=-1)
        self.register_buffer("offsets", offsets.reshape(1, 1, PATCH * PATCH, 2))

    offsets: torch.Tensor

    def forward(self, looks: Looks) -> tuple[torch.Tensor, torch.Tensor]:
        """-> (N, REGIONS, bridge) for the projector, (N, 1, width) for the language model."""
        maps = torch.cat([looks.early, looks.early_change], dim=1)
        grid = looks.points[:, :, None] + self.offsets  # (N, REGIONS, 9, 2)
        patches = functional.grid_sample(maps, grid, align_corners=False)  # (N, C, REGIONS, 9)
        flat = patches.permute(0, 2, 1, 3).flatten(2)
        local = functional.gelu(torch.einsum("nrc,rcd->nrd", flat, self.weight) + self.bias)
        local = self.norm(local + self.attention(local, local, local, need_weights=False)[0])
        return local, self.token(local.flatten(1))[:, None]


class MultiPerspective(nn.Module):
    """FEALLM's projector: the last map asks the shallow one, then the local regions, then itself; then an MLP."""

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        self.query = nn.Linear(size.features, size.bridge)
        self.shallow = nn.Linear(2 * size.early, size.bridge)
        self.place = nn.Parameter(torch.randn(VIEWS * CELLS * CELLS, size.bridge) * 0.02)
        self.clues = LocalClues(size)
        self.steps = nn.ModuleList(nn.MultiheadAttention(size.bridge, 4, batch_first=True) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(size.bridge) for _ in range(3))
        self.out = nn.Sequential(nn.Linear(size.bridge, size.width), nn.GELU(), nn.Linear(size.width, size.width))
        self.whole = nn.Sequential(nn.Linear(size.embedding, size.width), nn.GELU(), nn.Linear(size.width, size.width))

    def forward(self, looks: Looks) -> torch.Tensor:
        both = torch.cat([looks.apex.flatten(2), looks.change.flatten(2)], dim=2).transpose(1, 2)
        asked = self.query(both) + self.place
        early = torch.cat([looks.early, looks.early_change], dim=1).flatten(2).transpose(1, 2)
        local, token = self.clues(looks)
        for step, norm, memory in zip(self.steps, self.norms, (self.shallow(early), local, None), strict=True):
            source = asked if memory is None else memory
            asked = norm(asked + step(asked, source, source, need_weights=False)[0])
        return torch.cat([self.out(asked), self.whole(looks.embedding)[:, None], token], dim=1)


class ExpLLM(nn.Module):
    """Projector and language model. `lm` is any causal LM of transformers whose tokenizer has an <img> token."""

    def __init__(self, size: ModelSize, lm: PreTrainedModel, image_id: int, projector: nn.Module | None = None) -> None:
        super().__init__()
        self.size, self.image_id = size, image_id
        self.lm = lm
        self.projector = projector or (Mlp(size) if size.projector == "mlp" else MultiPerspective(size))
        self.nothing = nn.Parameter(torch.randn(image_tokens(size.projector), size.width) * 0.02)

    def blind(self, count: int) -> Looks | Pictures:
        """What stands for pictures that are not there."""
        if self.size.projector == "patches":
            from streamfer.expllm.patches import Pictures

            return Pictures.none(count)
        return Looks.none(count, self.size)

    @property
    def projector_kind(self) -> str:
        return self.size.projector

    @property
    def channels(self) -> Channels:
        """Of the encoder that it was trained with."""
        return Channels(self.size.features, self.size.early, self.size.embedding)

    @property
    def positions(self) -> int:
        """Of prompt and answer together."""
        return self.size.positions

    @property
    def answer(self) -> int:
        """Longest answer in tokens."""
        return self.size.answer

    def begin(self, prompts: list[list[int]], looks: Looks | Pictures | ArrayLooks | None, room: int) -> TorchState:
        """Reads the prompts of a batch; `room` positions are kept for prompt and answer (generate.py)."""
        from streamfer.expllm.batches import TorchState

        return TorchState(self, prompts, looks, room)

    def embed(self, ids: torch.Tensor, looks: Looks | Pictures | None) -> torch.Tensor:
        """(N, T) -> (N, T, width), with what was seen in the place of the <img> tokens."""
        embedded = self.lm.get_input_embeddings()(ids)
        if looks is None:
            return embedded
        there = looks.seen[:, None, None]
        image = self.projector(looks) * there + self.nothing * (1 - there)
        mask = ids == self.image_id
        return embedded.masked_scatter(mask[..., None], image.to(embedded.dtype))

    def forward(self, ids: torch.Tensor, attention: torch.Tensor, looks: Looks | Pictures | None) -> torch.Tensor:
        """Logits (N, T, vocabulary)."""
        return self.lm(inputs_embeds=self.embed(ids, looks), attention_mask=attention, use_cache=False).logits


def new_lm(size: ModelSize) -> PreTrainedModel:
    """A decoder of the Llama architecture with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=size.vocabulary, hidden_size=size.width, num_hidden_layers=size.layers, num_attention_heads=size.heads,
        num_key_value_heads=size.heads, intermediate_size=size.inner, max_position_embeddings=size.positions,
        tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=0, attention_dropout=size.dropout,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def save(
    model: ExpLLM, folder: Path, tokenizer: Any, facts: dict[str, Any], dtype: torch.dtype = torch.float16
) -> None:
    """model.safetensors, tokenizer.json and config.json; `facts` is what the results name the model by."""
    import json

    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().to("cpu", dtype).contiguous() for name, value in model.state_dict().items()}
    state.pop("lm.lm_head.weight", None)  # tied to the input embeddings
    part = folder / "model.safetensors.part"
    save_file(state, part, metadata={"format": "pt"})
    part.replace(folder / "model.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(
        json.dumps({"size": asdict(model.size), **facts}, indent=1) + "\n", encoding="utf-8"
    )
    (folder / GRAPH).unlink(missing_ok=True)  # it was for other weights
    if dtype == torch.float16 and _is_plain(model) and importlib.util.find_spec("onnx") is not None:
        write_graph(folder)  # so that it also runs without torch


def _is_plain(model: ExpLLM) -> bool:
    """Whether its language model is the decoder that graph.py writes."""
    size, config = model.size, model.lm.config
    wanted = {
        "model_type": "llama",
        "hidden_size": size.width,
        "num_key_value_heads": size.heads,
        "rms_norm_eps": EPSILON,
    }
    base = (getattr(config, "rope_parameters", None) or {}).get("rope_theta", BASE)
    plain = all(getattr(config, name, None) == value for name, value in wanted.items()) and base == BASE
    return plain and "model.layers.0.self_attn.q_proj.weight" in model.lm.state_dict()


def load(
    folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32, base: Path | None = None
) -> tuple[ExpLLM, Any, dict[str, Any]]:
    """The model, its tokenizer and its facts. Raises ModelMissing or ModelContract, which say what to do.

    `base`: where the checkpoints lie that an adapter belongs to, if not where it was trained.
    """
    import json

    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    from streamfer.errors import ModelContract, ModelMissing

    if is_adapter(folder):
        from streamfer.expllm.adapters import load_adapter

        return load_adapter(folder, device, dtype, base)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ModelMissing(f"{folder} is no ExpLLM: {name} is not in it; `streamfer train expllm` makes one")
    try:
        facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        size = ModelSize(**facts.pop("size"))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        model = ExpLLM(size, new_lm(size), int(tokenizer.token_to_id("<img>") or -1))
        missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    except (ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelContract(f"{folder} cannot be read as an ExpLLM: {' '.join(str(error).split())[:300]}") from None
    if unexpected or [name for name in missing if name != "lm.lm_head.weight"]:
        raise ModelContract(f"{folder}: its weights are those of another model: {[*unexpected, *missing][:3]}")
    model.lm.tie_weights()
    return model.to(device, dtype).eval(), tokenizer, facts


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter for another model's weights (adapters.py)."""
    import json

    try:
        return "bases" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # what is wrong with it, `load` says
