"""The stages of a paper: each is trained or made once, kept, and found again by its key.

A stage's key is a hash of its name, the run's identity and seed, the stage's settings and the
content of its inputs. Its folder is ``<workdir>/<name>`` and holds ``stage.json`` with the key. A
call that asks for another key there is refused as `fit` refuses a changed run, for the figures of
two configurations in one folder belong to neither. In a pipeline whose stages are `shared` the
folder is ``<name>-<first 8 digits of the key>``: runs that agree on a stage find each other's, a
changed stage and those behind it are made beside the old ones, and nothing is ever replaced.

stage.json    key, what it was made of, and of a made stage the tree and the checksums
arrays.npz    the arrays of a made stage
record.json   seconds and figures
../finished.json  the stages of the run that finished last (`Pipeline.finish`)
(others)      of a trained stage, the files of `fit`
../damaged/   made stages that could not be read and were moved out of the way
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optax

from mmjax.data.io.files import atomic_write_text
from mmjax.objective import Objective
from mmjax.training import artefacts
from mmjax.training.config import FitConfig, execution_fields, to_json
from mmjax.training.fitting import FitResult, fit
from mmjax.training.loop import NO_HOOKS, Evaluate, Hooks
from mmjax.training.processes import arrays_of_first, on_first
from mmjax.training.rundir import describe
from mmjax.training.signals import Interrupted
from mmjax.training.sources.pairs import BatchSource
from mmjax.training.stages import (
    DAMAGED,
    RECORD,
    StageFolder,
    input_digest,
    load_stage,
    made,
    mark,
    record_of,
    refuse_another,
    stage_key,
)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]*")
_KEY_DIGITS = 8
FINISHED = "finished.json"

Inputs = Sequence[Any] | Mapping[str, Any]
"""The things that a stage is made of, by name or in order: trees of host data, results of earlier
stages, or objects with a text `digest`."""


class Pipeline:
    """The stages of one seed, in the order in which the caller asks for them::

        run = Pipeline("runs/paper/seed_0", seed=0, identity={"data": data.digest})
        graph = run.train("graph", objective, source, optimiser, config, validate=validate)
        vectors = run.make("vectors", vectors_of, (graph,), kinds=(Vectors,))
        run.record("vectors", {"norm": ...})

    Call the same methods in the same order again after a kill: finished stages are read, the one
    that was interrupted goes on (`train`) or starts anew (`make`), and the results are the same.
    Several processes follow the first one, which alone reads, makes and writes.
    """

    def __init__(
        self,
        workdir: str | Path | None = None,
        *,
        seed: int = 0,
        identity: Any = None,
        shared: bool = False,
    ) -> None:
        """Nothing is read or written yet.

        Args:
            workdir: folder of the stages; None keeps nothing.
            seed: of what is trained; made stages are told it by their settings or function.
            identity: dataclass or mapping that decides the result of every stage, such as the data
                set's digest; part of all keys. Fields marked as EXECUTION do not count.
            shared: several runs, of other settings too, may share the folder.
        """
        self.workdir = None if workdir is None else Path(workdir)
        self.seed, self.identity, self.shared = int(seed), identity, shared
        self._stages: dict[str, StageFolder] = {}
        self._records: dict[str, dict[str, Any]] = {}

    def train(
        self,
        name: str,
        objective: Objective,
        source: BatchSource,
        optimiser: optax.GradientTransformation,
        settings: Any,
        *,
        validate: Evaluate | None = None,
        config: FitConfig | None = None,
        inputs: Inputs = (),
        hooks: Hooks = NO_HOOKS,
        seed: int | None = None,
    ) -> FitResult:
        """Train a stage by `fit`, or read it if it was trained before.

        Args:
            name: of the stage.
            objective, source, optimiser, validate, config, hooks: as for `fit`.
            settings: what decides the result and stands neither in `identity` nor in `inputs`,
                the optimiser's settings among it.
            inputs: what the objective and the source are made of.
            seed: instead of the pipeline's.

        Raises:
            Interrupted: SIGTERM or SIGINT came; the same call resumes.
            RunDirectoryError: the folder holds a stage of another key, or one that another process
                trains.
            ValueError: the name cannot be a folder's, or is taken by another stage of this run.
            CheckpointError, TrainingDiverged: as `fit`.
        """
        config = FitConfig() if config is None else config
        seeds = (self.seed if seed is None else int(seed),)
        run_config = self._run_config(name, settings, inputs)
        stage = self._open(name, "train", describe(run_config, config, seeds))
        if stage.folder is not None:
            on_first(lambda: mark(stage))
        result = fit(
            objective,
            source,
            optimiser,
            validate,
            config,
            seeds=seeds,
            workdir=stage.folder,
            run_config=run_config,
            hooks=hooks,
        )
        if result.stopped_because == "signal":
            raise Interrupted("stopped by a signal; the same command resumes")
        last = result.history[-1]
        figures = {"seconds": last["elapsed"], "seconds_per_epoch": result.seconds_per_epoch}
        figures |= {"epochs": last["epoch"], "best_epoch": result.best_epoch[0]}
        return self._close(stage, result, figures)

    def make(
        self,
        name: str,
        function: Callable[..., Any],
        inputs: Inputs = (),
        settings: Any = None,
        *,
        kinds: Sequence[type] = (),
    ) -> Any:
        """The result of ``function(*inputs)``, or ``function(**inputs)`` if they are named.

        It is made once and then read, the first time too, so that every call returns the same: host
        data as `mmjax.training.artefacts` describes them, JAX arrays as numpy arrays. One that is
        damaged is moved to ``damaged`` and made again, with a warning. Without a workdir it is made
        by every call.

        Args:
            name: of the stage.
            function: runs in the first process, on its devices.
            inputs: its arguments.
            settings: what else decides the result and does not stand in `identity`.
            kinds: classes of NamedTuples and dataclasses that the result consists of.

        Raises:
            RunDirectoryError: the folder holds a stage of another key.
            TypeError: the result is no host data, or has a class that is not among `kinds`.
            ValueError: the name cannot be a folder's, or is taken by another stage of this run.
            OSError: the disk is full.
        """
        run_config = self._run_config(name, settings, inputs) | {"seed": self.seed}
        whole = {"run": run_config}
        description = {**to_json(whole), "execution": sorted(execution_fields(whole))}
        stage = self._open(name, "make", description)
        named = isinstance(inputs, Mapping)
        call = partial(function, **inputs) if named else partial(function, *inputs)
        found: list[artefacts.Encoded] = []

        def work() -> list[Any]:
            encoded, seconds = made(stage, call, kinds)
            found.append(encoded)
            return [encoded.tree, seconds]

        tree, seconds = on_first(work)
        arrays = arrays_of_first(found[0].arrays if found else None)
        result = artefacts.decode(artefacts.Encoded(tree, arrays), kinds)
        return self._close(stage, result, {"seconds": seconds})

    def record(self, name: str, figures: Mapping[str, Any]) -> None:
        """Keep figures of a stage, such as metrics, beside it; a later value takes the place.

        Raises:
            KeyError: this run has no such stage yet.
            TypeError: a figure has no JSON form.
        """
        stage = self._stages.get(name)
        if stage is None or name not in self._records:
            raise KeyError(f"no stage {name!r} yet, only {list(self._records)}")

        def keep() -> dict[str, Any]:
            known = self._records[name]
            whole = known | to_json(dict(figures))
            if stage.folder is not None and whole != known:
                atomic_write_text(stage.folder / RECORD, json.dumps(whole, indent=1) + "\n")
            return whole

        self._records[name] = on_first(keep)

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """Seconds and figures of the stages so far, those of earlier calls among them."""
        return {name: dict(figures) for name, figures in self._records.items()}

    def finish(self, about: Any) -> None:
        """Say in ``finished.json`` that this run is whole, and in which folders its stages lie.

        Where several runs share the folder, the one that finished last is what it stands for.

        Args:
            about: what `finished_run` gives back; as JSON holds it.
        """
        workdir = self.workdir
        if workdir is None:
            return
        stages = {name: s.folder.name for name, s in self._stages.items() if s.folder is not None}
        content = json.dumps({"stages": stages, "about": to_json(about)}, indent=1)
        on_first(lambda: atomic_write_text(workdir / FINISHED, content + "\n"))

    def load(self, name: str, kinds: Sequence[type] = ()) -> Any:
        """As `load_stage`, of the stage that this run has used if there is one."""
        stage = self._stages.get(name)
        if stage is not None and stage.folder is not None:
            return load_stage(stage.folder.parent, stage.folder.name, kinds)
        if self.workdir is None:
            raise FileNotFoundError("a pipeline without a workdir keeps no stages")
        return load_stage(self.workdir, name, kinds)

    def _run_config(self, name: str, settings: Any, inputs: Inputs) -> dict[str, Any]:
        items = inputs if isinstance(inputs, Mapping) else {str(n): x for n, x in enumerate(inputs)}
        digests = {str(n): input_digest(x) for n, x in items.items()}
        own = {"stage": name, "settings": settings, "inputs": digests}
        return own | {"identity": self.identity}

    def _open(self, name: str, kind: str, description: dict[str, Any]) -> StageFolder:
        if not _NAME.fullmatch(name) or name == DAMAGED:
            raise ValueError(f"{name!r} cannot name a stage: use letters, digits, '_' and '.'")
        description = on_first(lambda: description)
        key = stage_key(kind, description)
        old = self._stages.get(name)
        if old is not None and old.key != key:
            raise ValueError(f"this run has a stage {name!r} of another key; choose another name")
        folder = None
        if self.workdir is not None:
            folder = self.workdir / (f"{name}-{key[:_KEY_DIGITS]}" if self.shared else name)
        stage = self._stages[name] = StageFolder(name, kind, description, key, folder)
        if folder is not None:
            on_first(lambda: refuse_another(stage))
        return stage

    def _close(self, stage: StageFolder, result: Any, figures: Mapping[str, Any]) -> Any:
        folder = stage.folder
        self._records[stage.name] = {} if folder is None else on_first(lambda: record_of(folder))
        self.record(stage.name, figures)
        return result


def finished_run(workdir: str | Path) -> tuple[dict[str, str], Any]:
    """Folder of each stage of the run that finished last, by the stage's name, and its `about`.

    Raises:
        FileNotFoundError: no run has finished there.
        ValueError: the file is damaged.
    """
    content = json.loads((Path(workdir) / FINISHED).read_text())
    return content["stages"], content["about"]


def pipelines(
    workdir: str | Path | None,
    seeds: Sequence[int],
    *,
    identity: Any = None,
    shared: bool = False,
) -> list[Pipeline]:
    """A `Pipeline` for each seed, in ``<workdir>/seed_<n>``."""
    folder = None if workdir is None else Path(workdir)
    return [
        Pipeline(folder and folder / f"seed_{s}", seed=s, identity=identity, shared=shared)
        for s in seeds
    ]
