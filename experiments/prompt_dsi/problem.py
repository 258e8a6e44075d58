"""Corpus, encoder and tokens of a run.

Axes: q queries, s tokens of a query.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Int

from experiments.prompt_dsi.config import PromptDSI, Training
from mmjax.blocks.common.batching import in_steps
from mmjax.data.core.continual import ContinualCorpus, hashed_words
from mmjax.data.synthetic.documents import topic_documents
from mmjax.encoders.text.bert import Bert, BertConfig
from mmjax.models.common.query_task import QueryTask
from mmjax.models.retrieval import prompt_dsi
from mmjax.models.retrieval.prompt_dsi.config import PromptDSIConfig
from mmjax.models.retrieval.prompt_dsi.stages import Weights

_UNDECAYED = ("bias", "scale", "keys", "attention")


class Problem(NamedTuple):
    """What all methods of a run start from."""

    corpus: ContinualCorpus
    encoder: Bert
    params: Any
    """Published weights of the encoder, or None: drawn from the seed."""
    ids: Int[np.ndarray, "q s"]
    """Tokens of all queries."""

    def task(self, rows: np.ndarray) -> QueryTask:
        """Training queries by their numbers."""
        return QueryTask(self.ids[rows], self.corpus.document[rows])

    def asking(self, sessions: range, *parts: str) -> np.ndarray:
        """The queries of some parts for the documents of some sessions."""
        return np.concatenate([self.corpus.asking(n, *parts) for n in sessions])


def load_corpus(config: PromptDSI) -> ContinualCorpus:
    """The corpora of a run.

    Raises:
        ValueError: no such data set, or one that cannot be divided so.
        DataError, FileNotFoundError: files are missing or broken.
    """
    if config.data == "topic_documents":
        if config.smoke:
            return topic_documents(
                config.seed,
                n_topics=4,
                per_topic=4,
                first=2,
                new=2,
                n_words=60,
                words=(6, 4),
                queries=(6, 1, 1),
            )
        topics = 10 // config.sessions * config.sessions
        # Two words of the document itself: with four, new rows alone find every document.
        return topic_documents(
            config.seed, n_topics=30 + topics, new=config.sessions, per_query=(6, 2)
        )
    from experiments.prompt_dsi.corpora import load

    return load(config)


def load_problem(config: PromptDSI, corpus: ContinualCorpus) -> Problem:
    """Encoder and tokens.

    Raises:
        WeightsError: the encoder's folder lacks something.
    """
    e = config.encoder
    if e.folder is not None:
        return _published(config, corpus)
    encoder = Bert(
        BertConfig(
            vocabulary=e.vocabulary,
            width=e.width,
            layers=e.layers,
            heads=e.heads,
            hidden=e.hidden,
            positions=e.length,
            dropout=e.dropout,
            attention_dropout=e.dropout,
            pooler=False,
        )
    )
    ids = hashed_words(corpus.queries, e.vocabulary, e.length)
    # Queries are shorter than what may be read.
    return Problem(corpus, encoder, None, ids[:, : int((ids > 0).sum(1).max())])


def _published(config: PromptDSI, corpus: ContinualCorpus) -> Problem:
    from mmjax.encoders.text.dense import without_dense
    from mmjax.encoders.text.encoder import load_text_encoder

    assert config.encoder.folder is not None
    found = load_text_encoder(config.encoder.folder)
    length = config.encoder.length
    encoder: Any = found.model
    ids = np.full((len(corpus.queries), length), encoder.config.pad_id, np.int32)
    for row, tokens in enumerate(found.tokenize(corpus.queries)):
        # The last token ends a text, also one that is cut.
        kept = tokens if len(tokens) <= length else [*tokens[: length - 1], tokens[-1]]
        ids[row, : len(kept)] = kept
    return Problem(corpus, encoder, without_dense(found.params), ids)


def optimiser(config: Training) -> optax.GradientTransformation:
    """AdamW with clipping; biases, norms and keys are not decayed."""
    rate = config.learning_rate
    if config.warmup:
        rate = optax.linear_schedule(0.0, config.learning_rate, config.warmup)

    def decayed(params: Any) -> Any:
        def of(path: Any, _: Any) -> bool:
            return str(getattr(path[-1], "key", path[-1])) not in _UNDECAYED

        return jax.tree_util.tree_map_with_path(of, params)

    adam = optax.adamw(rate, weight_decay=config.weight_decay, mask=decayed)
    return optax.chain(optax.clip_by_global_norm(config.clip), adam)


def features(
    model: PromptDSIConfig, problem: Problem, weights: Weights, rows: np.ndarray
) -> prompt_dsi.EncodedQueries:
    """Some queries as the encoder without prompts reads them."""
    bare = {"encoder": weights["encoder"]}
    return _features(model, problem.encoder, bare, jnp.asarray(problem.ids[rows]))


@functools.partial(jax.jit, static_argnames=("model", "encoder"))
def _features(model: Any, encoder: Any, weights: Weights, ids: jax.Array) -> Any:
    encode = functools.partial(prompt_dsi.encode, model, encoder, weights)
    return in_steps(encode, ids, size=prompt_dsi.CHUNK)
