"""Our MetaMMF under the settings of hanliu95/MetaMMF, and the names there."""

from mmjax.models.multimodal import meta_mmf
from mmjax.models.multimodal.meta_mmf.config import MetaMMFConfig
from tests.parity.common.comparison import Ours, linear, merged, table, task_of
from tests.parity.common.problem import Case
from tests.parity.common.records import Record


def our_model(case: Case, record: Record) -> Ours:
    """Our model of a case, and what the authors call its parameters."""
    s = case.settings
    config = MetaMMFConfig(
        modalities=tuple(case.widths),
        head="gcn" if s["gcn"] else "mf",
        widths=tuple(s["widths"]),
        id_width=s["widths"][-1],
        meta_width=s["s_dim"],
        dynamic="official" if s["layer"] == "released" else s["layer"],
        rank=s["R"],
        hidden_dropout=0.0,
        output_dropout=0.0,
    )
    names = merged(
        table("user_embedding", "user"),
        table("item_embedding", "fus.item_E"),
        linear("fusion/extractor_hidden", "fus.mlp_signal.0"),
        linear("fusion/extractor", "fus.mlp_signal.2"),
    )
    for n in range(4):
        theirs = f"fus.layer_{n + 1}."
        names |= table(f"fusion/static_{n}", f"{theirs}M_1")
        if s["layer"] == "full":
            names[f"fusion/tensor_{n}"] = lambda w, t=theirs: w[f"{t}T_1"].reshape(
                -1, *w[f"{t}M_1"].shape
            )
            continue
        names |= table(f"fusion/rows_{n}", f"{theirs}A")
        names |= table(f"fusion/columns_{n}", f"{theirs}B")
        names[f"fusion/modes_{n}"] = lambda w, t=theirs: w[f"{t}C"].reshape(len(w[f"{t}B"]), -1)
    for n in range(2 if s["gcn"] else 0):
        names |= linear(f"sage_{n}/neighbours", f"conv{n + 1}.lin_l")
        names |= linear(f"sage_{n}/root", f"conv{n + 1}.lin_r", bias=False)
    return Ours(*meta_mmf.build(config, task_of(case, record)), names)
