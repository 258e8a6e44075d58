"""TIGER: writes the semantic id of the next item after reading those of the history.

S. Rajput et al., NeurIPS 2023, arXiv 2305.05065.

Axes: b users, n items of a history, l levels of an id, s source positions, v tokens of the
vocabulary, i items, w beams, c codes of a level, k items found.
"""

import functools
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Bool, Float, Int, Integer

from mmjax.blocks.common.batching import map_batched
from mmjax.blocks.common.branches import switched_loss
from mmjax.blocks.common.collectives import over_devices
from mmjax.blocks.decoding.beams import beam_items, beam_search, score_codes
from mmjax.blocks.decoding.trie_subsets import block
from mmjax.blocks.decoding.tries import Trie, build_trie
from mmjax.layers.decoding import decode_step
from mmjax.layers.seq2seq import Seq2Seq, Seq2SeqConfig
from mmjax.models.common.sequence_task import SequenceTask
from mmjax.models.generative.tiger.config import TIGERConfig
from mmjax.objective import Aux, Objective

_USERS = 64
"""Histories that `predict` decodes at a time."""


class Found(NamedTuple):
    """Items for each user, best first."""

    items: Int[Array, "u k"]
    """-1 where there are fewer."""
    scores: Float[Array, "u k"]
    """Log-probabilities of their ids."""


class TIGER(nn.Module):
    """A T5 over the codes of items.

    Token 0 pads and starts the decoder; behind it come the codes, level by level, then the users'
    tokens.
    """

    config: TIGERConfig
    sizes: tuple[int, ...]
    """Codes of each level."""

    @property
    def first(self) -> tuple[int, ...]:
        """The token of code 0, by level; then the first token behind all codes."""
        return tuple(accumulate(self.sizes, initial=1))

    def setup(self) -> None:
        c = self.config
        self.t5 = Seq2Seq(
            Seq2SeqConfig(
                self.first[-1] + c.user_buckets,
                width=c.width,
                layers=c.layers,
                decoder_layers=c.layers,
                heads=c.heads,
                head_width=c.head_width,
                hidden=c.hidden,
                dropout=c.dropout,
                dtype=jnp.dtype(c.dtype),
            )
        )

    def __call__(
        self,
        codes: Integer[Array, "i l"],
        history: Int[Array, "b n"],
        user: Int[Array, "b"],
        item: Int[Array, "b"],
        *,
        train: bool = False,
    ) -> Float[Array, "b l v"]:
        """Logits of every code of the next item given those before it.

        Args:
            codes: ids of all items.
            history: items, oldest first; -1 at places that hold none, wherever these are.
            user: whose they are, from 0.
            item: the next one.
            train: draw dropout from the stream "dropout".
        """
        tokens, mask = self.source(codes, history, user)
        return self.t5(tokens, self._tokens(codes)[item], mask, train=train)

    def start(
        self, codes: Integer[Array, "i l"], history: Int[Array, "b n"], user: Int[Array, "b"]
    ) -> tuple[Any, Any]:
        """What all steps of a search read, and the state of its one beam."""
        tokens, mask = self.source(codes, history, user)
        memory = self.t5.encode(tokens, mask)
        return self.t5.start(memory, mask, beams=1, length=len(self.sizes))

    def step(
        self, fixed: Any, cache: Any, last: Int[Array, "b w"] | None, level: int
    ) -> tuple[Float[Array, "b w c"], Any]:
        """Logits of the codes of `level` after the code `last`, as `beam_search` asks for them.

        With probabilities over the whole vocabulary the other tokens' logits follow behind.
        """
        if last is None:
            tokens = jnp.zeros(jax.tree.leaves(cache)[0].shape[:2], jnp.int32)
        else:
            tokens = last + self.first[level - 1]
        logits, cache = self.t5.step(cache, fixed, tokens, level)
        return self.of_level(logits, level), cache

    def of_level(self, logits: Float[Array, "*b v"], level: int) -> Float[Array, "*b c"]:
        """The logits that a level's probabilities are over, its codes first."""
        first, stop = self.first[level : level + 2]
        if self.config.softmax == "level":
            return logits[..., first:stop]
        return jnp.roll(logits, -first, axis=-1)

    def _tokens(self, codes: Integer[Array, "i l"]) -> Int[Array, "i l"]:
        return codes + jnp.array([self.first[:-1]], jnp.int32)

    def source(
        self, codes: Integer[Array, "i l"], history: Int[Array, "b n"], user: Int[Array, "b"]
    ) -> tuple[Int[Array, "b s"], Bool[Array, "b s"]]:
        """Tokens that the encoder reads, padding last, and which of them count."""
        # The user's token keeps its distance to the items whatever the length of the row.
        order = jnp.argsort(history < 0, axis=1, stable=True)
        history = jnp.take_along_axis(history, order, axis=1)
        where = history >= 0
        tokens = self._tokens(codes)[jnp.maximum(history, 0)].reshape(len(user), -1)
        mask = jnp.repeat(where, len(self.sizes), axis=1)
        if self.config.user_buckets:
            own = self.first[-1] + user % self.config.user_buckets
            tokens = jnp.concatenate([own[:, None], tokens], axis=1)
            mask = jnp.pad(mask, ((0, 0), (1, 0)), constant_values=True)
        return jnp.where(mask, tokens, 0), mask


