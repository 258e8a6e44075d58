"""Metrics to all digits and digests of parameters of every experiment, to hold a restructuring to.

    python tests/net/record.py OUT.json [--only NAME ...] [--real] [--checkout FOLDER]
    python tests/net/record.py --compare BEFORE.json AFTER.json

Runs the experiments' own commands, each with 1 and with 2 virtual devices, in folders that are
removed, and keeps of each: every record (metrics, epochs, parameters) and the digest of the best
parameters of every checkpoint, in the order of their values so that folders may be renamed.
Equal bits are promised on one machine only.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMOKE = {
    "mig_gt": "mig_gt --smoke --baselines light_gcn mgdcf bpr_mf",
    "mig_gt_seeds": "mig_gt --smoke --seeds 2 --together",
    "meta_mmf": "meta_mmf --smoke",
    "ad_drl": "ad_drl --smoke",
    "bench": "bench --smoke --seeds 1 --data communities",
    "sasrec": "tiger --smoke --method sasrec",
    "tiger": "tiger --smoke --method tiger",
    "mmgrec": "mmgrec --smoke",
    "mmgrec_joint": "mmgrec --smoke --joint --quantiser.model.normalise none",
    "avg": "avg --smoke",
    **{
        f"prompt_dsi_{name}": f"prompt_dsi --smoke --method {name}"
        for name in ("topic", "l2p", "coda", "classifier", "incdsi", "ewc", "replay", "joint")
    },
}
REAL = {
    "mig_gt_real": "mig_gt --fit.epochs 3 --fit.eval-every 1",
    "tiger_real": "tiger --method tiger --fit.epochs 1 --fit.eval-every 1 "
    "--model.validation-users 1000",
    "mmgrec_real": "mmgrec --graph.fit.epochs 3 --quantiser.fit.epochs 3 --generator.fit.epochs 3",
    "avg_real": "avg --fit-towers.epochs 3 --fit-tokenizer.epochs 3 --fit-model.epochs 3 "
    "--fit-rank.epochs 1",
    "prompt_dsi_real": "prompt_dsi --first.fit.epochs 3 --later.fit.epochs 3",
}
FIELDS = ("method", "data", "split", "seeds", "valid", "test", "best_epoch", "epochs", "parameters")
DIGEST = """
import hashlib, json, sys
import jax, numpy as np
from pathlib import Path
from mmjax.training.checkpoints import restore
out = []
for folder in sorted(Path(sys.argv[1]).rglob("checkpoints")):
    saved = restore(folder)
    digest = hashlib.sha256()
    for name, x in sorted(saved.best.items()):
        x = np.asarray(x)
        digest.update(f"{name} {x.dtype} {x.shape}".encode())
        digest.update(np.ascontiguousarray(x).data)
    total = sum(np.abs(np.asarray(x, np.float64)).sum() for x in saved.best.values())
    out.append([digest.hexdigest()[:16], float(total)])
