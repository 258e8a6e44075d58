"""Sentences that the real model was asked for, and tokenizers of a few words."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.parity.common.records import stored, with_prefix
from tests.parity.encoders.case import CASES, publish

SENTENCES = (  # short, long, empty, and not plain English
    "A man is eating food.",
    "",
    "Glow in the Dark Neon Nail Polish (6 Pack) | Makeup, Nails, Nail Polish",
    "Crème brûlée à l'été, 中文, naïve café &amp; 100% \t cotton",
    "The quick brown fox jumps over the lazy dog; " * 40,
    "unaffableness",
)


def clip_folder(folder: Path) -> Path:
    """Put a tiny CLIP of both towers there, whose tokenizer knows six words."""
    publish(folder, CASES["clip"], with_prefix(stored("encoders", "clip"), "state/"))
    words = ["<s>", "<pad>", "</s>", "[UNK]", "a", "red", "dress", "shoe", "and", "blue"]
    words += [*(f"word{n}" for n in range(6)), "<end>"]
    word_tokenizer(words, "<s>", "<end>").save(str(folder / "tokenizer.json"))
    pixels = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 7, "crop_size": 7}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return folder


def word_tokenizer(words: Sequence[str], first: str, last: str) -> Any:
    """A tokenizer of whole words between two special tokens; unknown words are ``[UNK]``."""
    import tokenizers

    ids = {word: n for n, word in enumerate(words)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{first} $0 {last}", special_tokens=[(first, ids[first]), (last, ids[last])]
    )
    return made
