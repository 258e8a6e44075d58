"""`python -m experiments`: which experiments there are, their data sets and their state."""

from importlib import import_module
from pathlib import Path

from experiments.common.experiment import Experiment

ROOT = Path(__file__).resolve().parent


def described() -> dict[str, Experiment]:
    """The experiments by the name of their folder, as their `config.py` describes them."""
    found = {}
    for path in sorted(ROOT.glob("*/config.py")):
        config = import_module(f"experiments.{path.parent.name}.config")
        if hasattr(config, "EXPERIMENT"):  # `common` holds the shared options, no experiment
            found[path.parent.name] = config.EXPERIMENT
    return found


def main() -> None:
    """Print the list."""
    for name, experiment in described().items():
        records = len([*ROOT.glob(f"{name}/results/*/*.json")])
        print(f"{name}: {experiment.title}")
        print(f"  data     {', '.join(experiment.data)}")
        print(f"  results  {records} records; tables in experiments/{name}/README.md")
        print(f"  run      {experiment.program} --help\n")


if __name__ == "__main__":
    main()
