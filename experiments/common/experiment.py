"""The skeleton of an experiment: its settings, its commands, and how errors reach the user.

Nothing here imports JAX before a command runs, so that `--help` answers at once.
"""

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, NamedTuple, TypeVar

import tyro

from mmjax.data.io.files import check_writable
from mmjax.errors import UserError, user_errors
from mmjax.training.run_config import RunConfig, override
from mmjax.training.signals import Interrupted

RunT = TypeVar("RunT", bound=RunConfig)
INTERRUPTED = 143
"""Exit status after a signal; the same command resumes."""
BROKEN_PIPE = 141
"""Exit status where the reader of the output went away, as the shell gives it."""
_MENDABLE = 2


class Command(NamedTuple):
    """A command beside training, such as `recommend`; the function of its name in `run.py`."""

    about: str
    """One line for the overview."""
    flags: type[Any] | None = None
    """Dataclass of its flags, which the function takes; None for a function without any."""


@dataclass(frozen=True)
class Experiment(Generic[RunT]):
    """A paper's experiment, as its `config.py` describes it.

    Its `run.py` has the function `train`, which takes the settings, and one for each command. What
    such a function returns is printed, a path as one that was written; an integer is the exit
    status.
    """

    name: str
    """Of its folder."""
    title: str
    """Method and paper."""
    about: str
    """One line on what training does, the head of `--help`."""
    data: tuple[str, ...]
    """Data sets with presets."""
    preset: Callable[..., RunT]
    """From the values of the flags in `named`, as keyword arguments (that of `preset` is called
    `kind`, that of `encoder.folder` `encoder_folder`), to the settings."""
    named: Mapping[str, str] = field(default_factory=dict)
    """Flags that choose the preset, such as data and method, with their defaults."""
    smoke: Mapping[str, Any] = field(default_factory=dict)
    """Preset of a smoke run over any other: tiny models and few steps, by field. A field that the
    method at hand does not have is left out; a function is given the field's value."""
    commands: Mapping[str, Command] = field(default_factory=dict)

    @property
    def program(self) -> str:
        """The command line up to the flags."""
        return f"python -m experiments.{self.name}"

    def overview(self) -> str:
        """All commands, a line each."""
        rows = {"(none)": "train", **{name: c.about for name, c in self.commands.items()}}
        width = max(map(len, rows)) + 2
        lines = [f"  {name:{width}s}{about}" for name, about in rows.items()]
        return "\n".join(["commands (each has its own --help):", *lines])

    def settings(self, *, small: bool = False, **chosen: str) -> RunT:
        """The preset that values of the flags in `named` choose, in its smoke form if `small`.

        Raises:
            UserError: no such preset.
        """
        words = {**self.named, **chosen}
        with user_errors():
            start = self.preset(**{_argument(n): word for n, word in words.items()})
        return smoke(start, self.smoke) if small else start

    def parse(self, arguments: Sequence[str]) -> RunT:
        """The settings that the training command's `arguments` describe, over their preset.

        Raises:
            UserError: no such preset.
        """
        chosen = {name: _peek(arguments, name, default) for name, default in self.named.items()}
        start = self.settings(small="--smoke" in arguments, **chosen)
        kind: Any = type(start)
        if getattr(kind, "__parameters__", ()):
            model: Any = start
            kind = kind[type(model.model)]  # the flags are those of the method at hand
        about = f"{self.about}\n\n{self.overview()}"
        settings = tyro.cli(
            kind, args=arguments, default=start, prog=self.program, description=about
        )
        return _placed(settings, self.data)

    def main(self, arguments: Sequence[str], story: Callable[[], ModuleType]) -> int:
        """Run the command that `arguments` begin with, else train; returns the exit status.

        A `UserError` is printed without a traceback and gives status 2, as does a word that is no
        command; a signal gives 143.

        Args:
            arguments: of the command line.
            story: imports and returns the experiment's `run` module.
        """
        name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
        if name and not name.startswith("-") and name not in self.commands:
            print(f"no command {name!r}\n{self.overview()}", file=sys.stderr)
            return _MENDABLE
        try:
            if name not in self.commands:
                settings = self.parse(arguments)
                _check_places(settings)
                return _finish(story().train(settings))
            flags = self._flags(name, rest)
            for given in flags:
                _check_places(given)
            return _finish(getattr(story(), name)(*flags))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return _MENDABLE
        except Interrupted as stop:
            print(stop, flush=True)
            return INTERRUPTED
        except BrokenPipeError:
            # Whoever read the output, such as `head`, has seen enough.
            sys.stdout = open(os.devnull, "w")
            return BROKEN_PIPE

    def _flags(self, name: str, arguments: Sequence[str]) -> tuple[Any, ...]:
        flags = self.commands[name].flags
        if flags is not None:
            return (tyro.cli(flags, args=arguments, prog=f"{self.program} {name}"),)
        if arguments:
            raise UserError(f"{name} takes no flags, got {' '.join(arguments)}")
        return ()


def _placed(settings: RunT, known: tuple[str, ...]) -> RunT:
    """The settings with the data's folder or file by its whole path, so that it is found from any
    working directory.
    """
    data: Any = getattr(settings, "data", None)
    if isinstance(data, str) and data not in known and Path(data).exists():
        changed: Any = dataclasses.replace(settings, data=str(Path(data).resolve()))
        return changed
    return settings


def _check_places(flags: Any) -> None:
    """Refuse places that cannot be written, before any work.

    Raises:
        UserError: naming the place and the flag.
    """
    workdir, out = getattr(flags, "workdir", None), getattr(flags, "out", None)
    # Commands that answer from a run's folder only read it.
    if workdir is not None and not hasattr(flags, "users") and not hasattr(flags, "query"):
        check_writable(workdir, "--workdir")
    if out is not None:
        # A name without an ending is a folder's, whose command says what may stand there.
        place = out if out.suffix else out.parent
        check_writable(place, "--out", folder=not out.suffix)


def smoke(run: RunT, changes: Mapping[str, Any]) -> RunT:
    """`run` with the fields of a smoke run; those that it lacks are left out."""
    for path, value in changes.items():
        node: Any = run
        for name in path.split("."):
            node = getattr(node, name, dataclasses.MISSING)
        if node is not dataclasses.MISSING:
            run = override(run, {path: value(node) if callable(value) else value})
    return run


def _peek(arguments: Sequence[str], name: str, default: str) -> str:
    """The word given to ``--name``, as ``--name word`` or ``--name=word``."""
    flag = f"--{name.replace('_', '-')}"
    for n, word in enumerate(arguments):
        if word == flag and n + 1 < len(arguments):
            return arguments[n + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return default


def _argument(flag: str) -> str:
    """The name of a flag's argument of `Experiment.preset`."""
    return "kind" if flag == "preset" else flag.replace(".", "_")


def _finish(result: object) -> int:
    if isinstance(result, int):
        return result
    if result is not None:
        print(f"wrote {result}" if isinstance(result, Path) else result)
    return 0
