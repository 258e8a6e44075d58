"""Our side of the parity of encoders: a published folder in, outputs and gradients out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from mmjax.encoders.image import clip_files, vit
from mmjax.encoders.loading.weights import Sources
from mmjax.encoders.text import bert, mpnet, t5
from tests.parity.common.records import Record, with_prefix

LOADERS: dict[str, tuple[Any, Any]] = {
    "clip": (clip_files.load_clip, clip_files.clip_sources),
    "deit": (vit.load_vit, vit.sources),
    "vit": (vit.load_vit, vit.sources),
    "t5": (t5.load_t5, t5.sources),
    "mpnet": (mpnet.load_mpnet, mpnet.sources),
}


def by_published_name(params: Mapping[str, Any], sources: Sources) -> dict[str, np.ndarray]:
    """The tensors that a tree of parameters would be published as."""
    found = {}
    for path, value in flatten_dict(params, sep="/").items():
        name, layout = sources[path]
        value = np.asarray(value)
        if layout == "linear":
            inputs = 2 if path.endswith(("attention/out/kernel", "cross/out/kernel")) else 1
            value = value.reshape(int(np.prod(value.shape[:inputs])), -1).T
        elif layout == "conv":
            value = value.transpose(3, 2, 0, 1)
        elif path.endswith(("query/bias", "key/bias", "value/bias")):
            value = value.ravel()
        found[name] = value
    return found


def load(folder: Path, family: str) -> tuple[Any, dict[str, Any], Sources]:
    """Model, parameters and where these come from."""
    read, sources = LOADERS.get(family, (bert.load_bert, bert.sources))
    model, params = read(folder)
    return model, params, sources(model.config)


def _seq2seq(model: Any, params: Any, given: Mapping[str, jax.Array]) -> Any:
    memory = model.apply({"params": params}, given["ids"], given["mask"], method="encode")
    logits = model.apply(
        {"params": params}, given["targets"], memory, given["mask"], method="decode"
    )
    rows = jax.nn.log_softmax(logits)
    picked = jnp.take_along_axis(rows, given["targets"][..., None], 2)
    return -picked.mean(), {"memory": memory, "logits": logits}


def _encoder(model: Any, params: Any, given: Mapping[str, jax.Array]) -> Any:
    out = model.apply({"params": params}, given["ids"], given["mask"], given.get("types"))
    shown = jnp.where(given["mask"][..., None], out.last, 0.0)
    loss = (given["weights"] * shown).sum() + (given["pooled_weights"] * out.pooled).sum()
    hidden = {f"hidden/{n}": x for n, x in enumerate(out.hidden)}
    return loss, {**hidden, "pooled": out.pooled}


def _images(model: Any, params: Any, given: Mapping[str, jax.Array]) -> Any:
    out = model.apply({"params": params}, given["pixels"])
    loss = (given["weights"] * out.last).sum() + (given["pooled_weights"] * out.pooled).sum()
    hidden = {f"hidden/{n}": x for n, x in enumerate(out.hidden)}
    return loss, {**hidden, "last": out.last, "pooled": out.pooled}


def _towers(model: Any, params: Any, given: Mapping[str, jax.Array]) -> Any:
    out = model.apply({"params": params}, given["ids"], given["pixels"], given["mask"])
    found = {"logits": out.logits}
    for side, tower in (("text", out.text), ("image", out.image)):
        found |= {f"{side}/hidden/{n}": x for n, x in enumerate(tower.hidden)}
        found |= {f"{side}/last": tower.last, f"{side}/projected": tower.projected}
    return (given["weights"] * out.logits).sum(), found


SIDES = {"t5": _seq2seq, "vit": _images, "deit": _images, "clip": _towers}
OUTPUTS = ("loss", "last", "pooled", "memory", "logits")


def results(folder: Path, family: str, record: Record) -> dict[str, np.ndarray]:
    """Outputs, loss and gradients by their published names."""
    model, params, sources = load(folder, family)
    given = {
        name: jnp.asarray(
            record[name], None if name in ("ids", "mask", "types", "targets") else jnp.float32
        )
        for name in record
        if "/" not in name and name not in OUTPUTS
    }
    side = SIDES.get(family, _encoder)
    step = jax.jit(
        jax.value_and_grad(lambda params: side(model, params, given), has_aux=True),
    )
    (loss, out), grads = step(params)
    named = by_published_name(grads, sources)
    out = {name: np.asarray(value) for name, value in out.items()}
    return {**out, "loss": np.asarray(loss), **{f"grad/{k}": v for k, v in named.items()}}


def assert_equal_results(got: Record, record: Record, rtol: float) -> None:
    """Compare with a record; errors are relative to the largest entry of an array, or to 0.1.

    Below that, gradients such as that of a key's bias are zero in exact arithmetic.
    """
    grads = with_prefix(record, "grad/")
    assert grads.keys() == with_prefix(got, "grad/").keys()
    for name, value in got.items():
        want = record[name]
        atol = rtol * max(0.1, float(np.abs(want).max()))
        np.testing.assert_allclose(value, want, rtol=0, atol=atol, err_msg=name)
