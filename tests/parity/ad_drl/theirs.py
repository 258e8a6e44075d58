"""The small problems of AD-DRL by its authors' code, a checkout of SDLZY/AD-DRL.

    python -m tests.parity.ad_drl.theirs CHECKOUT

writes `reference/*.npz`. Needs PyTorch (extra `parity`).
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.parity.ad_drl.case import ATTRIBUTES, CASES, STARTS, labels
from tests.parity.common.official_torch import (
    OfficialCode,
    draw_weights,
    losses,
    numbers,
    weights,
    write,
)
from tests.parity.common.problem import Case, inputs

REPOSITORY = "SDLZY/AD-DRL"
DECAYS = {"intra": "decay_f", "inter": "decay_n", "values": "decay_a", "reg": "decay_r"}


def prepare(checkout: Path) -> None:
    """Make a checkout importable."""
    sys.path.insert(0, str(checkout))


def model(case: Case) -> Any:
    """The model of a case, without dropout, as it starts.

    Its sizes of features and labels are those of Amazon's data; here the layers are smaller. Its
    training script, not the model, draws the weights of all layers.
    """
    torch.set_default_dtype(torch.float32)
    net = importlib.import_module("model").ADDRL(
        case.n_users, case.n_items, num_neg=case.negatives, **case.settings
    )
    chunk, width = net.embed_dim // net.n_factor, net.embed_dim
    net.textual_mlp_2 = nn.Linear(case.widths["text"], width)
    net.visual_mlp_2 = nn.Linear(case.widths["image"], width)
    for name in labels(case):
        getattr(net, f"{name}_mlp")[2] = nn.Linear(chunk, ATTRIBUTES[name])
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.xavier_uniform_(module.weight)
    return net


def record(case: Case) -> dict[str, np.ndarray]:
    """The results of the released model on a case, without dropout."""
    given, told, net = inputs(case), labels(case), model(case)
    draw_weights(net, case.seed)
    user, item, negatives = (torch.from_numpy(given[k]) for k in ("user", "item", "negatives"))
    text, image = (torch.from_numpy(given[f"features/{n}"]).double() for n in ("text", "image"))
    classes = [torch.from_numpy(told.get(n, np.zeros(case.n_items, int))) for n in ATTRIBUTES]

    def loss() -> Tensor:
        rows = (torch.stack([user, item], 1), negatives)
        content = (text[item], image[item], text[negatives], image[negatives])
        return net(*rows, *content, *(x[i] for i in (item, negatives) for x in classes))

    net.train()
    found = losses(net, loss, {part: {decay: 0} for part, decay in DECAYS.items()})
    net.eval()
    everyone, everything = torch.arange(case.n_users), torch.arange(case.n_items)
    scores = net(everyone, everything, text, image)[0]
    given |= {f"labels/{n}": x for n, x in told.items()}
    return {**given, **weights(net), **found, "scores": numbers(scores)}


if __name__ == "__main__":
    write("ad_drl", OfficialCode(REPOSITORY, prepare, model, record), CASES, STARTS)
