"""The PyTorch process of `mig_gt_epoch`: times an epoch whenever it is asked to."""

import torch

from experiments.benchmarks import timing, torch_mig_gt
from experiments.benchmarks.mig_gt_epoch import (
    Problem,
    arguments_of_problem,
    peak_rss_mib,
    problem,
)


class Peer:
    """The PyTorch implementation, with one way of propagating."""

    def __init__(self, given: Problem, propagation: str, *, smoke: bool) -> None:
        torch.manual_seed(0)
        sizes = {"width": 8, "hidden": 16, "samples": 2} if smoke else {}
        config = torch_mig_gt.Config(propagation=propagation, **sizes)
        features = {k: torch.from_numpy(v) for k, v in given.features.items()}
        features["image"] = torch_mig_gt.random_projection(features["image"], 384)
        pairs = torch.from_numpy(given.pairs)
        model = torch_mig_gt.MigGt(pairs, given.n_users, given.n_items, features, config)
        self._trainer = torch_mig_gt.Trainer(model, pairs)
        self.loss = float("nan")

    def epoch(self) -> None:
        """Train one epoch; `loss` becomes its mean per edge."""
        self.loss = self._trainer.epoch()


def main() -> None:
    """Serve until standard input closes."""
    arguments = arguments_of_problem(__doc__).parse_args()
    given = problem(arguments.data, smoke=arguments.smoke)
    peers = {f"torch {how}": Peer(given, how, smoke=arguments.smoke) for how in arguments.peers}
    candidates = {name: timing.timed(peer.epoch) for name, peer in peers.items()}
    for name, peer in peers.items():
        candidates[f"{name} loss"] = lambda peer=peer: peer.loss
    candidates["peak_rss_mib"] = peak_rss_mib
    about = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    timing.serve(candidates, about)


if __name__ == "__main__":
    main()
