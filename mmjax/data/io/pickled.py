"""Numbers and containers out of a pickle, without unpickling it.

A pickle is a program, and running a stranger's program is never done here. This module reads its
instructions one by one and carries out those that make numbers, strings, lists, tuples, sets,
dictionaries and NumPy arrays; the handful of functions that NumPy's own pickles name are carried
out by code below. Any other instruction or name ends the reading with an error. Nothing is
imported or called on behalf of the file.
"""

import pickletools
import struct
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from mmjax.data.core.checks import DataError
from mmjax.data.io.readers import PathLike

_DEEPEST = 8
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NAMES = {
    **{(module, name): name for module in _MULTIARRAY for name in ("_reconstruct", "scalar")},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    **{(m, n): n for m in ("builtins", "__builtin__") for n in ("set", "frozenset", "bytes")},
}


class _Name(str):
    """A function or class that the pickle refers to; one of the values of _NAMES."""


class _Array:
    """An array that is still to be filled."""

    value: Any = None


class _DType:
    """An element type that is still to get its byte order."""

    def __init__(self, code: str) -> None:
        self.value = np.dtype(code)
        if self.value.kind not in "biufO":
            raise _Refused(f"elements of type {code!r}")


class _Refused(Exception):
    """A content of the file that is not allowed."""


_MARK = object()


def read_plain(pickled: bytes, *, where: str) -> Any:
    """The value that a pickle describes, made of plain values alone.

    Args:
        pickled: the pickle; what follows its end is not looked at.
        where: name of the file for errors.

    Returns:
        A number, bool, string, bytes, None, list, tuple, set (of numbers and strings), dict (with
        such keys) or numeric array, or containers of these; an array of objects becomes a list,
        one without dimensions its element.

    Raises:
        DataError: the pickle holds or does anything else, or is truncated or damaged.
    """
    try:
        return _plain(_run(pickled), {}, 0)
    except _Refused as error:
        raise DataError(
            f"{where}: the pickle holds {error}; only numbers, strings, lists, tuples, sets, "
            "dictionaries and numeric arrays are read, and nothing in it was run"
        ) from error
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise DataError(f"{where}: no pickle, truncated or damaged ({error})") from error
    except struct.error as error:
        raise DataError(f"{where}: truncated or damaged ({error})") from error


def read_plain_npy(path: PathLike) -> Any:
    """The dictionary, or other single object, in a `.npy` file, read by `read_plain`.

    Raises:
        DataError: no `.npy` file, one that holds an array of numbers, or see `read_plain`.
        FileNotFoundError: there is no such file.
    """
    with open(path, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = read(file)
        except (ValueError, LookupError, EOFError) as error:
            raise DataError(f"{path}: no .npy file, or damaged ({error}); copy it again") from error
        if not dtype.hasobject or shape != ():
            raise DataError(f"{path}: an array {dtype}{list(shape)}; give the one of a dictionary")
        return read_plain(file.read(), where=str(path))


def _run(pickled: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for opcode, value, _ in pickletools.genops(pickled):
        name, argument = opcode.name, cast(Any, value)
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            (value,) = stack
            return value
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            memo[len(memo) if name == "MEMOIZE" else int(argument)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])
        elif name == "GLOBAL":
            stack.append(_named(*argument.split(" ", 1)))
        elif name in _ACTIONS:
            _ACTIONS[name](stack)
        else:
            raise _Refused(f"the instruction {name}")
    raise ValueError("it does not end")


def _since_mark(stack: list) -> list:
    last = len(stack) - 1 - stack[::-1].index(_MARK)
    items = stack[last + 1 :]
    del stack[last:]
    return items


def _last(stack: list, n: int) -> list:
    if len(stack) < n:
        raise ValueError("too few values")
    items = stack[len(stack) - n :]
    del stack[len(stack) - n :]
    return items


def _named(module: str, name: str) -> _Name:
    if (module, name) not in _NAMES:
        raise _Refused(f"a reference to {module}.{name}")
    return _Name(_NAMES[module, name])


def _key(value: Any) -> Any:
    """A value that may stand in a set or as a key: comparing it runs nothing of the file's."""
    if isinstance(value, bool | int | float | str | bytes) and not isinstance(value, _Name):
        return value
    raise _Refused(f"a {type(value).__name__.strip('_').lower()} in a set or as a key")


def _extend(target: Any, kind: type, items: list) -> None:
    if type(target) is not kind:
        raise ValueError(f"a {type(target).__name__} where a {kind.__name__} should stand")
    if kind is list:
        target.extend(items)
    elif kind is set:
        target.update(map(_key, items))
    else:
        if len(items) % 2:
            raise ValueError("a key without a value")
        target.update(zip(map(_key, items[::2]), items[1::2], strict=True))


def _grow(kind: type, n: int | None) -> Callable[[list], None]:
    """Adds the last n values, or those since the mark, to the container before them."""

    def action(stack: list) -> None:
        items = _since_mark(stack) if n is None else _last(stack, n)
        _extend(stack[-1], kind, items)

    return action


def _new(kind: type) -> Callable[[list], None]:
    def action(stack: list) -> None:
        items = _since_mark(stack)
        made: Any = [] if kind in (list, tuple) else set() if kind is frozenset else kind()
        _extend(made, type(made), items)
        stack.append(tuple(made) if kind is tuple else made)

    return action


def _tuple(n: int) -> Callable[[list], None]:
    return lambda stack: stack.append(tuple(_last(stack, n)))


def _global(stack: list) -> None:
    module, name = _last(stack, 2)
    if type(module) is not str or type(name) is not str:
        raise _Refused("a reference to no name")
    stack.append(_named(module, name))


def _reduce(stack: list) -> None:
    function, arguments = _last(stack, 2)
    if not isinstance(function, _Name) or type(arguments) is not tuple:
        raise _Refused("a call of something that is no function")
    stack.append(_call(function, arguments))


def _call(function: str, arguments: tuple) -> Any:
    if function == "_reconstruct" and arguments and arguments[0] == "ndarray":
        return _Array()
    if function == "dtype" and type(arguments[0]) is str:
        return _DType(arguments[0])
    if function == "encode" and type(arguments[0]) is str and arguments[1:] == ("latin1",):
        return arguments[0].encode("latin1")
    if function == "scalar" and len(arguments) == 2 and isinstance(arguments[0], _DType):
        return _numbers(arguments[0], (), arguments[1]).item()
    if function == "bytes" and not arguments:
        return b""
    if function in ("set", "frozenset") and all(type(a) is list for a in arguments):
        return {_key(v) for a in arguments for v in a}
    raise _Refused(f"a call of {function}")


def _build(stack: list) -> None:
    (state,) = _last(stack, 1)
    target = stack[-1]
    if isinstance(target, _DType) and type(state) is tuple and state[1] in ("<", ">", "|", "="):
        target.value = target.value.newbyteorder(state[1])
    elif isinstance(target, _Array) and type(state) is tuple and len(state) == 5:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _DType) or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("an array of no shape or type")
        target.value = _content(dtype, shape, bool(fortran), content)
    else:
        raise _Refused("an object of a class of its own")


