"""The PyTorch process of `encoders`: transformers' models, timed whenever it is asked to."""

from pathlib import Path
from typing import Any

import torch
import transformers

from experiments.benchmarks import timing
from experiments.benchmarks.encoders import CASES, SHAPES, arguments, checksum, inputs


def models(sizes: str) -> dict[str, Any]:
    """The two models with random weights."""
    torch.manual_seed(0)

    def shared(shape: dict[str, int]) -> dict[str, Any]:
        return {
            "hidden_size": shape["width"],
            "num_hidden_layers": shape["layers"],
            "num_attention_heads": shape["heads"],
            "intermediate_size": shape["hidden"],
        }

    bert, vit = SHAPES[sizes]["minilm"], SHAPES[sizes]["vit"]
    text = transformers.BertConfig(**shared(bert), vocab_size=bert["vocabulary"])
    image = transformers.ViTConfig(**shared(vit), image_size=vit["size"], patch_size=vit["patch"])
    return {
        "minilm": transformers.BertModel(text, add_pooling_layer=False).eval(),
        "vit": transformers.ViTModel(image, add_pooling_layer=False).eval(),
    }


def main() -> None:
    """Write the weights, then serve until standard input closes."""
    parser = arguments(__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    flags = parser.parse_args()
    if flags.one_thread:
        torch.set_num_threads(1)
    made = models(flags.sizes)
    for name, model in made.items():
        model.save_pretrained(flags.folder / name)
    candidates = {}
    for case, (name, _, _) in CASES.items():
        x = torch.from_numpy(inputs(case, SHAPES[flags.sizes][name]))
        if name == "minilm":
            given: dict[str, Any] = {"input_ids": x.long(), "attention_mask": torch.ones_like(x)}
        else:
            given = {"pixel_values": x.permute(0, 3, 1, 2).contiguous()}

        @torch.inference_mode()
        def call(model: Any = made[name], given: Any = given) -> Any:
            return model(**given).last_hidden_state

        candidates[f"{case} checksum"] = lambda call=call: checksum(call().numpy())
        candidates[case] = timing.timed(call, repeat=flags.repeat, clock=timing.clock(flags))
    versions = timing.environment(("torch", "transformers", "numpy"))["versions"]
    timing.serve(candidates, {"peer": versions, "peer_threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
