"""The PyTorch process of `evaluation`: a batch of users at a time, as MMRec does."""

from collections.abc import Callable
from typing import Any

import torch

from experiments.benchmarks.evaluation.problem import KS, Problem, serve


def evaluation(p: Problem, batch: int) -> Callable[[], dict[str, float]]:
    """One evaluation by PyTorch, as vectorised as it allows."""
    n_users, n_items = len(p.users), len(p.items)
    users, items = torch.from_numpy(p.users), torch.from_numpy(p.items)
    seen = torch.from_numpy(p.seen)
    starts = list(range(0, n_users, batch))
    bounds = torch.searchsorted(seen[:, 0].contiguous(), torch.tensor([*starts, n_users])).tolist()
    masks = [
        seen[a:b].T - torch.tensor([[s], [0]])
        for s, a, b in zip(starts, bounds[:-1], bounds[1:], strict=True)
    ]
    keys = torch.from_numpy(p.held_out[:, 0] * n_items + p.held_out[:, 1])
    relevant = torch.bincount(torch.from_numpy(p.held_out[:, 0]), minlength=n_users)
    rank = torch.arange(1, max(KS) + 1)
    discount = 1 / torch.log2(rank + 1.0)
    ideal = discount.cumsum(0)

    def best(start: int, mask: Any) -> Any:
        scores = users[start : start + batch] @ items.T
        scores[mask[0], mask[1]] = -torch.inf
        return torch.topk(scores, max(KS), dim=1).indices

    @torch.inference_mode()
    def run() -> dict[str, float]:
        ids = torch.cat([best(*x) for x in zip(starts, masks, strict=True)])
        packed = torch.arange(n_users)[:, None] * n_items + ids
        place = torch.searchsorted(keys, packed).clamp_(max=len(keys) - 1)
        hits = (keys[place] == packed).float()
        counts = hits.cumsum(1)
        gain = (hits * discount).cumsum(1)
        precisions = (hits * counts / rank).cumsum(1)
        result = {}
        for k in KS:
            top = relevant.clamp(max=k)
            values = {
                "recall": counts[:, k - 1] / relevant,
                "ndcg": gain[:, k - 1] / ideal[top - 1],
                "precision": counts[:, k - 1] / k,
                "map": precisions[:, k - 1] / top,
                "hr": (counts[:, k - 1] > 0).float(),
                "mrr": (hits / rank)[:, :k].amax(1),
            }
            result |= {f"{name}@{k}": float(x.double().mean()) for name, x in values.items()}
            result[f"pooled_hr@{k}"] = float(counts[:, k - 1].double().sum() / relevant.sum())
        return result

    return run


if __name__ == "__main__":
    serve(lambda p, inputs: evaluation(p, inputs.batch), ("torch", "numpy"))
