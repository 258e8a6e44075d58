"""Continual corpora from real text: passages with questions, and titles of products.

Where a passage has few questions, random stretches of its words stand for the queries that a
generator would write, as DSI does when it indexes a document's own text.

Axes: d documents.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from experiments.prompt_dsi.config import PromptDSI
from mmjax.blocks.quantisation.topics import class_tf_idf, spherical_topics
from mmjax.data.core.continual import (
    ContinualCorpus,
    hashed_words,
    in_sessions,
    sessions_of_arrival,
    sessions_of_groups,
    windows_of,
)
from mmjax.data.formats.incdsi import load_incdsi
from mmjax.data.loading import load as load_named
from mmjax.data.registry import names

SHARE = 0.7
"""Documents, or topics, that are there at first."""
_GENERATED, _LENGTH, _GROUPS, _WORDS = 10, 12, 40, 4096
_MANUAL = ("nq320k", "msmarco300k")


def load(config: PromptDSI) -> ContinualCorpus:
    """The corpora that `PromptDSI.data` names.

    Raises:
        ValueError: no such data set.
        DataError, FileNotFoundError: files are missing or broken.
    """
    if config.data in _MANUAL:
        folder = (config.manual_dir or Path("manual")) / config.data
        return load_incdsi(folder, config.data, sessions=config.sessions)
    if config.data in names("passages"):
        return passages(config)
    if config.data in ("amazon_beauty", "amazon_toys"):
        return products(config)
    known = ("topic_documents", *names("passages"), "amazon_beauty", "amazon_toys", *_MANUAL)
    raise ValueError(f"--data {config.data}: choose one of {', '.join(known)}")


def passages(config: PromptDSI) -> ContinualCorpus:
    """Passages with questions: of each passage one question for test and one for validation, as
    far as there are, the others and stretches of its text to train on."""
    data = load_named(config.data, kind="passages")
    rng = np.random.default_rng(config.seed)
    group = np.unique(data.titles, return_inverse=True)[1] if data.grouped else None
    asked = list(_dealt(data.document, data.question, rng))
    for n, text in enumerate(data.text):
        asked += [(n, "generated", w) for w in windows_of(text, _GENERATED, _LENGTH, rng)]
    return _arranged(config, group, data.text, data.titles, asked, data.source)


def _dealt(
    document: Int[np.ndarray, "q"], question: tuple[str, ...], rng: np.random.Generator
) -> Iterator[tuple[int, str, str]]:
    """Every question with its part: a document's first is for test (of one alone, every fourth
    for validation), its second to train on, its third for validation, the others to train on."""
    order = rng.permutation(len(document))
    count: dict[int, int] = {}
    many = np.bincount(document)
    for q in order.tolist():
        n = int(document[q])
        place = count[n] = count.get(n, 0) + 1
        part = {1: "test", 3: "valid"}.get(place, "train")
        if many[n] < 3 and place == 1 and n % 4 == 0:
            part = "valid"
        yield n, part, question[q]


def products(config: PromptDSI) -> ContinualCorpus:
    """Products by titles: queries are random halves of the words of title and categories."""
    data = load_named(config.data, kind="sequences", data_dir=config.data_dir)
    assert data.titles is not None and data.item_tags is not None
    rng = np.random.default_rng(config.seed)
    pairs = zip(data.titles, data.item_tags, strict=True)
    texts = [f"{title} {tags.replace(',', ' ')}" for title, tags in pairs]
    asked = []
    for n, text in enumerate(texts):
        words = text.split() or ["nothing"]
        for part, count in (("generated", _GENERATED), ("valid", 1), ("test", 2)):
            for _ in range(count):
                drawn = rng.permutation(len(words))[: -(-len(words) // 2)]
                asked.append((n, part, " ".join(words[i] for i in np.sort(drawn))))
    group = np.asarray(data.attributes["subcategory"].labels)
    return _arranged(config, group, texts, data.titles.tolist(), asked, data.source)


def _arranged(
    config: PromptDSI,
    group: Int[np.ndarray, "d"] | None,
    texts: Sequence[str],
    titles: Sequence[str],
    asked: list[tuple[int, str, str]],
    source: str,
) -> ContinualCorpus:
    if config.arrival == "time":
        session = sessions_of_arrival(len(texts), new=config.sessions, share=SHARE)
    else:
        group = topics_of(texts, config.seed) if group is None else group
        session = sessions_of_groups(group, new=config.sessions, share=SHARE, seed=config.seed)
    split = f"{config.arrival}-{config.sessions}-{config.seed}"
    return in_sessions(config.data, split, session, titles, asked, source)


def topics_of(texts: Sequence[str], seed: int) -> Int[np.ndarray, "d"]:
    """Topics of texts by k-means on their weighted words (each text its own class of c-TF-IDF)."""
    ids = hashed_words(texts, _WORDS, 200)[:, 1:]
    counts = np.zeros((len(texts), _WORDS), np.float32)
    np.add.at(counts, (np.arange(len(texts))[:, None], ids), 1.0)
    counts[:, 0] = 0.0
    # A random projection keeps the distances and spares a decomposition of all words.
    drawn = np.random.default_rng(seed).normal(size=(_WORDS, 256)).astype(np.float32) / 16.0
    x = np.asarray(class_tf_idf(jnp.asarray(counts))) @ drawn
    return np.asarray(spherical_topics(jax.random.key(seed), jnp.asarray(x), _GROUPS))