def _content(dtype: _DType, shape: tuple, fortran: bool, content: Any) -> Any:
    if dtype.value.kind != "O":
        return _numbers(dtype, shape[::-1] if fortran else shape, content, transposed=fortran)
    if type(content) is not list or len(shape) > 1 or len(content) != (shape or (1,))[0]:
        raise _Refused("an array of objects with several dimensions")
    return content if shape else content[0]


def _numbers(dtype: _DType, shape: tuple, content: Any, *, transposed: bool = False) -> np.ndarray:
    content = content.encode("latin1") if type(content) is str else content
    if dtype.value.kind == "O" or type(content) is not bytes:
        raise _Refused("an object in the place of a number")
    array = np.frombuffer(content, dtype.value).reshape(shape)
    return (array.T if transposed else array).astype(dtype.value.newbyteorder("="))


def _plain(value: Any, seen: dict[int, tuple[Any, Any]], depth: int) -> Any:
    """`value` with every array in its place; containers that occur twice stay one."""
    if isinstance(value, bool | int | float | str | bytes | set) and not isinstance(value, _Name):
        return value
    if value is None:
        return value
    if id(value) in seen:
        return seen[id(value)][1]
    if depth > _DEEPEST:
        raise _Refused("containers in containers without end")
    if isinstance(value, _Array):
        made = value.value
        made = made if isinstance(made, np.ndarray) else _plain(made, seen, depth + 1)
    elif isinstance(value, dict):
        made = {k: _plain(v, seen, depth + 1) for k, v in value.items()}
    elif isinstance(value, list | tuple):
        made = type(value)(_plain(v, seen, depth + 1) for v in value)
    else:
        raise _Refused("a reference to a class")
    seen[id(value)] = value, made
    return made


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": _MARK}
_LITERALS = {
    *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}
_ACTIONS: dict[str, Callable[[list], Any]] = {
    "POP": lambda stack: _last(stack, 1),
    "APPEND": _grow(list, 1),
    "APPENDS": _grow(list, None),
    "SETITEM": _grow(dict, 2),
    "SETITEMS": _grow(dict, None),
    "ADDITEMS": _grow(set, None),
    "LIST": _new(list),
    "TUPLE": _new(tuple),
    "DICT": _new(dict),
    "FROZENSET": _new(frozenset),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "STACK_GLOBAL": _global,
    "REDUCE": _reduce,
    "BUILD": _build,
}
