"""Texts to vectors with published encoders, from a local folder or the hub.

    encoder = load_text_encoder("models/all-MiniLM-L6-v2")
    vectors = encoder.encode(["a red dress", "a blue one"])  # float32 [2, 384]

The folder is what the publisher offers: `config.json`, `model.safetensors`, `tokenizer.json` (or
`vocab.txt`), and what sentence-transformers adds: pooling, length, dense layers. The tower of texts
of CLIP and the encoder of T5 are read the same way.

Axes: n texts, b texts of a batch, s positions, l layers, m width.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Float32, Int

from mmjax.blocks.attention.pooling import masked_mean
from mmjax.blocks.common.projection import l2_normalise
from mmjax.encoders.encode.cache import content_key, model_digest
from mmjax.encoders.encode.outputs import Pooling
from mmjax.encoders.encode.pretrained import PretrainedEncoder, check_pooling, find_loader
from mmjax.encoders.encode.rows import Runner, encode_rows
from mmjax.encoders.image_text import clip_files
from mmjax.encoders.image_text.clip import ClipText
from mmjax.encoders.loading.hub import local_folder
from mmjax.encoders.loading.weights import WeightsError
from mmjax.encoders.text import bert, mpnet, t5
from mmjax.encoders.text.dense import apply_dense, load_dense, without_dense
from mmjax.encoders.text.token_batches import token_batches
from mmjax.encoders.text.tokens import read_sentence_config, read_tokenizer

_TOKENISED = 8192
_LOADERS: dict[str, Any] = {
    **dict.fromkeys(bert.FAMILIES, bert.load_bert),
    **dict.fromkeys(mpnet.FAMILIES, mpnet.load_mpnet),
    **dict.fromkeys(clip_files.TEXT_FAMILIES, clip_files.load_clip_text),
    **dict.fromkeys(t5.FAMILIES, t5.load_t5_encoder),
}


@dataclass(frozen=True, eq=False, repr=False)
class TextEncoder(PretrainedEncoder):
    """A text encoder with its weights and its tokenizer; made by `load_text_encoder`.

    Attributes:
        model: Flax module from ids and mask to `EncoderOutput`, with the states of all layers.
        params: its parameters; on every device, once the encoder is made.
        tokenizer: of the `tokenizers` package, without padding; cuts texts at `max_length`.
        max_length: tokens of a text, the special ones included, that are read.
        pooling: ``mean`` over the tokens of the last layer, its first token (``cls``), or the
            vector that the model itself defines (``own``), such as CLIP's.
        normalise: scale every vector to length one.
        devices: over which batches are split; None is all of this process.
        layers: give the vectors of all layers by `pooling`, from the first layer's input on; dense
            layers are then left out.
        dense: activations of the dense layers behind the pooling, whose parameters are
            ``params["dense"]``.
        prompt: put before every text.
        lower: texts are read in lower case.
        dimensions: first numbers of a vector that are kept, after all else; None keeps all.

    Raises:
        ValueError: `layers` with the pooling ``own``, which is of the last layer alone.
    """

    model: bert.Bert | ClipText | t5.T5Encoder
    params: Any
    tokenizer: Any
    max_length: int
    pooling: Pooling = "mean"
    normalise: bool = True
    devices: Sequence[Any] | None = None
    layers: bool = False
    dense: tuple[str, ...] = ()
    prompt: str = ""
    lower: bool = False
    dimensions: int | None = None
    _run: Runner = field(init=False)

    def __post_init__(self) -> None:
        vectors = partial(
            _vectors,
            self.model,
            pooling=self.pooling,
            dense=() if self.layers else self.dense,
            normalise=self.normalise,
            layers=self.layers,
            dimensions=self.dimensions,
        )
        self._compile(vectors)

    def __repr__(self) -> str:
        return (
            f"TextEncoder({type(self.model).__name__}, width {self.width}, {self.pooling} pooling, "
            f"{self.max_length} tokens)"
        )

    @cached_property
    def digest(self) -> str:
        """Hash of the weights and of all else that a text's vector depends on."""
        settings = {
            "pooling": self.pooling,
            "normalise": self.normalise,
            "layers": self.layers,
            "max_length": self.max_length,
            "tokenizer": self.tokenizer.to_str(),
        }
        # Named only where they are used, so that what was kept before stays known.
        for name in ("dense", "prompt", "lower", "dimensions"):
            if getattr(self, name):
                settings[name] = getattr(self, name)
        return model_digest(self.model.config, settings, self.params)

    def tokenize(self, texts: Sequence[str] | np.ndarray) -> list[list[int]]:
        """Token ids of each text, with the special ones, cut at `max_length`.

        Raises:
            ValueError: an entry is no string.
        """
        _check(texts)
        tokens: list[list[int]] = []
        for first in range(0, len(texts), _TOKENISED):
            part = [self._read(text) for text in texts[first : first + _TOKENISED]]
            tokens += [encoded.ids for encoded in self.tokenizer.encode_batch(part)]
        return tokens

    def _read(self, text: str) -> str:
        """A text as the tokenizer sees it. Half of a surrogate pair is no letter and would fail
        the whole batch: it is read as the sign for an unknown one.
        """
        whole = self.prompt + text
        whole = whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.lower() if self.lower else whole

    def encode(
        self,
        texts: Sequence[str] | np.ndarray,
        *,
        batch_size: int = 64,
        progress: bool = True,
        cache: str | os.PathLike[str] | None = None,
    ) -> Float32[np.ndarray, "n *l m"]:
        """A vector for each text, in their order; with `layers` one for each layer.

        A text's vector does not depend on the others, but for rounding.

        Args:
            texts: any strings, '' included.
            batch_size: texts that the devices together read at once.
            progress: show a bar.
            cache: a folder where vectors are kept, by text and model; texts that it knows are not
                computed again, so that what was interrupted goes on.

        Raises:
            ValueError: an entry is no string, or `batch_size` is below 1.
            DataError: a file of the cache is damaged.
        """
        if isinstance(texts, str) or batch_size < 1:
            raise ValueError(
                f"encode wants a sequence of strings and a positive batch size, got "
                f"{type(texts).__name__} and {batch_size}"
            )
        _check(texts)

        def rows(todo: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, ...]]]:
            tokens = self.tokenize([str(texts[n]) for n in todo])
            for batch in token_batches(
                tokens, batch_size, self.model.config.pad_id, self.max_length
            ):
                yield todo[batch.texts], (batch.ids, batch.mask)

        return encode_rows(
            self._run,
            rows,
            count=len(texts),
            shape=self.shape,
            unit="text",
            progress=progress,
            cache=cache,
            keys=lambda: [content_key(text.encode("utf-8", "surrogatepass")) for text in texts],
            digest=lambda: self.digest,
        )


