"""Files beside a text model: its tokenizer, and the settings that sentence-transformers adds."""

from pathlib import Path
from typing import Any, NamedTuple

from mmjax.encoders.encode.outputs import Pooling
from mmjax.encoders.loading.weights import WeightsError, read_json

_POOLING, _MODULES, _LENGTH = "1_Pooling/config.json", "modules.json", "sentence_bert_config.json"
_ORDER = ("Transformer", "Pooling", "Dense", "Normalize")


class SentenceConfig(NamedTuple):
    """Settings of sentence-transformers in a folder, or their defaults."""

    pooling: Pooling
    normalise: bool
    """Scale every vector to length one."""
    max_length: int | None
    """Tokens of a text that are read, where the folder says so."""
    dense: tuple[Path, ...] = ()
    """Folders of the dense layers behind the pooling."""


def read_sentence_config(folder: Path, chosen: Pooling | None) -> SentenceConfig:
    """Pooling, normalisation, length and dense layers, by the files of sentence-transformers.

    Args:
        folder: of the model.
        chosen: a pooling that takes the place of the folder's; None is the folder's, or ``mean``.

    Raises:
        WeightsError: there are such files, and they ask for what is not built here.
    """
    length = None
    if (folder / _LENGTH).exists():
        length = read_json(folder / _LENGTH, dict).get("max_seq_length")
    if not (folder / _MODULES).exists():
        return SentenceConfig(chosen or "mean", True, length)
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
    return SentenceConfig(pooling, "Normalize" in kinds, length, dense)


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
            tokenizer = tokenizers.Tokenizer.from_file(str(whole))
        except Exception as error:  # the package raises plain exceptions
            raise WeightsError(f"{whole} is no tokenizer ({error}); copy it again") from None
    elif words.exists():
        options = folder / "tokenizer_config.json"
        settings = read_json(options, dict) if options.exists() else {}
        try:
            tokenizer = tokenizers.BertWordPieceTokenizer(
                str(words),
                lowercase=settings.get("do_lower_case", True),
                strip_accents=settings.get("strip_accents"),
                handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
            )
        except TypeError as error:  # a special token of BERT is not among the words
            raise WeightsError(f"{words} is not of BERT ({error}): copy {whole.name}") from None
    else:
        raise WeightsError(f"{folder} has neither {whole.name} nor {words.name}; copy one into it")
    tokenizer.enable_truncation(max_length)
    tokenizer.no_padding()
    return tokenizer
