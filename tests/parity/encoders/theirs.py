"""The small models by PyTorch's transformers; writes `reference/*.npz`.

    python -m tests.parity.encoders.theirs [MINILM]

Needs PyTorch and transformers (extra `parity`), not JAX. The results are of float64. With the
folder of a real all-MiniLM-L6-v2 it also writes `minilm.npz`: token ids and vectors of a few
sentences.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tests.encoders.sentences import SENTENCES
from tests.parity.common import records
from tests.parity.encoders.case import CASES, inputs

CLASSES = {
    "bert": (transformers.BertConfig, transformers.BertModel),
    "roberta": (transformers.RobertaConfig, transformers.RobertaModel),
    "mpnet": (transformers.MPNetConfig, transformers.MPNetModel),
    "vit": (transformers.ViTConfig, transformers.ViTModel),
    "deit": (transformers.DeiTConfig, transformers.DeiTModel),
    "clip": (transformers.CLIPConfig, transformers.CLIPModel),
    "t5": (transformers.T5Config, transformers.T5ForConditionalGeneration),
}
VIT_PARTS = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def published(name: str) -> str:
    """The name in files of a parameter; transformers 5 calls those of ViT otherwise in memory."""
    layer = re.fullmatch(r"layers\.(\d+)\.(.+)\.(weight|bias)", name)
    if not layer:
        return name
    n, part, kind = layer.groups()
    return f"encoder.layer.{n}.{VIT_PARTS.get(part, part)}.{kind}"


def torch_model(config: Mapping[str, Any], seed: int = 0) -> Any:
    """The model of a configuration in float64, without dropout, every weight drawn."""
    settings, module = CLASSES[config["model_type"]]
    model = module(settings(**config, attn_implementation="eager")).double().eval()
    if config.get("tie_word_embeddings") is False:
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            start = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            value.copy_(torch.from_numpy(rng.normal(start, 0.3, value.shape)))
    return model


def tensors(model: Any) -> dict[str, np.ndarray]:
    """Named parameters, those that are tied once."""
    return {published(name): value.detach().numpy() for name, value in model.named_parameters()}


def results(model: Any, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of every layer, loss and gradients."""
    model.zero_grad(set_to_none=True)
    loss, found = _with_images(model, given) if "pixels" in given else _with_texts(model, given)
    loss.backward()
    found["loss"] = loss
    found |= {f"grad/{published(name)}": x.grad for name, x in model.named_parameters()}
    return {name: x.detach().numpy() for name, x in found.items()}


def _with_images(model: Any, given: Mapping[str, np.ndarray]) -> tuple[Any, dict[str, Any]]:
    pixels = torch.from_numpy(given["pixels"]).permute(0, 3, 1, 2)
    weights = torch.from_numpy(given["weights"])
    if "ids" not in given:
        out = model(pixel_values=pixels, output_hidden_states=True)
        loss = (weights * out.last_hidden_state).sum()
        loss = loss + (torch.from_numpy(given["pooled_weights"]) * out.pooler_output).sum()
        found = {f"hidden/{n}": x for n, x in enumerate(out.hidden_states)}
        return loss, {**found, "last": out.last_hidden_state, "pooled": out.pooler_output}
    out = model(
        input_ids=torch.from_numpy(given["ids"]),
        attention_mask=torch.from_numpy(given["mask"]).long(),
        pixel_values=pixels,
        output_hidden_states=True,
    )
    found = {}
    for side, tower in (("text", out.text_model_output), ("image", out.vision_model_output)):
        found |= {f"{side}/hidden/{n}": x for n, x in enumerate(tower.hidden_states)}
        # Where both towers are asked, the pooled vector gives way to its projection.
        found |= {f"{side}/last": tower.last_hidden_state, f"{side}/projected": tower.pooler_output}
    found |= {"logits": out.logits_per_image}
    return (weights * out.logits_per_image).sum(), found


def _with_texts(model: Any, given: Mapping[str, np.ndarray]) -> tuple[Any, dict[str, Any]]:
    ids, mask = torch.from_numpy(given["ids"]), torch.from_numpy(given["mask"]).long()
    if "targets" in given:
        labels = torch.from_numpy(given["targets"])
        out = model(input_ids=ids, attention_mask=mask, labels=labels, output_hidden_states=True)
        loss = out.loss
        found = {"memory": out.encoder_last_hidden_state, "logits": out.logits}
    else:
        types = {"token_type_ids": torch.from_numpy(given["types"])} if "types" in given else {}
        out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, **types)
        # Tokens alone: PyTorch gives the embedding of padding no gradient.
        shown = out.last_hidden_state * mask[..., None]
        loss = (torch.from_numpy(given["weights"]) * shown).sum()
        loss = loss + (torch.from_numpy(given["pooled_weights"]) * out.pooler_output).sum()
        found = {f"hidden/{n}": x for n, x in enumerate(out.hidden_states)}
        found["pooled"] = out.pooler_output
    return loss, found


def reference(config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The record of a configuration: inputs, weights and results."""
    model, given = torch_model(config), inputs(config)
    state = {f"state/{name}": value.copy() for name, value in tensors(model).items()}
    return {**given, **state, **results(model, given)}


def minilm(folder: Path) -> dict[str, np.ndarray]:
    """Token ids, with -1 behind the last, and vectors of the sentences by a real model."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    batch = tokenizer(
        list(SENTENCES), padding=True, truncation=True, max_length=256, return_tensors="pt"
    )
    mask = batch["attention_mask"][..., None]
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    mean = (hidden * mask).sum(1) / mask.sum(1)
    vectors = torch.nn.functional.normalize(mean, dim=1)
    ids = torch.where(mask[..., 0] == 1, batch["input_ids"], -1)
    return {"ids": ids.numpy(), "vectors": vectors.numpy()}


def main(arguments: list[str]) -> None:
    """Write one file a case, and that of the real model where its folder is named."""
    for name, config in CASES.items():
        path = records.reference("encoders", name)
        records.save(path, reference(config), dtype=np.float32, config=config)
    if arguments:
        path = records.reference("encoders", "minilm")
        records.save(path, minilm(Path(arguments[0])), dtype=np.float32)
    print(f"PyTorch {torch.__version__}, transformers {transformers.__version__}")


if __name__ == "__main__":
    main(sys.argv[1:])
