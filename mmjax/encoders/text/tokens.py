"""Files beside a text model: its tokenizer, and the settings that sentence-transformers adds."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from mmjax.encoders.encode.outputs import Pooling
from mmjax.encoders.loading.weights import WeightsError, read_json

_POOLING, _MODULES, _LENGTH = "1_Pooling/config.json", "modules.json", "sentence_bert_config.json"
_PROMPTS, _TOKENIZER = "config_sentence_transformers.json", "tokenizer_config.json"
# Fields that change no vector, or that say what is built here anyway.
_HARMLESS = {
    _LENGTH: {"max_seq_length", "do_lower_case"},
    _PROMPTS: {
        "__version__",
        "prompts",
        "default_prompt_name",
        "similarity_fn_name",
        "truncate_dim",
        "model_type",
    },
}
_UNLIMITED = 1_000_000
"""A larger `model_max_length` stands for none."""
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
    prompt: str = ""
    """Put before every text."""
    lower: bool = False
    """Texts are read in lower case, whatever the tokenizer does."""
    dimensions: int | None = None
    """First numbers of a vector that are kept, where the folder says so."""


def read_sentence_config(folder: Path, chosen: Pooling | None) -> SentenceConfig:
    """Pooling, normalisation, length, prompt and dense layers, by the files of
    sentence-transformers; a field that would change vectors is honoured or refused.

    Args:
        folder: of the model.
        chosen: a pooling that takes the place of the folder's; None is the folder's, or ``mean``.

    Raises:
        WeightsError: there are such files, and they ask for what is not built here.
    """
    own, told = _settings(folder, _LENGTH), _settings(folder, _PROMPTS)
    length = own.get("max_seq_length") or _longest(folder)
    more: dict[str, Any] = {
        "prompt": _prompt(folder, told),
        "lower": bool(own.get("do_lower_case", False)),
        "dimensions": told.get("truncate_dim"),
    }
    if told.get("model_type") not in (None, "SentenceTransformer"):
        raise WeightsError(
            f"{folder / _PROMPTS}: model_type {told['model_type']} is not supported, only "
            "SentenceTransformer"
        )
    if not (folder / _MODULES).exists():
        return SentenceConfig(chosen or "mean", True, length, **more)
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
    modes = read_json(folder / _POOLING, dict) if "Pooling" in kinds else {}
    if more["prompt"] and not modes.get("include_prompt", True):
        raise WeightsError(
            f"{folder / _POOLING}: include_prompt false is not supported, and {_PROMPTS} names a "
            "prompt; choose prompt='' or another model"
        )
    if "Pooling" in kinds and chosen is None:
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
    return SentenceConfig(pooling, "Normalize" in kinds, length, dense, **more)


def _settings(folder: Path, name: str) -> dict[str, Any]:
    """A file of settings, none of which is unknown; nothing where there is no such file."""
    if not (folder / name).exists():
        return {}
    found = read_json(folder / name, dict)
    unknown = sorted(k for k, v in found.items() if k not in _HARMLESS[name] and v)
    if unknown:
        raise WeightsError(
            f"{folder / name}: {', '.join(unknown)} may change vectors and is not supported"
        )
    return found


def _prompt(folder: Path, told: dict[str, Any]) -> str:
    name = told.get("default_prompt_name")
    if name is None:
        return ""
    prompts = told.get("prompts") or {}
    if name not in prompts:
        raise WeightsError(
            f"{folder / _PROMPTS}: default_prompt_name {name!r} is none of the prompts "
            f"{', '.join(prompts) or 'none'}"
        )
    return str(prompts[name])


def _longest(folder: Path) -> int | None:
    """Tokens that the tokenizer says the model reads; None where it names no limit."""
    if not (folder / _TOKENIZER).exists():
        return None
    longest = read_json(folder / _TOKENIZER, dict).get("model_max_length")
    return int(longest) if longest is not None and longest < _UNLIMITED else None


def read_tokenizer(folder: Path, max_length: int) -> Any:
    """The folder's tokenizer, which cuts at `max_length` and does not pad."""
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(
            'texts are cut into tokens by tokenizers: pip install "mmjax[text]"'
        ) from error
    whole, words = folder / "tokenizer.json", folder / "vocab.txt"
    options = folder / _TOKENIZER
    settings = read_json(options, dict) if options.exists() else {}
    if whole.exists():
        try:
            content = _told(json.loads(whole.read_text(encoding="utf-8")), settings)
            tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
        except Exception as error:  # the package raises plain exceptions
            raise WeightsError(f"{whole} is no tokenizer ({error}); copy it again") from None
    elif words.exists():
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
    side = settings.get("truncation_side", "right")
    if side == "right":
        tokenizer.enable_truncation(max_length)
    elif whole.exists():
        tokenizer.enable_truncation(max_length, direction=side)
    else:
        raise WeightsError(
            f"{options}: truncation_side {side!r} is not supported with {words.name}; copy "
            f"{whole.name}"
        )
    tokenizer.no_padding()
    return tokenizer


def _told(content: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer of BERT's kind with what `tokenizer_config.json` says of its normaliser, which
    wins, as in transformers.
    """
    normaliser = content.get("normalizer") or {}
    if normaliser.get("type") == "BertNormalizer":
        for ours, theirs in (
            ("lowercase", "do_lower_case"),
            ("strip_accents", "strip_accents"),
            ("handle_chinese_chars", "tokenize_chinese_chars"),
        ):
            if theirs in settings:
                normaliser[ours] = settings[theirs]
    return content
