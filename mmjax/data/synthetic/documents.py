"""Synthetic documents of topics that arrive one after the other."""

import numpy as np

from mmjax.data.core.continual import ContinualCorpus, in_sessions


def topic_documents(
    seed: int = 0,
    *,
    n_topics: int = 40,
    per_topic: int = 25,
    first: int = 30,
    new: int = 5,
    n_words: int = 2000,
    words: tuple[int, int] = (20, 6),
    per_query: tuple[int, int] = (4, 4),
    queries: tuple[int, int, int] = (12, 2, 4),
) -> ContinualCorpus:
    """Queries that are bags of words of a topic and of one of its documents.

    Topic and document draw `words` many words of their own from `n_words`, which others may have
    too; a query draws `per_query` of each, in random order. Session 0 has the first topics, the
    others come in `new` sessions of equal numbers. (Small experiment of the PromptDSI checks: 40
    topics of 25 documents, queries of 8 words, 30 topics at first, then 5 sessions of 2.)

    Args:
        seed: of all draws.
        n_topics, per_topic: topics, and documents of each.
        first: topics of session 0.
        new: sessions after it.
        n_words: words there are.
        words: words of a topic and of a document.
        per_query: words that a query draws of the topic's and of the document's.
        queries: train, valid and test queries of a document.

    Raises:
        ValueError: topics do not divide into sessions, or a query wants more words than there are.
    """
    if not 0 < first < n_topics or (n_topics - first) % new or per_query > words:
        raise ValueError(
            f"topic_documents: {n_topics - first} later topics in {new} sessions, "
            f"{per_query} words of {words} a query; topics must divide, words suffice"
        )
    rng = np.random.default_rng(seed)
    topic_words = [rng.choice(n_words, words[0], replace=False) for _ in range(n_topics)]
    session = np.maximum(np.arange(n_topics) - first, -1) * new // (n_topics - first) + 1
    texts, titles = [], []
    for document in range(n_topics * per_topic):
        topic = document // per_topic
        own = rng.choice(n_words, words[1], replace=False)
        titles.append(f"document {document} of topic {topic}")
        for part, count in zip(("train", "valid", "test"), queries, strict=True):
            for _ in range(count):
                pairs = zip((topic_words[topic], own), per_query, strict=True)
                drawn = np.concatenate([rng.choice(w, n, replace=False) for w, n in pairs])
                text = " ".join(f"w{n}" for n in rng.permutation(drawn))
                texts.append((document, part, text))
    return in_sessions(
        "topic_documents",
        f"synthetic-{seed}",
        np.repeat(session, per_topic),
        titles,
        texts,
        "made here",
    )
