"""The small problems of MIG-GT by an independent PyTorch implementation.

    python -m tests.parity.mig_gt.theirs

writes `reference/*.npz`. Needs PyTorch (extra `parity`). The results are float64.
"""

from dataclasses import asdict

import numpy as np
import torch

from experiments.benchmarks.torch_mig_gt import Config, MigGt
from tests.parity.common import records
from tests.parity.mig_gt.case import (
    ATTENTION,
    CASES,
    HIDDEN,
    MODALITIES,
    MODES,
    WIDTH,
    Case,
    inputs,
)


def torch_model(case: Case, given: dict[str, np.ndarray], propagation: str = "csr") -> MigGt:
    """The PyTorch model of a case in float64, without dropout, every weight and statistic drawn."""
    names = MODALITIES[: len(case.hops)]
    config = Config(
        width=WIDTH,
        hidden=HIDDEN,
        hops_id=case.hops_id,
        hops=dict(zip(names, case.hops, strict=True)),
        alpha=case.alpha,
        beta=case.beta,
        item_embeddings=case.item_embeddings,
        drop_input=0.0,
        drop_hidden=0.0,
        drop_user=0.0,
        drop_item=0.0,
        drop_edge=0.0,
        drop_fused=0.0,
        samples=case.samples,
        attention_width=ATTENTION,
        mix=case.mix,
        negatives=case.negatives,
        l2=case.l2,
        propagation=propagation,
    )
    features = {n: torch.from_numpy(given[f"features/{n}"]) for n in names}
    pairs = torch.from_numpy(given["pairs"])
    model = MigGt(pairs, case.n_users, case.n_items, features, config).double()
    draw = np.random.default_rng(1000 + case.seed)
    state = {
        name: torch.from_numpy(
            draw.uniform(0.5, 1.5, x.shape)
            if name.endswith("running_var")
            else draw.normal(0, 0.5, x.shape)
        )
        for name, x in model.state_dict().items()
        if x.is_floating_point()
    }
    model.load_state_dict(state, strict=False)
    return model


def reference(case: Case, propagation: str = "csr") -> dict[str, np.ndarray]:
    """The record of a case: inputs, weights, and both modes' results by PyTorch."""
    given = inputs(case)
    model = torch_model(case, given, propagation)
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    record = {**given, **{f"state/{k}": v.numpy() for k, v in weights.items()}}
    batch = [torch.from_numpy(given[k]) for k in ("user", "item", "negatives")]
    for mode in MODES:
        model.load_state_dict(weights)
        model.train(mode == "train")
        model.zero_grad(set_to_none=True)
        final, outputs = model(torch.from_numpy(given["samples"]))
        parts = model.losses(final, outputs, *batch)
        torch.stack(list(parts.values())).sum().backward()
        results = {
            "final": final,
            "outputs": outputs,
            **{f"loss/{k}": v for k, v in parts.items()},
            **{f"grad/{k}": v.grad for k, v in model.named_parameters() if v.grad is not None},
            **{
                f"statistics/{k}": v.clone()
                for k, v in model.state_dict().items()
                if "running" in k
            },
        }
        record |= {f"{mode}/{k}": v.detach().numpy() for k, v in results.items()}
    return record


def main() -> None:
    """Write one file a case."""
    for name, case in CASES.items():
        path = records.reference("mig_gt", name)
        records.save(path, reference(case), case=asdict(case))
        print(f"{path.name}: {path.stat().st_size} bytes, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
