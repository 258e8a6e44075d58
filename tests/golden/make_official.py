"""Write `official_*.npz`: what the authors' code computes on the small parity cases.

    python -m tests.golden.make_official --mmrec CHECKOUT --meta-mmf CHECKOUT ...

Every option is a checkout of the repository it names; models of repositories that are not given
are left as they are. Needs PyTorch (extra `parity`) and torch_geometric. The records hold numbers
alone, and say which repository and commit gave them.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from tests.golden import official_ad_drl, official_invrl, official_meta_mmf, official_mmrec
from tests.golden.official_torch import commit, forget, leaves, on_cpu, spread
from tests.parity.official_cases import CASES, STARTS
from tests.parity.records import save

DRIVERS = {
    "mmrec": official_mmrec,
    "meta-mmf": official_meta_mmf,
    "invrl": official_invrl,
    "ad-drl": official_ad_drl,
}


def main() -> None:
    """Write one file a case beside this script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, driver in DRIVERS.items():
        parser.add_argument(f"--{name}", type=Path, help=f"checkout of {driver.REPOSITORY}")
    given = vars(parser.parse_args())
    on_cpu()
    for key, driver in DRIVERS.items():
        if (checkout := given[key.replace("-", "_")]) is None:
            continue
        driver.prepare(checkout)
        header = {"repository": driver.REPOSITORY, "commit": commit(checkout)}
        header["torch"] = torch.__version__
        cases = {name: case for name, case in CASES.items() if case.model in driver.MODELS}
        for name, case in cases.items():
            _write(name, driver.record(case), **header, case=asdict(case))
        torch.manual_seed(0)
        starts = {n: driver.model(case) for n, case in STARTS.items() if n in cases}
        spreads = {f"{n}/{k}": spread(x) for n, m in starts.items() for k, x in leaves(m).items()}
        _write(f"start_{key}", spreads, **header)
        forget(checkout)


def _write(name: str, record: dict[str, np.ndarray], **header: object) -> None:
    path = Path(__file__).with_name(f"official_{name}.npz")
    save(path, record, dtype="float32", **header)
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
