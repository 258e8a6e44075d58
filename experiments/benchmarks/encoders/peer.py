"""The PyTorch process of `encoders`: transformers' models, timed whenever it is asked to."""

from pathlib import Path
from typing import Any

import torch
import transformers

from experiments.benchmarks import harness
from experiments.benchmarks.encoders.problem import CASES, SHAPES, checksum, inputs


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
    options = harness.peer_inputs()
    made = models(options.sizes)
    for name, model in made.items():
        model.save_pretrained(Path(options.folder) / name)
    candidates = {}
    for case, (name, _, _) in CASES.items():
        x = torch.from_numpy(inputs(case, SHAPES[options.sizes][name]))
        if name == "minilm":
            batch: dict[str, Any] = {"input_ids": x.long(), "attention_mask": torch.ones_like(x)}
        else:
            batch = {"pixel_values": x.permute(0, 3, 1, 2).contiguous()}

        @torch.inference_mode()
        def call(model: Any = made[name], batch: Any = batch) -> Any:
            return model(**batch).last_hidden_state

        candidates[f"{case} checksum"] = lambda call=call: checksum(call().numpy())
        candidates[case] = harness.timed(call, repeat=options.repeat, clock=harness.clock(options))
    versions = harness.environment(("torch", "transformers", "numpy"))["versions"]
    harness.serve(candidates, {"peer": versions, "peer_threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
