"""Encoders that are trained further, with queries as rows of tokens of one length.

Axes: q queries, s tokens.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from mmjax.data.core.continual import hashed_words
from mmjax.encoders.text.bert import Bert, BertConfig
from mmjax.encoders.text.dense import without_dense
from mmjax.encoders.text.encoder import TextEncoder, load_text_encoder


class QueryEncoder(NamedTuple):
    """A network and the tokens that it reads."""

    network: Bert
    params: Any
    """Published weights, or None where they are to be drawn."""
    tokens: Callable[[Sequence[str]], Int[np.ndarray, "q s"]]
    """Padded with the network's `pad_id`."""


def hashed_query_encoder(config: BertConfig) -> QueryEncoder:
    """A new network whose tokens are hashes of words (`hashed_words`).

    Rows are as long as the longest of the queries, which the table of positions limits.
    """
    return QueryEncoder(Bert(config), None, partial(_hashed, config))


def published_query_encoder(folder: str | os.PathLike[str], length: int) -> QueryEncoder:
    """A published network of BERT's family with its own tokens, `length` a row.

    Raises:
        WeightsError: the folder lacks something.
        ImportError: the extra ``text`` is not installed.
    """
    published = load_text_encoder(folder)
    network: Any = published.model
    tokens = partial(_published, published, length)
    return QueryEncoder(network, without_dense(published.params), tokens)


def _hashed(config: BertConfig, texts: Sequence[str]) -> Int[np.ndarray, "q s"]:
    ids = hashed_words(texts, config.vocabulary, config.positions)
    return ids[:, : int((ids > 0).sum(1).max())]


def _published(encoder: TextEncoder, length: int, texts: Sequence[str]) -> Int[np.ndarray, "q s"]:
    ids = np.full((len(texts), length), encoder.model.config.pad_id, np.int32)
    for row, found in enumerate(encoder.tokenize(texts)):
        # The last token ends a text, also one that is cut.
        kept = found if len(found) <= length else [*found[: length - 1], found[-1]]
        ids[row, : len(kept)] = kept
    return ids
