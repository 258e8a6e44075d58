"""Texts to vectors with published encoders, from a local folder.

    encoder = load_text_encoder("models/all-MiniLM-L6-v2")
    vectors = encoder.encode(["a red dress", "a blue one"])  # float32 [2, 384]

The folder is what the publisher offers: `config.json`, `model.safetensors`, `tokenizer.json` (or
`vocab.txt`), and what sentence-transformers adds to tell pooling and length.

Axes: n texts, b texts of a batch, s positions, m width.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Float32, Int
from tqdm.auto import tqdm

from mmjax.blocks.pooling import masked_mean
from mmjax.blocks.projection import l2_normalise
from mmjax.encoders import bert, mpnet
from mmjax.encoders.weights import WeightsError, read_config, read_json

Pooling = Literal["mean", "cls"]

# Rows are padded to one of these lengths, so that few programs are compiled and no row is more
# than about half padding.
_LENGTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192)
_TOKENISED = 8192
_LOADERS = dict.fromkeys(bert.FAMILIES, bert.load_bert)
_LOADERS |= dict.fromkeys(mpnet.FAMILIES, mpnet.load_mpnet)
_POOLING, _MODULES, _LENGTH = "1_Pooling/config.json", "modules.json", "sentence_bert_config.json"


class Batch(NamedTuple):
    """Texts of similar length."""

    texts: Int[np.ndarray, "_"]
    """Their places among all texts; fewer than rows where the rest is padding."""
    ids: Int[np.ndarray, "b s"]
    mask: Bool[np.ndarray, "b s"]


@dataclass(frozen=True, eq=False, repr=False)
class TextEncoder:
    """A text encoder with its weights and its tokenizer; made by `load_text_encoder`.

    Attributes:
        model: Flax module from ids and mask to `bert.Encoded`.
        params: its parameters.
        tokenizer: of the `tokenizers` package, without padding; cuts texts at `max_length`.
        max_length: tokens of a text, the special ones included, that are read.
        pooling: ``mean`` over the tokens of the last layer, or its first token (``cls``).
        normalise: scale every vector to length one.
    """

    model: bert.Bert
    params: Any
    tokenizer: Any
    max_length: int
    pooling: Pooling = "mean"
    normalise: bool = True
    _run: Any = field(init=False)

    def __post_init__(self) -> None:
        run = jax.jit(partial(_vectors, self.model, self.pooling, self.normalise))
        object.__setattr__(self, "_run", run)

    def __repr__(self) -> str:
        return (
            f"TextEncoder({type(self.model).__name__}, width {self.width}, {self.pooling} pooling, "
            f"{self.max_length} tokens)"
        )

    @property
    def width(self) -> int:
        """Width m of the vectors."""
        return self.model.config.width

    def tokenize(self, texts: Sequence[str] | np.ndarray) -> list[list[int]]:
        """Token ids of each text, with the special ones, cut at `max_length`.

        Raises:
            ValueError: an entry is no string.
        """
        for n, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(
                    f"text {n} is {text!r}, not a string; put '' where there is no text"
                )
        found: list[list[int]] = []
        for first in range(0, len(texts), _TOKENISED):
            part = list(texts[first : first + _TOKENISED])
            found += [encoded.ids for encoded in self.tokenizer.encode_batch(part)]
        return found

    def encode(
        self, texts: Sequence[str] | np.ndarray, *, batch_size: int = 64, progress: bool = True
    ) -> Float32[np.ndarray, "n m"]:
        """A vector for each text, in their order.

        A text's vector does not depend on the others, but for rounding.

        Args:
            texts: any strings, '' included.
            batch_size: texts that the device reads at once.
            progress: show a bar.

        Raises:
            ValueError: an entry is no string, or `batch_size` is below 1.
        """
        if isinstance(texts, str) or batch_size < 1:
            raise ValueError(
                f"encode wants a sequence of strings and a positive batch size, got "
                f"{type(texts).__name__} and {batch_size}"
            )
        tokens = self.tokenize(texts)
        out = np.zeros((len(texts), self.width), np.float32)
        pending: list[tuple[np.ndarray, Array]] = []
        with tqdm(total=len(texts), unit="text", disable=not progress) as bar:

            def collect(keep: int) -> None:
                # The device works on one batch while the one before it is copied.
                while len(pending) > keep:
                    rows, vectors = pending.pop(0)
                    out[rows] = np.asarray(vectors)[: len(rows)]
                    bar.update(len(rows))

            for batch in batches(tokens, batch_size, self.model.config.pad_id, self.max_length):
                pending.append((batch.texts, self._run(self.params, batch.ids, batch.mask)))
                collect(1)
            collect(0)
        return out


def _vectors(
    model: bert.Bert,
    pooling: Pooling,
    normalise: bool,
    params: Any,
    ids: Int[Array, "b s"],
    mask: Bool[Array, "b s"],
) -> Float[Array, "b m"]:
    encoded: Any = model.apply({"params": params}, ids, mask)
    last = encoded.last.astype(jnp.float32)
    pooled = last[:, 0] if pooling == "cls" else masked_mean(last, mask)
    return l2_normalise(pooled) if normalise else pooled


def batches(
    tokens: Sequence[Sequence[int]], size: int, pad_id: int, max_length: int
) -> Iterator[Batch]:
    """Rows of similar length, the longest first, of few different shapes.

    All batches have `size` rows but the last, whose rows are a power of two; the number of
    positions is one of about a dozen.
    """
    order = sorted(range(len(tokens)), key=lambda n: -len(tokens[n]))
    for first in range(0, len(order), size):
        chosen = order[first : first + size]
        rows = min(size, 1 << (len(chosen) - 1).bit_length())
        longest = len(tokens[chosen[0]])
        length = min(next((n for n in _LENGTHS if n >= longest), longest), max_length)
        ids = np.full((rows, length), pad_id, np.int32)
        mask = np.zeros((rows, length), bool)
        for row, n in enumerate(chosen):
            ids[row, : len(tokens[n])] = tokens[n]
            mask[row, : len(tokens[n])] = True
        yield Batch(np.array(chosen), ids, mask)


def load_text_encoder(
    folder: str | os.PathLike[str],
    *,
    max_length: int | None = None,
    pooling: Pooling | None = None,
    normalise: bool | None = None,
    dtype: Any = jnp.float32,
) -> TextEncoder:
    """The encoder of a local folder; needs the extra ``text``.

    Args:
        folder: a local copy of what the publisher offers.
        max_length: tokens of a text that are read; None takes the folder's word.
        pooling: None takes the folder's word, ``mean`` where it says nothing.
        normalise: None takes the folder's word, yes where it says nothing.
        dtype: of the computation, such as ``jnp.bfloat16``; vectors are float32 in any case.

    Raises:
        WeightsError: the folder lacks something, or holds a model that is not built here.
        ValueError: `max_length` is more than the model reads.
        ImportError: the extra is not installed.
    """
    folder = Path(folder)
    family = read_config(folder).get("model_type")
    if family not in _LOADERS:
        raise WeightsError(
            f"{folder}: model_type {family!r} is not among the text encoders {', '.join(_LOADERS)}"
        )
    model, params = _LOADERS[family](folder, dtype=dtype)
    said = _sentence_transformers(folder, pooling)
    limit = model.config.longest
    if max_length is not None and not 0 < max_length <= limit:
        raise ValueError(f"max_length {max_length}: the model reads 1 to {limit} tokens")
    longest = max_length or min(said.max_length or limit, limit)
    tokenizer = _tokenizer(folder, longest)
    if tokenizer.get_vocab_size() > model.config.vocabulary:
        raise WeightsError(
            f"{folder}: the tokenizer knows {tokenizer.get_vocab_size()} tokens, the model "
            f"{model.config.vocabulary}; the folder mixes two models"
        )
    return TextEncoder(
        model,
        params,
        tokenizer,
        longest,
        said.pooling,
        said.normalise if normalise is None else normalise,
    )


class _Said(NamedTuple):
    """What a folder tells beside the model."""

    pooling: Pooling
    normalise: bool
    max_length: int | None


def _sentence_transformers(folder: Path, chosen: Pooling | None) -> _Said:
    """Pooling, normalisation and length, from the files of sentence-transformers if there are."""
    length = None
    if (folder / _LENGTH).exists():
        length = read_json(folder / _LENGTH, dict).get("max_seq_length")
    if not (folder / _MODULES).exists():
        return _Said(chosen or "mean", True, length)
    modules = [str(m.get("type", "")) for m in read_json(folder / _MODULES, list)]
    kinds = [kind.rpartition(".")[2] for kind in modules]
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise WeightsError(f"{folder / _MODULES}: modules {', '.join(unknown)} are not supported")
    pooling: Pooling = chosen or "mean"
    if "Pooling" in kinds and chosen is None:
        modes = read_json(folder / _POOLING, dict)
        on = [name for name, value in modes.items() if name.startswith("pooling_mode_") and value]
        known: dict[str, Pooling] = {
            "pooling_mode_mean_tokens": "mean",
            "pooling_mode_cls_token": "cls",
        }
        if len(on) != 1 or on[0] not in known:
            raise WeightsError(
                f"{folder / _POOLING}: pooling by {', '.join(on) or 'nothing'} is not supported; "
                "choose pooling= yourself"
            )
        pooling = known[on[0]]
    return _Said(pooling, "Normalize" in kinds, length)


def _tokenizer(folder: Path, max_length: int) -> Any:
    """The folder's tokenizer, which cuts at `max_length` and does not pad."""
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(
            'texts are cut into tokens by tokenizers: pip install "mmjax[text]"'
        ) from error
    whole, words = folder / "tokenizer.json", folder / "vocab.txt"
    if whole.exists():
        try:
            found = tokenizers.Tokenizer.from_file(str(whole))
        except Exception as error:  # the package raises plain exceptions
            raise WeightsError(f"{whole} is no tokenizer ({error}); copy it again") from None
    elif words.exists():
        options = folder / "tokenizer_config.json"
        said = read_json(options, dict) if options.exists() else {}
        found = tokenizers.BertWordPieceTokenizer(
            str(words),
            lowercase=said.get("do_lower_case", True),
            strip_accents=said.get("strip_accents"),
            handle_chinese_chars=said.get("tokenize_chinese_chars", True),
        )
    else:
        raise WeightsError(f"{folder} has neither {whole.name} nor {words.name}; copy one into it")
    found.enable_truncation(max_length)
    found.no_padding()
    return found