def _loss(
    model: TIGER,
    codes: Array,
    params: Any,
    state: Any,
    batch: Mapping[str, Array],
    key: Array,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    where = batch["where"].astype(jnp.float32)
    weights = where / jnp.maximum(over_devices(where.sum(), axis), 1.0)
    widths = _widths(model.config)
    longest = (batch["history"] >= 0).sum(axis=1).max()
    which = sum((longest > width).astype(jnp.int32) for width in widths[:-1])
    losses = [functools.partial(_weighted, model, codes, width) for width in widths]
    loss, levels = switched_loss(which, losses, params, batch, weights, key)
    metrics = {f"code_{n}": over_devices(x, axis) for n, x in enumerate(levels)}
    return over_devices(loss, axis), Aux(state, metrics)


def _widths(config: TIGERConfig) -> tuple[int, ...]:
    """Items that a history may be cut to where it has no more, the longest last."""
    return (*(n for n in config.length_buckets if n < config.history), config.history)


def _weighted(
    model: TIGER,
    codes: Array,
    width: int,
    params: Any,
    batch: Mapping[str, Array],
    weights: Float[Array, "b"],
    key: Array,
) -> tuple[Float[Array, ""], Float[Array, "l"]]:
    """Cross-entropy of the rows' targets after the latest `width` items; mean and each of codes."""
    inputs = batch["history"][:, -width:], batch["user"], batch["item"]
    logits: Any = model.apply({"params": params}, codes, *inputs, train=True, rngs={"dropout": key})
    own = codes[batch["item"]]
    losses = []
    for level in range(len(model.sizes)):
        x = model.of_level(logits[:, level], level)
        at = jnp.take_along_axis(x, own[:, level, None], axis=1)[:, 0]
        losses.append(weights @ (jax.nn.logsumexp(x, axis=1) - at))
    levels = jnp.stack(losses)
    return levels.mean(), levels


def recommend(
    model: TIGER,
    params: Any,
    codes: Integer[Array, "i l"],
    trie: Trie,
    history: Int[Array, "b n"],
    user: Int[Array, "b"],
    blocked: Int[Array, "b m"] | None = None,
) -> Found:
    """The likeliest next items, by beam search over the ids of the trie.

    Args:
        model: the network.
        params: its parameters.
        codes: ids of all items.
        trie: the ids that may be written; that of `codes`, or of a part of the items.
        history: items, oldest first; -1 at places that hold none.
        user: whose they are.
        blocked: items that are not to be found, such as all that the user has met; -1 is none.
    """
    c = model.config
    step, cache = decode_step(model, params, codes, history, user)
    subset = None if blocked is None else block(trie, blocked)
    beams = beam_search(step, cache, trie, batch=len(user), width=c.beams, subset=subset)
    return Found(*beam_items(beams, trie, k=c.found, subset=subset))


def score_items(
    model: TIGER,
    params: Any,
    codes: Integer[Array, "i l"],
    history: Int[Array, "b n"],
    user: Int[Array, "b"],
    items: Int[Array, "b k"],
) -> Float[Array, "b k"]:
    """Log-probability of the ids of given candidates, such as those of another recommender."""
    step, cache = decode_step(model, params, codes, history, user)
    return score_codes(step, cache, codes[items])


def _predict(
    model: TIGER,
    codes: Array,
    trie: Trie,
    rows: tuple[Array, Array, Array | None],
    params: Any,
    state: Any,
    key: Array,
) -> Found:
    return map_batched(lambda own: recommend(model, params, codes, trie, *own), rows, size=_USERS)


def build(
    config: TIGERConfig,
    task: SequenceTask,
    codes: Integer[np.ndarray, "i l"],
    sizes: tuple[int, ...],
    *,
    blocked: Int[np.ndarray, "u m"] | None = None,
) -> Objective:
    """TIGER for items with semantic ids; `predict` gives `Found` for the task's users.

    Batches are those of `mmjax.training.sources.windows_source`.

    Args:
        config: hyper-parameters.
        task: the histories that `predict` reads.
        codes: ids of the items, level by level; items of equal ids are found one after the other.
        sizes: codes of each level.
        blocked: items that `predict` leaves out for each user; -1 is none.

    Raises:
        ValueError: there are not as many ids as items, a code is out of range, `softmax` is
            unknown, or `length_buckets` do not ascend.
    """
    if config.softmax not in ("level", "vocabulary"):
        raise ValueError(f"TIGER: softmax {config.softmax!r}; choose 'level' or 'vocabulary'")
    if list(config.length_buckets) != sorted({n for n in config.length_buckets if n > 0}):
        raise ValueError(
            f"TIGER: length_buckets {config.length_buckets} must be above 0 and ascend"
        )
    if codes.shape != (task.n_items, len(sizes)):
        raise ValueError(
            f"TIGER: ids of shape {codes.shape} for {task.n_items} items and {len(sizes)} levels"
        )
    model = TIGER(config, tuple(sizes))
    trie = build_trie(codes, sizes)
    table = jnp.asarray(codes, jnp.int32)
    users = np.arange(task.n_users) if task.users is None else task.users
    rows = (
        jnp.asarray(task.latest(config.history), jnp.int32),
        jnp.asarray(users, jnp.int32),
        None if blocked is None else jnp.asarray(blocked, jnp.int32),
    )
    one = jnp.zeros(1, jnp.int32)

    def init(table: Array, key: Array) -> Any:
        return dict(model.init(key, table, one[:, None], one, one))

    return Objective(
        Partial(init, table),
        Partial(functools.partial(_loss, model), table),
        Partial(functools.partial(_predict, model), table, trie, rows),
    )
