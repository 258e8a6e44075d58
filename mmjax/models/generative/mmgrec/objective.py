"""MMGRec, stage 2: a Transformer that reads a user's history and writes the ids of items.

H. Liu, Y. Wei, X. Song, W. Guan, Y.-F. Li, L. Nie, arXiv 2404.16555; what the text leaves open
follows the released code.

Axes: u users, s items of a history.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int

from mmjax.blocks.common.collectives import global_sum, own_key
from mmjax.models.generative.mmgrec.config import GeneratorConfig
from mmjax.models.generative.mmgrec.network import Generator, Inputs, encoder_inputs, generator
from mmjax.models.generative.mmgrec.search import id_retriever
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model


def _init(model: Generator, inputs: Inputs, key: Array) -> Variables:
    none = jnp.zeros(1, jnp.int32)
    source = encoder_inputs(inputs, none, none[:, None])
    return dict(model.init(key, *source, inputs.codes[:1, None]))


def _loss(
    model: Generator,
    inputs: Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    source = encoder_inputs(inputs, batch["user"], batch["history"])
    codes = inputs.codes[jnp.maximum(batch["items"], 0)]
    rngs = {"dropout": own_key(key, axis)}
    logits: Any = model.apply({"params": params}, *source, codes, train=True, rngs=rngs)
    there = (batch["items"] >= 0) & batch["where"][:, None]
    count = jnp.maximum(global_sum(there.astype(jnp.float32), axis), 1.0)

    def mean(logits: Array, column: Array) -> Array:
        own = jnp.take_along_axis(jax.nn.log_softmax(logits), column[..., None], 2)[..., 0]
        return -global_sum(jnp.where(there, own, 0.0), axis) / count

    columns = model.vocabulary.targets(codes)
    by_token = [mean(x, columns[:, :, n]) for n, x in enumerate(logits)]
    metrics = {f"token_{n + 1}": x for n, x in enumerate(by_token)}
    return sum(by_token, jnp.zeros(())) / len(by_token), Aux(state, metrics)


def build(
    config: GeneratorConfig,
    inputs: Inputs,
    sizes: tuple[int, ...],
    history: Int[Array, "u s"] | Int[np.ndarray, "u s"],
    *,
    width: int = 50,
) -> Model:
    """Cross-entropy of the targets' tokens, a mean over tokens and targets; constrained search.

    Batches are those of `mmjax.training.sources.subset_source`. The inputs get no gradient.
    Queries are users by number.

    Args:
        config: hyper-parameters.
        inputs: frozen vectors and ids.
        sizes: codes of each level.
        history: items that the retriever reads of every user, in any order; -1 is padding.
        width: beams of the retriever; see `mmgrec.id_retriever`.

    Raises:
        ValueError: the ids have another number of levels than there are sizes.
    """
    if inputs.codes.shape[1] != len(sizes):
        raise ValueError(f"ids of {inputs.codes.shape[1]} levels, but {len(sizes)} sizes")
    model = generator(config, sizes, inputs.items.shape[1])
    return Model(
        Objective.bind(model, inputs, init=_init, loss=_loss),
        id_retriever(model, inputs, history, width=width),
    )