print(json.dumps(sorted(out)))
"""


def run(command: str, devices: int, checkout: Path) -> dict:
    """One command in a folder of its own."""
    env = dict(os.environ, JAX_NUM_CPU_DEVICES=str(devices), PJRT_NPROC="16", MPLBACKEND="agg")
    env["JAX_COMPILATION_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / "mmjax-net-xla")
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        name, *flags = command.split()
        call = [sys.executable, "-m", f"experiments.{name}", *flags, "--workdir", folder]
        done = subprocess.run(call, cwd=checkout, env=env, capture_output=True, text=True)
        if done.returncode:
            return {"failed": done.stderr[-2000:]}
        records = []
        for path in sorted(Path(folder).rglob("*.json")):
            content = json.loads(path.read_text())
            if isinstance(content, dict) and {"valid", "test", "best_epoch"} <= set(content):
                kept = {k: content[k] for k in FIELDS}
                for split in ("valid", "test"):
                    kept[split] = {k: v for k, v in kept[split].items() if "seconds" not in k}
                records.append(kept)
        code = [sys.executable, "-c", DIGEST, folder]
        found = subprocess.run(code, cwd=checkout, env=env, capture_output=True, text=True)
        records.sort(key=lambda r: json.dumps([r["method"], r["data"], r["seeds"], r["valid"]]))
        return {
            "records": records,
            "parameters": json.loads(found.stdout) if not found.returncode else found.stderr,
            "wall": round(time.time() - began, 1),
        }


def numbers(tree: object, where: str = "") -> dict[str, float]:
    """Numeric leaves by path."""
    if isinstance(tree, dict):
        return {k: v for n in tree for k, v in numbers(tree[n], f"{where}/{n}").items()}
    if isinstance(tree, list):
        return {k: v for n, x in enumerate(tree) for k, v in numbers(x, f"{where}/{n}").items()}
    return {where: tree} if isinstance(tree, (int, float)) else {}


def known(before: list[dict], after: list[dict]) -> list[dict]:
    """The records `after` without the metrics that those `before` did not have yet."""
    if len(before) != len(after):
        return after
    return [
        new | {s: {k: x for k, x in new[s].items() if k in old[s]} for s in ("valid", "test")}
        for old, new in zip(before, after, strict=True)
    ]


def compare(before: dict, after: dict) -> int:
    """Print what is not equal; returns the number of runs that differ by more than 1e-6.

    Metrics that the run before did not have are left out.
    """
    bad = 0
    for name in sorted(set(before) & set(after)):
        a, b = before[name], after[name]
        if "failed" in b or "failed" in a:
            print(f"{name}: failed: {b.get('failed', a.get('failed'))[-600:]}")
            bad += 1
            continue
        b = b | {"records": known(a["records"], b["records"])}
        exact = a["records"] == b["records"] and a["parameters"] == b["parameters"]
        if exact:
            print(f"{name}: equal bit for bit")
            continue
        x, y = numbers(a["records"]), numbers(b["records"])
        off = {k: (x.get(k), y.get(k)) for k in set(x) | set(y) if x.get(k) != y.get(k)}
        far = {
            k: v
            for k, v in off.items()
            if None in v or abs(v[0] - v[1]) > 2e-6 * max(1.0, abs(v[0]))
        }
        weights = a["parameters"] == b["parameters"]
        print(
            f"{name}: {'DIFFERS' if far else 'within 2e-6'}; parameters equal: {weights}; "
            f"{len(off)} numbers differ"
        )
        for k, v in sorted(far.items())[:8]:
            print("    ", k, *v)
        if not weights:
            pa, pb = sorted(p[1] for p in a["parameters"]), sorted(p[1] for p in b["parameters"])
            print("     sums of |parameters|:", pa[:6], pb[:6])
        bad += bool(far)
    for name in sorted(set(before) - set(after)):
        print(f"{name}: not run")
    return bad


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", nargs="?")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--devices", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--checkout", type=Path, default=ROOT)
    parser.add_argument("--compare", nargs=2)
    flags = parser.parse_args()
    if flags.compare:
        before, after = (json.loads(Path(p).read_text()) for p in flags.compare)
        return compare(before, after)
    commands = REAL if flags.real else SMOKE
    chosen = {n: c for n, c in commands.items() if not flags.only or n in flags.only}
    path = Path(flags.out)
    found = json.loads(path.read_text()) if path.exists() else {}
    for name, command in chosen.items():
        for devices in flags.devices:
            key = f"{name}/{devices}"
            if key in found and "failed" not in found[key] and not flags.only:
                continue
            found[key] = run(command, devices, flags.checkout)
            print(key, found[key].get("wall", found[key].get("failed")), flush=True)
            path.write_text(json.dumps(found, indent=1) + "\n")
    return sum("failed" in v for v in found.values())


if __name__ == "__main__":
    sys.exit(main())
