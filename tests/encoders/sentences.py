"""Sentences that the real model was asked for, and tokenizers of a few words."""

from collections.abc import Sequence
from typing import Any

SENTENCES = (  # short, long, empty, and not plain English
    "A man is eating food.",
    "",
    "Glow in the Dark Neon Nail Polish (6 Pack) | Makeup, Nails, Nail Polish",
    "Crème brûlée à l'été, 中文, naïve café &amp; 100% \t cotton",
    "The quick brown fox jumps over the lazy dog; " * 40,
    "unaffableness",
)


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
