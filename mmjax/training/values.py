"""Values of fields by their types, from words, JSON and Python.  Imports no JAX."""

import ast
import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

_TRUE, _FALSE, _NONE = ("true", "yes", "on", "1"), ("false", "no", "off", "0"), ("none", "null")
_OPEN, _CLOSE = "([{", ")]}"


def as_type(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type `hint` of a field says: "False" is False, [1, 2] is a tuple of integers.

    Args:
        value: from a flag, a JSON file, or right already.
        hint: a type; those that are neither a number, word, path, choice, tuple nor a union of
            such are not looked at.
        where: name of the field, for the error.

    Raises:
        ValueError: the value is none of that type; names field, type and value.
    """
    try:
        return _as(value, hint)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where} = {value!r}: give {spelled(hint)}") from error


def spelled(hint: Any) -> str:
    """A type in words, for messages."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(spelled(x) for x in inner)
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return f"any number of {spelled(inner[0])}"
        return f"({', '.join(map(spelled, inner))})"
    names = {int: "a whole number", float: "a number", bool: "True or False", str: "a word"}
    return "None" if hint is types.NoneType else names.get(hint, getattr(hint, "__name__", "?"))


def _as(value: Any, hint: Any) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        for choice in inner:
            if value == choice and type(value) is type(choice) or str(value) == str(choice):
                return choice
        raise ValueError
    if origin in (typing.Union, types.UnionType):
        return _any_of(value, inner)
    if origin is tuple:
        entries = _entries(value)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_as(x, inner[0]) for x in entries)
        return tuple(_as(x, each) for x, each in zip(entries, inner, strict=True))
    return _plain(value, hint)


def _any_of(value: Any, hints: tuple[Any, ...]) -> Any:
    if types.NoneType in hints and (value is None or str(value).lower() in _NONE):
        return None
    for hint in hints:
        if hint is not types.NoneType:
            try:
                return _as(value, hint)
            except (ValueError, TypeError):
                continue
    raise ValueError


def _plain(value: Any, hint: Any) -> Any:
    if hint is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in _TRUE + _FALSE:
            return str(value).lower() in _TRUE
        raise ValueError
    if hint in (int, float) and isinstance(value, bool):
        raise ValueError
    if hint is int:
        number = int(value)
        if isinstance(value, float) and number != value:
            raise ValueError
        return number
    if hint is float:
        return float(value)
    if hint is str:
        if not isinstance(value, str | int | float):
            raise ValueError
        return str(value)
    return Path(value) if hint is Path else value


def _entries(value: Any) -> list[Any]:
    if isinstance(value, str):
        inside = value.strip()
        if inside[:1] in _OPEN and inside[:1] and inside[-1:] in _CLOSE:
            inside = inside[1:-1]
        return split_words(inside) if inside else []
    return list(value) if isinstance(value, list | tuple) else [value]


def split_words(text: str) -> list[Any]:
    """``"1,[2,3],(a,b),False"`` as values: commas inside brackets separate nothing.

    Each is read as JSON, else as Python, else a tuple of words in brackets, else a word.
    """
    parts, depth, start = [], 0, 0
    for place, mark in enumerate(text):
        depth += (mark in _OPEN) - (mark in _CLOSE)
        if mark == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [_word(part.strip()) for part in [*parts, text[start:]]]


def _word(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    if text[:1] in ("(", "[") and text[-1:] in (")", "]"):
        return tuple(split_words(text[1:-1]))
    return text


def finite(values: Mapping[str, Any]) -> None:
    """Refuse numbers that are NaN or infinite.

    Raises:
        ValueError: naming the first.
    """
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} must be finite, got {value}")
