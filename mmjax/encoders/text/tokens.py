"""What a folder says beside a text model: its tokenizer, and what sentence-transformers adds."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

from mmjax.encoders.loading.weights import WeightsError, read_json

Pooling = Literal["mean", "cls", "own"]
"""One vector out of a model's: mean over tokens or patches, the first token's, or the one that the
model itself defines: projected where it has a projection, pooled otherwise."""

_POOLING, _MODULES, _LENGTH = "1_Pooling/config.json", "modules.json", "sentence_bert_config.json"
_ORDER = ("Transformer", "Pooling", "Dense", "Normalize")


class Said(NamedTuple):
    """What a folder tells beside the model."""

    pooling: Pooling
    normalise: bool
    max_length: int | None
    dense: tuple[Path, ...] = ()
    """Folders of the dense layers behind the pooling."""


def sentence_transformers(folder: Path, chosen: Pooling | None) -> Said:
    """Pooling, normalisation, length and dense layers, as sentence-transformers' files say.

    Raises:
        WeightsError: there are such files, and they ask for what is not built here.
    """
    length = None
    if (folder / _LENGTH).exists():
        length = read_json(folder / _LENGTH, dict).get("max_seq_length")
    if not (folder / _MODULES).exists():
        return Said(chosen or "mean", True, length)
    modules = [m if isinstance(m, dict) else {} for m in read_json(folder / _MODULES, list)]
    kinds = [str(m.get("type", "")).rpartition(".")[2] for m in modules]
    unknown = sorted(set(kinds) - set(_ORDER))
    if unknown:
        raise WeightsError(f"{folder / _MODULES}: modules {', '.join(unknown)} are not supported")
    if kinds != sorted(kinds, key=_ORDER.index):
        raise WeightsError(
            f"{folder / _MODULES}: the order {', '.join(kinds)} is not supported, only "
            f"{', '.join(_ORDER)}"
        )
    placed = zip(modules, kinds, strict=True)
    dense = tuple(folder / str(m.get("path", "")) for m, kind in placed if kind == "Dense")
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
    return Said(pooling, "Normalize" in kinds, length, dense)


def read_tokenizer(folder: Path, max_length: int) -> Any:
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
        try:
            found = tokenizers.BertWordPieceTokenizer(
                str(words),
                lowercase=said.get("do_lower_case", True),
                strip_accents=said.get("strip_accents"),
                handle_chinese_chars=said.get("tokenize_chinese_chars", True),
            )
        except TypeError as error:  # a special token of BERT is not among the words
            raise WeightsError(f"{words} is not of BERT ({error}): copy {whole.name}") from None
    else:
        raise WeightsError(f"{folder} has neither {whole.name} nor {words.name}; copy one into it")
    found.enable_truncation(max_length)
    found.no_padding()
    return found
