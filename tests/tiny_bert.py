"""A random BERT of two small layers with a tokeniser of its own, as save_pretrained writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

WORDS = ("goals", "match", "team", "rain", "wind", "cloud", "and", "the", "good", "bad")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tiny_bert(folder: Path, **keys: Any) -> Path:
    """Write the model and its tokeniser into a folder, and return it."""
    transformers = pytest.importorskip(
        "transformers", reason="this test needs pip install 'fedlab-sim[huggingface]'"
    )
    torch.manual_seed(0)
    sizes = {
        "vocab_size": len(SPECIAL) + len(WORDS),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 20,
        "pad_token_id": 0,
    }
    model = transformers.BertModel(transformers.BertConfig(**(sizes | keys)))
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    tiny_tokeniser(folder)
    return folder


def tiny_tokeniser(folder: Path) -> None:
    """Write a WordPiece tokeniser of whole words that puts [CLS] and [SEP] around a text."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    numbers = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    made = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]"}))
