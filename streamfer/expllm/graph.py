"""The decoder of ExpLLM as an ONNX graph, so that onnxruntime can run it without torch.

    write_graph(folder)    # config.json, model.safetensors -> decoder.onnx beside them

The graph holds no weights: they are *external data* at their places inside model.safetensors (half precision there, single
precision once loaded), so that the two cannot differ and nothing is stored twice. It is what `transformers` computes for
`LlamaForCausalLM` with SiLU, RMS norms (epsilon 1e-6) and rotary positions (base 10,000, halves rotated), the defaults that
model.py trains with. Attention with its cache is onnxruntime's GroupQueryAttention (com.microsoft), which takes texts of
different lengths in one batch: `lengths` says how many positions of each text there are, padding is on the right.

    embedded (N, S, width), lengths (N,) int32: of the text so far, minus one; total () int32: the longest of them; last (N,)
    past_key_i, past_value_i (N, heads, room, width / heads)  ->  logits (N, vocabulary) at `last`, key_i, value_i
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

GRAPH = "decoder.onnx"
WEIGHTS = "model.safetensors"
OPSET = 17
BASE, EPSILON = 10_000.0, 1e-6


def rotary(positions: int, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines (positions, half) of the rotary position embedding (Su et al., RoFormer, 2021)."""
    turn = np.arange(positions)[:, None] * BASE ** -(np.arange(half) / half)
    return np.cos(turn).astype(np.float32), np.sin(turn).astype(np.float32)


def write_graph(folder: Path) -> Path:
    """Write decoder.onnx for the weights in `folder`. Needs the package `onnx` (extra `train`)."""
    from onnx import TensorProto, helper, numpy_helper

    size = json.loads((folder / "config.json").read_text(encoding="utf-8"))["size"]
    width, layers, heads, inner = (int(size[name]) for name in ("width", "layers", "heads", "inner"))
    places = tensor_places(folder / WEIGHTS)
    nodes: list[Any] = []
    constants: list[Any] = []

    def node(kind: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def weight(name: str, *, transposed: bool = False) -> str:
        """A tensor of model.safetensors in single precision; both steps are folded when the session is made."""
        start, length, shape = places[name]
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT16, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS), ("offset", start), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        constants.append(tensor)
        single = node("Cast", [name], [f"{name}/single"], to=TensorProto.FLOAT)
        return node("Transpose", [single], [f"{name}/turned"], perm=[1, 0]) if transposed else single

    def norm(x: str, name: str) -> str:
        square = node("Mul", [x, x], [f"{name}/square"])
        mean = node("ReduceMean", [square], [f"{name}/mean"], axes=[-1], keepdims=1)
        root = node("Sqrt", [node("Add", [mean, "epsilon"], [f"{name}/safe"])], [f"{name}/root"])
        return node("Mul", [node("Div", [x, root], [f"{name}/even"]), weight(name)], [f"{name}/out"])

    def linear(x: str, names: list[str], out: str) -> str:
        turned = [weight(name, transposed=True) for name in names]
        joined = turned[0] if len(turned) == 1 else node("Concat", turned, [f"{out}/weight"], axis=1)
        return node("MatMul", [x, joined], [out])

    constant("epsilon", np.float32(EPSILON).reshape(()))
    cos, sin = rotary(int(size["positions"]), width // heads // 2)
    constant("cos", cos)
    constant("sin", sin)
    constant("halves", np.array([inner, inner], np.int64))
    x = "embedded"
    for n in range(layers):
        at = f"lm.model.layers.{n}."
        qkv = linear(
            norm(x, f"{at}input_layernorm.weight"), [f"{at}self_attn.{c}_proj.weight" for c in "qkv"], f"qkv_{n}"
        )
        node(
            "GroupQueryAttention",
            [qkv, "", "", f"past_key_{n}", f"past_value_{n}", "lengths", "total", "cos", "sin"],
            [f"attended_{n}", f"key_{n}", f"value_{n}"],
            domain="com.microsoft", num_heads=heads, kv_num_heads=heads, do_rotary=1, rotary_interleaved=0,
        )  # fmt: skip
        x = node("Add", [x, linear(f"attended_{n}", [f"{at}self_attn.o_proj.weight"], f"o_{n}")], [f"middle_{n}"])
        both = linear(norm(x, f"{at}post_attention_layernorm.weight"),
                      [f"{at}mlp.gate_proj.weight", f"{at}mlp.up_proj.weight"], f"gate_up_{n}")  # fmt: skip
        node("Split", [both, "halves"], [f"gate_{n}", f"up_{n}"], axis=-1)
        open_ = node("Mul", [f"gate_{n}", node("Sigmoid", [f"gate_{n}"], [f"sigmoid_{n}"])], [f"silu_{n}"])
        shut = node("Mul", [open_, f"up_{n}"], [f"inner_{n}"])
        x = node("Add", [x, linear(shut, [f"{at}mlp.down_proj.weight"], f"down_{n}")], [f"after_{n}"])
    one = node("Unsqueeze", ["last", constant("axis", np.array([1], np.int64))], ["last/row"])
    final = node("GatherND", [x, one], ["final"], batch_dims=1)
    linear(norm(final, "lm.model.norm.weight"), ["lm.model.embed_tokens.weight"], "logits")

    def value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    cache = ["N", heads, "room", width // heads]
    graph = helper.make_graph(
        nodes, "expllm_decoder",
        [value("embedded", ["N", "S", width]), value("lengths", ["N"], TensorProto.INT32),
         value("total", [], TensorProto.INT32), value("last", ["N"], TensorProto.INT64),
         *(value(f"past_{what}_{n}", cache) for n in range(layers) for what in ("key", "value"))],
        [value("logits", ["N", int(size["vocabulary"])]),
         *(value(f"{what}_{n}", cache) for n in range(layers) for what in ("key", "value"))],
        constants,
    )  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)], ir_version=8
    )
    helper.set_model_props(model, {"weights": weights_digest(folder / WEIGHTS)})
    path = folder / GRAPH
    part = path.with_name(f"{GRAPH}.part")
    part.write_bytes(model.SerializeToString())
    part.replace(path)
    return path


def weights_digest(path: Path) -> str:
    """Of the table of a safetensors file and its length: a graph made for another table would read the wrong numbers."""
    with path.open("rb") as file:
        head = file.read(8)
        table = file.read(int.from_bytes(head, "little"))
    return hashlib.sha256(head + table + str(path.stat().st_size).encode()).hexdigest()[:16]


def tensor_places(path: Path) -> dict[str, tuple[int, int, list[int]]]:
    """Name -> (offset in the file, bytes, shape) of the half-precision tensors of a safetensors file."""
    with path.open("rb") as file:
        head = int.from_bytes(file.read(8), "little")
        table = json.loads(file.read(head))
    return {
        name: (8 + head + row["data_offsets"][0], row["data_offsets"][1] - row["data_offsets"][0], row["shape"])
        for name, row in table.items()
        if name != "__metadata__" and row["dtype"] == "F16"
    }


__all__ = ["GRAPH", "WEIGHTS", "rotary", "tensor_places", "weights_digest", "write_graph"]
