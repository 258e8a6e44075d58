"""The generator of MMGRec: a Transformer from a history and a user to the tokens of an id.

The history is a set: the encoder has no positions, but a relation term that depends on the user.

Axes: b rows, s items of a history, m width, g width of users, k targets of a row, t tokens (one a
level, then the end where there is one), i items, u users, l levels, w beams, v tokens of a level.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from mmjax.blocks.attention.attention import causal, visible
from mmjax.blocks.attention.positions import sinusoidal
from mmjax.blocks.attention.relational import Gate, Gates, Relation, Terms, gate, relation_terms
from mmjax.blocks.decoding.vocabulary import Vocabulary
from mmjax.blocks.quantisation.codes import lookup
from mmjax.layers.dropout import module_dropout
from mmjax.layers.stack import CrossMemory, DecodeCache, Stack, StackConfig
from mmjax.layers.transformer import Block, BlockConfig
from mmjax.models.generative.mmgrec.config import GeneratorConfig

# What torch.nn.Linear starts from: uniform below one over the root of the inputs.
_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Memory(NamedTuple):
    """Items as the encoder leaves them, which the decoder reads."""

    vectors: Float[Array, "b s m"]
    where: Bool[Array, "b s"]


class UserRelation(nn.Module):
    """The relation term of one layer, with its gates."""

    head_width: int
    gate_hidden: int

    @nn.compact
    def __call__(self, x: Float[Array, "b s m"], user: Float[Array, "b g"]) -> Terms:
        """Of the tokens `x` as `user` sees them."""

        def opened(name: str) -> Array:
            hidden = self.param(f"{name}_gate_hidden", _INIT, (user.shape[1], self.gate_hidden))
            out = self.param(f"{name}_gate_out", _INIT, (self.gate_hidden, 1))
            return gate(user, Gate(hidden, out[:, 0]))

        names = ("query", "key", "value")
        shape = (x.shape[2], self.head_width)
        projections = Relation(*(self.param(name, _INIT, shape) for name in names))
        return relation_terms(x, Gates(*map(opened, names)), projections)


class Generator(nn.Module):
    """From item vectors of a history and the user's vector to tokens.

    Teacher forcing is `__call__`; generation is `encode`, `start` and then one `step` a token,
    with equal logits.
    """

    config: GeneratorConfig
    vocabulary: Vocabulary
    width: int

    def setup(self) -> None:
        c = self.config
        block = {
            "width": self.width,
            "heads": c.heads,
            "head_width": c.head_width,
            "hidden": c.hidden,
            "pre_norm": False,
            "affine_norm": c.affine_ln,
            "bias": False,
            "activation": "relu",
            "dropout": c.dropout,
            "kernel_init": _INIT,
        }
        self.encoder = [Block(BlockConfig(**block)) for _ in range(c.layers)]
        if c.relation:
            self.relation = [UserRelation(c.head_width, c.gate_hidden) for _ in range(c.layers)]
        decoder = BlockConfig(**block, cross=True)
        self.decoder = Stack(StackConfig(decoder, c.decoder_layers, causal=True))
        normal = nn.initializers.normal(1.0)
        self.nothing = self.param("nothing", normal, (self.width,))
        self.embedding = self.param("embedding", normal, (self.vocabulary.rows, self.width))
        self.head = self.param("head", _INIT, (self.width, self.vocabulary.columns))

    def __call__(
        self,
        items: Float[Array, "b s m"],
        where: Bool[Array, "b s"],
        user: Float[Array, "b g"],
        codes: Int[Array, "b k l"],
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "b k _"], ...]:
        """Logits of every token of the targets given those before it, an array for each token.

        The targets of a row share its source and know nothing of each other.

        Args:
            items: vectors of the source, in any order.
            where: which of them are no padding. A row without any reads a learned vector.
            user: vectors of the users.
            codes: ids of the targets.
            train: draw dropout from the stream "dropout".
        """
        memory = self.encode(items, where, user, train=train)
        tokens = self.vocabulary.inputs(codes)
        _, k, t = tokens.shape
        x = self._embed(tokens) + self._positions(t)[None, None]
        x = module_dropout(self, rearrange(x, "b k t d -> b (k t) d"), self.config.dropout, train)
        own = jnp.arange(k * t) // t
        alone = causal(k * t) & (own[:, None] == own[None])[None, None]
        for block in self.decoder.layer:
            x = block(
                x,
                where=alone,
                memory=memory.vectors,
                memory_where=visible(memory.where),
                train=train,
            )
        x = rearrange(x, "b (k t) d -> b k t d", k=k)
        return tuple(self._logits(x[:, :, n], n) for n in range(t))

    def encode(
        self,
        items: Float[Array, "b s m"],
        where: Bool[Array, "b s"],
        user: Float[Array, "b g"],
        *,
        train: bool = False,
    ) -> Memory:
        """Memory of the decoder; arguments as above."""
        empty = ~where.any(1)
        first = (jnp.arange(items.shape[1]) == 0)[None] & empty[:, None]
        x = jnp.where(first[..., None], self.nothing, items)
        where = where | first
        x = module_dropout(self, x, self.config.dropout, train)
        for n, block in enumerate(self.encoder):
            extra: dict[str, Any] = {}
            if self.config.relation:
                terms = self.relation[n](x, user)
                extra = {"bias": terms.bias, "added_values": terms.values}
            x = block(x, where=visible(where), train=train, **extra)
        return Memory(x, where)

    def start(self, memory: Memory) -> tuple[CrossMemory, DecodeCache]:
        """State before the first `step`: arrays that all steps and beams share, and an empty cache
        of one beam a row, which a search follows to more."""
        length = self.vocabulary.steps
        return self.decoder.start(memory.vectors, memory.where, beams=1, length=length)

    def step(
        self, cache: DecodeCache, fixed: CrossMemory, codes: Int[Array, "b w"] | None, level: int
    ) -> tuple[Float[Array, "b w v"], DecodeCache]:
        """Logits of the token of `level`, given the token before it, None at level 0.

        The tokens of a level are numbered as `Vocabulary.trie_codes` does.
        """
        if codes is None:
            rows, beams = cache[0].key.shape[:2]
            tokens = jnp.full((rows, beams), self.vocabulary.start)
        else:
            tokens = self.vocabulary.token_of(codes, level - 1)
        x = self._embed(tokens) + self._positions(level + 1)[level][None, None]
        x, cache = self.decoder.step(cache, fixed, x, level)
        return self._logits(x, level), cache

    def _embed(self, tokens: Array) -> Array:
        return lookup(self.embedding, tokens.ravel()).reshape(*tokens.shape, -1)

    def _positions(self, length: int) -> Array:
        return sinusoidal(length, self.width)

    def _logits(self, x: Array, level: int) -> Array:
        first, last = self.vocabulary.span(level)
        return x @ self.head[:, first:last]


class Inputs(NamedTuple):
    """Results of the first two stages, frozen."""

    items: Float[Array, "i m"]
    """Item vectors."""
    users: Float[Array, "u g"]
    """User vectors."""
    codes: Int[Array, "i l"]
    """Item ids, a code a level."""


def encoder_inputs(
    inputs: Inputs, user: Int[Array, "b"], history: Int[Array, "b s"]
) -> tuple[Float[Array, "b s m"], Bool[Array, "b s"], Float[Array, "b g"]]:
    """Arguments of `Generator.encode` for users and items by number; -1 is padding."""
    items, users = lax.stop_gradient((inputs.items, inputs.users))
    where = history >= 0
    return items[jnp.maximum(history, 0)], where, users[user]


def generator(config: GeneratorConfig, sizes: tuple[int, ...], width: int) -> Generator:
    """The module for ids of these `sizes` and item vectors of this `width`."""
    return Generator(config, Vocabulary(sizes, config.shared_vocab), width)
