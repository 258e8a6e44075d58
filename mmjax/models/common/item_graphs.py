"""The item graph over several modalities that FREEDOM and its followers share."""

from mmjax.blocks.graphs.knn import mix
from mmjax.blocks.graphs.sparse import Operator, operator
from mmjax.models.common.task import Task

_MMREC = {"image": 0.1, "text": 0.9}


def mixed_item_graph(
    task: Task, modalities: tuple[str, ...], shares: tuple[float, ...] = (), *, k: int = 10
) -> Operator:
    """The weighted sum of the modalities' binary k-neighbour graphs, ``[i, i]``.

    No shares mean MMRec's 0.1 for image and 0.9 for text where these are the two modalities, and
    equal shares otherwise. Rows sum to the sum of the shares.

    Raises:
        ValueError: shares are given, but not one for each modality.
    """
    if shares and len(shares) != len(modalities):
        raise ValueError(f"shares {shares} must give one number for each of {modalities}")
    if not shares and set(modalities) == set(_MMREC):
        shares = tuple(_MMREC[name] for name in modalities)
    shares = shares or (1 / len(modalities),) * len(modalities)
    return operator(mix([task.item_graph(name, k=k) for name in modalities], shares))
