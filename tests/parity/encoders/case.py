"""Small random models for the parity of encoders, and the folders they are published as.

Needs NumPy and safetensors alone, so that it can be imported where PyTorch runs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

_BERT = {
    "vocab_size": 17,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 11,
    "max_position_embeddings": 9,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}
_T5 = {
    "model_type": "t5",
    "vocab_size": 13,
    "d_model": 8,
    "d_kv": 3,
    "d_ff": 10,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}
_VIT = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 11,
    "image_size": [6, 4],
    "patch_size": 2,
    "layer_norm_eps": 1e-5,
}
_CLIP = {
    "model_type": "clip",
    "projection_dim": 5,
    "text_config": {
        "vocab_size": 17,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 11,
        "max_position_embeddings": 9,
        "eos_token_id": 16,
    },
    "vision_config": {
        "hidden_size": 6,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 7,
        "image_size": 7,
        "patch_size": 3,
    },
}
CASES: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", **_BERT, "layer_norm_eps": 1e-12},
    "bert_relu": {
        "model_type": "bert",
        **_BERT,
        "num_hidden_layers": 1,
        "hidden_act": "relu",
        "layer_norm_eps": 1e-3,
        "type_vocab_size": 1,
    },
    "roberta": {
        "model_type": "roberta",
        **_BERT,
        "max_position_embeddings": 11,
        "layer_norm_eps": 1e-5,
        "type_vocab_size": 1,
        "pad_token_id": 1,
    },
    "mpnet": {
        "model_type": "mpnet",
        **_BERT,
        "max_position_embeddings": 11,
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
    },
    "vit": {"model_type": "vit", **_VIT},
    "deit": {"model_type": "deit", **_VIT, "num_hidden_layers": 1, "image_size": 4},
    "clip": _CLIP,
    "clip_old": {
        **_CLIP,
        "text_config": {**_CLIP["text_config"], "eos_token_id": 2, "hidden_act": "gelu"},
        "vision_config": {**_CLIP["vision_config"], "hidden_act": "gelu", "num_hidden_layers": 1},
    },
    "t5": _T5,
    "t5_gated": {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
}
"""`config.json` of each model."""


def inputs(config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A full row, a padded one and one of a single token; what the loss multiplies outputs by."""
    if config["model_type"] in ("vit", "deit", "clip"):
        return _image_inputs(config)
    rng = np.random.default_rng(5)
    pad = config.get("pad_token_id", 0)
    ids = rng.integers(2, config["vocab_size"], (3, 8))
    mask = np.arange(8)[None] < np.array([8, 5, 1])[:, None]
    ids = np.where(mask, ids, pad)
    if config["model_type"] == "t5":
        return {"ids": ids, "mask": mask, "targets": rng.integers(2, config["vocab_size"], (3, 5))}
    width = config["hidden_size"]
    types = {"types": rng.integers(0, config.get("type_vocab_size", 2), ids.shape)}
    return {
        "ids": ids,
        "mask": mask,
        **({} if config["model_type"] == "mpnet" else types),
        "weights": rng.normal(size=(3, 8, width)),
        "pooled_weights": rng.normal(size=(3, width)),
    }


def _image_inputs(config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Images, with their channels last, and for CLIP texts of which two are padded."""
    rng, vision = np.random.default_rng(5), config.get("vision_config", config)
    size = vision["image_size"]
    rows, columns = (size, size) if isinstance(size, int) else size
    pixels = {"pixels": rng.normal(size=(2, rows, columns, 3))}
    if config["model_type"] != "clip":
        patches = (rows // vision["patch_size"]) * (columns // vision["patch_size"])
        front, width = 1 + (config["model_type"] == "deit"), vision["hidden_size"]
        weights = rng.normal(size=(2, patches + front, width))
        return {**pixels, "weights": weights, "pooled_weights": rng.normal(size=(2, width))}
    text = config["text_config"]
    end, lengths = text["vocab_size"] - 1, np.array([8, 5, 2])[:, None]
    # Where the end is the highest token, files pad with it.
    pad, places = end if text["eos_token_id"] == 2 else 1, np.arange(8)[None]
    ids = np.where(places < lengths - 1, rng.integers(3, end, (3, 8)), end)
    mask = places < lengths
    return {
        **pixels,
        "ids": np.where(mask, ids, pad),
        "mask": mask,
        "weights": rng.normal(size=(2, 3)),
    }


def publish(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Path:
    """Write a folder as publishers do; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dict(config)))
    arrays = {k: np.asarray(v, np.float32, order="C") for k, v in tensors.items()}
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
