"""A real vision-language model small enough to be made inside a test: LLaVA's architecture, 130,000 weights, its own
tokenizer, and one answer learnt by heart. It knows nothing else.

The rules at the head of the prompt are cut to a few words (`short_rules`), or learning would take a minute.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamfer.expllm import prompt
from streamfer.expllm.attempts import Ask
from streamfer.expllm.evidence import Evidence
from streamfer.records import Event, Job, KeyFrame
from tests.expllm_events import FLOOR, event

SMILE, FROWN = event("12", id="smile"), event("4", id="frown")
ANSWER = (
    "**Key Observations:**\nThe lip corners rose (AU12, B, +1.5).\n\n**Overall Emotional Interpretation:**\n"
    "AU12 is a smile.\n\n**Conclusion:**\nBest read as happiness.\n\nLabel: happiness"
)
"""What the model says when asked about SMILE; what it says of FROWN is anything, and false."""
TEMPLATE = (
    "{{ bos_token }}{% for turn in messages %}{{ turn['role'] }}: "
    "{% if turn['content'] is string %}{{ turn['content'] }}{% else %}{% for part in turn['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
PICTURES = {role: np.full((48, 48, 3), grey, np.uint8) for role, grey in (("onset", 60), ("apex", 180))}
RULES = {"json": "Explain as JSON.", "text": "Explain as text."}


def short_rules(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(prompt, "system", RULES.__getitem__)


def job(of: Event) -> Job:
    return Job(of.id, of, (KeyFrame("onset", 1, of.onset.time_s), KeyFrame("apex", 2, of.apex.time_s)), 0.0)


def ask(of: Event) -> Ask:
    return Ask(job(of), Evidence.of(of, FLOOR), PICTURES)


def _tokenizer():  # type: ignore[no-untyped-def]
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    questions = [prompt.messages(ask(of), [], "text")[1]["content"][0]["text"] for of in (SMILE, FROWN)]
    trainer = trainers.BpeTrainer(
        vocab_size=1500, special_tokens=["<pad>", "<s>", "</s>", "<image>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    words.train_from_iterator([*RULES.values(), *questions, ANSWER] * 2, trainer)  # a merge needs two cases
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
                                   extra_special_tokens={"image_token": "<image>"})  # fmt: skip


def make(folder: Path, steps: int = 300) -> float:
    """Write the model to a folder as `save_pretrained` does, and return its last loss. The rules must be short."""
    import torch
    from PIL import Image
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = _tokenizer()
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}), tokenizer,
        patch_size=16, vision_feature_select_strategy="default", num_additional_image_tokens=1, chat_template=TEMPLATE,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(LlavaConfig(
        vision_config=CLIPVisionConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
                                       image_size=32, patch_size=16, projection_dim=16),
        text_config=LlamaConfig(vocab_size=len(tokenizer), hidden_size=64, intermediate_size=64, num_hidden_layers=2,
                                num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=4096,
                                bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=True),
        image_token_id=3, image_token_index=3, vision_feature_layer=-1, tie_word_embeddings=True,
    ))  # fmt: skip
    turns = [prompt.messages(ask(SMILE), [(role, {"type": "image"}) for role in PICTURES], form) for form in ("json", "text")]
    texts = [processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) + ANSWER + "</s>" for turn in turns]
    tokenizer.padding_side = "left"
    pictures = [[Image.fromarray(picture) for picture in PICTURES.values()] for _ in texts]
    batch = processor(text=texts, images=pictures, padding=True, return_tensors="pt", add_special_tokens=False)
    labels = batch["input_ids"].clone()
    labels[:, : -len(tokenizer(ANSWER + "</s>", add_special_tokens=False)["input_ids"])] = -100
    optimiser = torch.optim.AdamW(model.parameters(), lr=8e-3)
    for _ in range(steps):
        loss = model(**batch, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss.item() < 0.05:
            break
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return loss.item()
