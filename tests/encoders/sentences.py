"""Sentences that the real model was asked for: short, long, empty, and not plain English."""

SENTENCES = (
    "A man is eating food.",
    "",
    "Glow in the Dark Neon Nail Polish (6 Pack) | Makeup, Nails, Nail Polish",
    "Crème brûlée à l'été, 中文, naïve café &amp; 100% \t cotton",
    "The quick brown fox jumps over the lazy dog; " * 40,
    "unaffableness",
)
