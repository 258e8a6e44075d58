"""Documents with queries, from passages with questions and from products with titles.

Where a passage has few questions, random stretches of its words stand for the queries that a
generator would write, as DSI does when it indexes a document's own text.

Axes: d documents, q questions.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from mmjax.data.core.continual import (
    ContinualCorpus,
    in_sessions,
    sessions_of_arrival,
    sessions_of_groups,
    windows_of,
)
from mmjax.data.core.passages import Passages
from mmjax.data.core.retrieval import RetrievalCorpus
from mmjax.data.core.sequences import Sequences

_GENERATED, _LENGTH = 10, 12


class Documents(NamedTuple):
    """Documents before they are dealt to sessions."""

    name: str
    texts: list[str]
    titles: list[str]
    queries: list[tuple[int, str, str]]
    """(document, part, text) of each, as `in_sessions` takes them."""
    group: Int[np.ndarray, "d"] | None
    """Of each document; None where the data do not say what belongs together."""
    source: str
    question: list[int] | None = None
    """Of each query row, where one question may have several documents."""


def passage_documents(data: Passages, seed: int) -> Documents:
    """Passages with questions: of each passage one question for test and one for validation, as
    far as there are, the others and stretches of its text to train on."""
    rng = np.random.default_rng(seed)
    group = np.unique(data.titles, return_inverse=True)[1] if data.grouped else None
    queries = list(_dealt(data.document, data.question, rng))
    for n, text in enumerate(data.text):
        queries += [(n, "generated", w) for w in windows_of(text, _GENERATED, _LENGTH, rng)]
    return Documents(data.name, list(data.text), list(data.titles), queries, group, data.source)


def judged_documents(data: RetrievalCorpus, seed: int) -> Documents:
    """A test collection: a row for each relevant document of a query, in the part that judges it.

    Parts that the collection lacks are dealt by query from what it has: without validation, a
    quarter of its test queries (else of its training queries); without test, as many of its
    training queries, or half of those of validation. Stretches of each text are trained on too, as
    for passages.

    Args:
        data: with judgements.
        seed: of what is dealt, and of the stretches.

    Raises:
        ValueError: fewer than two queries are judged to have a relevant document.
    """
    rng = np.random.default_rng(seed)
    parts = _three_parts(data, rng)
    rows: list[tuple[int, str, str]] = []
    question: list[int] = []
    for part, pairs in parts.items():
        for query, document in pairs.tolist():
            rows.append((document, part, data.queries[query]))
            question.append(query)
    for n, text in enumerate(data.passages):
        # Punctuation alone has no word to stretch over: then it stands for itself.
        for stretch in windows_of(text, _GENERATED, _LENGTH, rng):
            rows.append((n, "generated", stretch or text))
            question.append(len(data.queries) + len(rows))
    titles = [title or text[:80] for title, text in zip(data.titles, data.texts, strict=True)]
    return Documents(data.name, data.passages, titles, rows, None, data.source, question)


def _three_parts(
    data: RetrievalCorpus, rng: np.random.Generator
) -> dict[str, Int[np.ndarray, "_ 2"]]:
    """(query, document) of what is relevant, by part, with a test and a validation part."""
    parts = {part: judged.pairs() for part, judged in data.judgements.items()}
    parts = {part: pairs for part, pairs in parts.items() if len(pairs)}
    for part, share, sources in (
        ("test", 0.5, ("valid", "train")),
        ("valid", 0.25, ("test", "train")),
    ):
        if part in parts:
            continue
        source = next((s for s in sources if s in parts), "")
        queries = np.unique(parts[source][:, 0]) if source else np.zeros(0, np.int64)
        if len(queries) < 2:
            raise ValueError(
                f"{data.name}: {len(queries)} judged queries, too few for a {part} part; judge more"
            )
        count = max(1, round(share * len(queries)))
        own = np.isin(parts[source][:, 0], rng.permutation(queries)[:count])
        parts[part], parts[source] = parts[source][own], parts[source][~own]
    return parts


def product_documents(data: Sequences, seed: int, *, group: str) -> Documents:
    """Products by titles: queries are random halves of the words of title and categories.

    Args:
        data: with titles and tags of its items.
        seed: of the draws.
        group: the attribute whose labels say what belongs together.

    Raises:
        ValueError: there are no titles or no tags.
    """
    if data.titles is None or data.item_tags is None:
        raise ValueError(f"{data.name} has no titles or no tags: no texts to ask for")
    rng = np.random.default_rng(seed)
    pairs = zip(data.titles, data.item_tags, strict=True)
    texts = [f"{title} {tags.replace(',', ' ')}" for title, tags in pairs]
    queries = []
    for n, text in enumerate(texts):
        words = text.split() or ["nothing"]
        for part, count in (("generated", _GENERATED), ("valid", 1), ("test", 2)):
            for _ in range(count):
                drawn = rng.permutation(len(words))[: -(-len(words) // 2)]
                queries.append((n, part, " ".join(words[i] for i in np.sort(drawn))))
    labels = np.asarray(data.attributes[group].labels)
    return Documents(data.name, texts, data.titles.tolist(), queries, labels, data.source)


def dealt_to_sessions(
    documents: Documents,
    arrival: Literal["topic", "time"],
    *,
    new: int,
    share: float,
    seed: int,
) -> ContinualCorpus:
    """The corpus whose sessions keep groups whole ("topic") or follow the order ("time").

    Args:
        documents: those of "topic" with their groups.
        arrival: how sessions are made.
        new: sessions after the first one.
        share: of the groups, or documents, that are there at first.
        seed: of the order of groups.

    Raises:
        ValueError: there are fewer groups than sessions, or no groups.
        DataError: a document lacks queries.
    """
    if arrival == "time":
        session = sessions_of_arrival(len(documents.texts), new=new, share=share)
    elif documents.group is None:
        raise ValueError(f"{documents.name} does not say what belongs together: give groups")
    else:
        session = sessions_of_groups(documents.group, new=new, share=share, seed=seed)
    split = f"{arrival}-{new}-{seed}"
    return in_sessions(
        documents.name,
        split,
        session,
        documents.titles,
        documents.queries,
        documents.source,
        documents.question,
    )


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