def _check(texts: Sequence[str] | np.ndarray) -> None:
    for n, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"text {n} is {text!r}, not a string; put '' where there is no text")


def _vectors(
    model: bert.Bert | ClipText | t5.T5Encoder,
    params: Any,
    ids: Int[Array, "b s"],
    mask: Bool[Array, "b s"],
    *,
    pooling: Pooling,
    dense: Sequence[str],
    normalise: bool,
    layers: bool,
    dimensions: int | None,
) -> Float[Array, "b *l m"]:
    encoded: Any = model.apply({"params": without_dense(params)}, ids, mask)
    if layers:
        last = jnp.stack(encoded.hidden, axis=1).astype(jnp.float32)
        mask = jnp.broadcast_to(mask[:, None], last.shape[:3])
    else:
        last = encoded.last.astype(jnp.float32)
    if pooling == "own":
        projected = getattr(encoded, "projected", None)
        pooled = (encoded.pooled if projected is None else projected).astype(jnp.float32)
    else:
        pooled = last[..., 0, :] if pooling == "cls" else masked_mean(last, mask)
    if dense:
        pooled = apply_dense(dense, params["dense"], pooled)
    return (l2_normalise(pooled) if normalise else pooled)[..., :dimensions]


def load_text_encoder(
    folder: str | os.PathLike[str],
    *,
    max_length: int | None = None,
    pooling: Pooling | None = None,
    normalise: bool | None = None,
    dtype: Any = jnp.float32,
    devices: Sequence[Any] | None = None,
    layers: bool = False,
    prompt: str | None = None,
) -> TextEncoder:
    """Load the encoder of a folder; needs the extra ``text``.

    Args:
        folder: a local copy of what the publisher offers, or a repository of the hub.
        max_length: tokens of a text that are read; None takes the folder's word.
        pooling: None takes the folder's word; where it says nothing, ``own`` for CLIP, else
            ``mean``.
        normalise: None takes the folder's word, yes where it says nothing.
        dtype: of the computation, such as ``jnp.bfloat16``; vectors are float32 in any case.
        devices: over which batches are split; None is all of this process.
        layers: give the vectors of all layers, by `pooling`, without dense layers behind it.
        prompt: put before every text, such as "query: "; None takes the folder's default prompt.

    Raises:
        WeightsError: the folder lacks something, or holds a model that is not built here.
        ValueError: `max_length` is more than the model reads, or `pooling` is ``own`` and the
            model defines no vector.
        ImportError: the extra is not installed.
    """
    folder = local_folder(folder)
    _, load = find_loader(folder, _LOADERS, "text encoders")
    model, params = load(folder, dtype=dtype)
    if pooling is None and isinstance(model, ClipText):
        pooling = "own"
    check_pooling(pooling, model.config, folder)
    settings = read_sentence_config(folder, pooling)
    limit = model.config.longest
    if max_length is not None and not 0 < max_length <= limit:
        raise ValueError(f"max_length {max_length}: the model reads 1 to {limit} tokens")
    longest = max_length or min(settings.max_length or limit, limit)
    tokenizer = read_tokenizer(folder, longest)
    if tokenizer.get_vocab_size() > model.config.vocabulary:
        raise WeightsError(
            f"{folder}: the tokenizer knows {tokenizer.get_vocab_size()} tokens, the model "
            f"{model.config.vocabulary}; the folder mixes two models"
        )
    dense, dense_params = load_dense(settings.dense, model.config.width)
    if dense:
        params = {**params, "dense": dense_params}
    return TextEncoder(
        model,
        params,
        tokenizer,
        longest,
        pooling=settings.pooling,
        normalise=settings.normalise if normalise is None else normalise,
        devices=devices,
        layers=layers,
        dense=dense,
        prompt=settings.prompt if prompt is None else prompt,
        lower=settings.lower,
        dimensions=settings.dimensions,
    )
