"""GraphSAGE convolution with the mean of the neighbours.  Axes: n nodes, d inputs, w outputs."""

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.graphs.sparse import Operator, spmm
from mmjax.layers.linear import Linear


class SAGEConv(nn.Module):
    """``W_root x_v + W_nb mean_{u in N(v)} x_u + b``; the mean over no neighbours is zero.

    W. Hamilton et al., NeurIPS 2017, arXiv 1706.02216, in the form and with the initialisation of
    PyTorch Geometric 1.7: the bias stands on the neighbours' branch.

    Attributes:
        width: number of outputs w.
    """

    width: int

    @nn.compact
    def __call__(self, graph: Operator, x: Float[Array, "n d"]) -> Float[Array, "n w"]:
        """Convolve once.

        Args:
            graph: adjacency whose rows sum to one or are empty (`graph.normalise(..., "left")`),
                without self-loops.
            x: vectors of the nodes.
        """
        neighbours = Linear(self.width, name="neighbours")(spmm(graph, x))
        return neighbours + Linear(self.width, bias=False, name="root")(x)
