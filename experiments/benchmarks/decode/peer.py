"""The PyTorch process of `decode`: Hugging Face's `generate`, timed whenever it is asked to.

Reads ``problem.npz`` of a folder, writes its results to ``results.npz``, then serves timings.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers.modeling_outputs import CausalLMOutput

from experiments.benchmarks import harness
from experiments.benchmarks.decode.problem import allowed_tokens, log_probabilities, nested_trie


class Config(transformers.PretrainedConfig):
    """Nothing but a vocabulary."""

    model_type = "product"

    def __init__(self, vocab_size: int = 0, **more: Any) -> None:
        super().__init__(**more)
        self.vocab_size = vocab_size


class Product(transformers.PreTrainedModel, transformers.GenerationMixin):
    """A product of the query plus the last token with the outputs of the level."""

    config_class = Config

    def __init__(self, config: Config, tokens: torch.Tensor, outputs: torch.Tensor) -> None:
        super().__init__(config)
        self.post_init()
        self.tokens = torch.nn.Parameter(tokens, requires_grad=False)
        self.outputs = torch.nn.Parameter(outputs, requires_grad=False)

    def prepare_inputs_for_generation(
        self, input_ids: torch.Tensor, queries: torch.Tensor, **_: Any
    ) -> dict[str, Any]:
        """Arguments of `forward`."""
        return {"input_ids": input_ids, "queries": queries}

    def forward(self, input_ids: torch.Tensor, queries: torch.Tensor, **_: Any) -> CausalLMOutput:
        """Logits of the next token; the first of the ids is the start."""
        level = input_ids.shape[1] - 1
        hidden = queries + self.tokens[level - 1][input_ids[:, -1]] if level else queries
        return CausalLMOutput(logits=(hidden @ self.outputs[level])[:, None])


def main() -> None:
    """Decode once, then serve until standard input closes."""
    inputs = harness.peer_inputs()
    folder, beams = Path(inputs.folder), inputs.beams
    with np.load(folder / "problem.npz") as file:
        trie = nested_trie(file["codes"])
        length = file["codes"].shape[1]
        tokens, outputs, queries = (
            torch.from_numpy(file[name]) for name in ("tokens", "outputs", "queries")
        )
    model = Product(Config(vocab_size=tokens.shape[1]), tokens, outputs).eval()
    options = transformers.GenerationConfig(
        num_beams=beams,
        num_return_sequences=beams,
        max_new_tokens=length,
        min_new_tokens=length,
        length_penalty=0.0,
        do_sample=False,
        use_cache=False,
        bos_token_id=1,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
    )
    start = torch.ones((len(queries), 1), dtype=torch.long)

    def generate(**more: Any) -> Any:
        with torch.inference_mode():
            return model.generate(start, queries=queries, generation_config=options, **more)

    def follow(_: int, sentence: torch.Tensor) -> list[int]:
        return allowed_tokens(trie, sentence[1:].tolist())

    def constrained() -> Any:
        return generate(prefix_allowed_tokens_fn=follow)

    best = constrained()
    options.output_scores = False
    shape = (len(queries), beams)
    np.savez(
        folder / "results.npz",
        tokens=best.sequences[:, 1:].reshape(*shape, length).numpy(),
        scores=best.sequences_scores.reshape(shape).numpy(),
    )
    log_probs = torch.from_numpy(log_probabilities((len(best.sequences),), tokens.shape[1]))
    processor = transformers.PrefixConstrainedLogitsProcessor(follow, beams)

    def steps() -> Any:
        return [processor(best.sequences[:, : level + 1], log_probs) for level in range(1, length)]

    clock = harness.clock(inputs)
    candidates = {
        "whole: transformers, dictionary": harness.timed(constrained, clock=clock),
        "whole: transformers, free": harness.timed(generate, clock=clock),
        "step: transformers, dictionary": harness.timed(steps, clock=clock),
    }
    about = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
    }
    harness.serve(candidates, about)


if __name__ == "__main__":
    main()
