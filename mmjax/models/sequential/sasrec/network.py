"""The network of SASRec.  Axes: d width, b rows, t places of a row."""

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.sequences.packing import Tokens, own_past
from mmjax.layers.dropout import module_dropout
from mmjax.layers.norms import norm
from mmjax.layers.transformer import Block, BlockConfig
from mmjax.models.sequential.sasrec.config import SASRecConfig

_EPS = 1e-8


class SASRec(nn.Module):
    """Item vectors, and a vector of the expected next item for each place of a sequence."""

    config: SASRecConfig
    n_items: int

    def setup(self) -> None:
        c, init = self.config, nn.initializers.xavier_uniform()
        self.item_embedding = self.param("item_embedding", init, (self.n_items, c.width))
        self.age_embedding = self.param("age_embedding", init, (c.length, c.width))
        block = BlockConfig(
            width=c.width,
            heads=c.heads,
            hidden=c.hidden,
            activation="relu",
            eps=_EPS,
            dropout=c.dropout,
            attention_dropout=c.dropout,
            hidden_dropout=c.dropout,
            kernel_init=init,
        )
        self.layer = [Block(block) for _ in range(c.layers)]
        self.final_norm = norm("layer", _EPS)

    def __call__(self, rows: Tokens, *, train: bool = False) -> Float[Array, "b t d"]:
        """``LN(blocks(sqrt(d) E_item + P_age))``; a place sees its own window's places up to it.

        Places without an item get finite vectors that mean nothing.
        """
        c = self.config
        x = self.item_embedding[rows.item] * c.width**0.5 + self.age_embedding[rows.age]
        x = module_dropout(self, x, c.dropout, train)
        where = own_past(rows.window)
        for block in self.layer:
            x = block(x, where=where, train=train)
        return self.final_norm(x)
