"""Tokens of item ids that have a code at each of several levels.

Axes: *b any leading axes, l levels, t tokens: one a level, and the end where there is one.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int


@dataclass(frozen=True)
class Vocabulary:
    """How codes stand for rows of an embedding table and for columns of logits.

    With a vocabulary for each level, a code has its own row at every level, and logits are those
    of the level alone. With a shared one, code c is token c + 1 at all levels; 0 is padding, and
    start and end follow the codes (MMGRec's released code, arXiv 2404.16555).
    """

    sizes: tuple[int, ...]
    """Codes of each level."""
    shared: bool = False
    """One vocabulary for all levels."""

    @property
    def start(self) -> int:
        """Token before the first level."""
        return max(self.sizes) + 1 if self.shared else sum(self.sizes)

    @property
    def rows(self) -> int:
        """Rows of the embedding table."""
        return self.start + (2 if self.shared else 1)

    @property
    def columns(self) -> int:
        """Columns of the output over all levels."""
        return self.rows if self.shared else sum(self.sizes)

    @property
    def steps(self) -> int:
        """Tokens that are predicted: the levels', then the end of a shared vocabulary."""
        return len(self.sizes) + self.shared

    @property
    def special(self) -> tuple[int, ...]:
        """Columns that no code has."""
        return (0, self.start, self.start + 1) if self.shared else ()

    @property
    def trie_sizes(self) -> tuple[int, ...]:
        """Sizes of the levels of a trie of `trie_codes`."""
        return (max(self.sizes) + 1,) * len(self.sizes) if self.shared else self.sizes

    def trie_codes(self, codes: Int[Array | np.ndarray, "*b l"]) -> Int[Array | np.ndarray, "*b l"]:
        """The codes as a level's logits number them."""
        return codes + self.shared

    def span(self, level: int) -> tuple[int, int]:
        """First and behind the last of the columns that are a level's logits."""
        if self.shared:
            return 0, self.columns
        return sum(self.sizes[:level]), sum(self.sizes[: level + 1])

    def token_of(self, column: Int[Array, "*b"], level: int) -> Int[Array, "*b"]:
        """Row of a column of a level's logits."""
        return column + self.span(level)[0]

    def inputs(self, codes: Int[Array, "*b l"]) -> Int[Array, "*b t"]:
        """Tokens that go in: the start, then each predicted one but the last."""
        columns = [self.token_of(codes[..., n] + self.shared, n) for n in range(self.steps - 1)]
        start = jnp.full(codes.shape[:-1], self.start, codes.dtype)
        return jnp.stack([start, *columns], axis=-1)

    def targets(self, codes: Int[Array, "*b l"]) -> Int[Array, "*b t"]:
        """Columns that come out: each level's code, then the end of a shared vocabulary."""
        if not self.shared:
            return codes
        end = jnp.full((*codes.shape[:-1], 1), self.start + 1, codes.dtype)
        return jnp.concatenate([codes + 1, end], axis=-1)
