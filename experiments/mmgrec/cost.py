"""What a recommendation costs as the catalogue grows: writing ids against scoring every item."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cost:
    """Flags of the `cost` command."""

    out: Path = Path("runs/mmgrec_cost.json")
    """File to write; a picture and its CSV stand beside it."""
    items: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """Sizes of the catalogue."""
    users: int = 64
    """Users that are served together."""
    widths: tuple[int, ...] = (10, 50)
    """Beams of the searches."""
    k: int = 10
    """Items for each user."""
    seen: int = 32
    """Items that each user has met, which are the source and are left out."""
    rounds: int = 7
    """Interleaved rounds; medians are reported."""


RETRIEVE = "score every item"


def candidates(flags: Cost, n_items: int) -> dict[str, Any]:
    """Compiled program and its arguments by name, for a catalogue of random ids and vectors."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from mmjax.blocks.ranking import top_items
    from mmjax.data.sid_policies import append_popularity
    from mmjax.models import mmgrec
    from mmjax.models.configs.mmgrec import GeneratorConfig
    from mmjax.models.mmgrec_search import id_trie, recommend

    rng = np.random.default_rng(0)
    codes = rng.integers(0, 128, (n_items, 3), np.int32)
    codes = append_popularity(codes, rng.integers(0, 100, n_items))
    sizes = (128, 128, 128, int(codes[:, 3].max()) + 1)
    k_items, k_users, k_init = jax.random.split(jax.random.key(0), 3)
    inputs = mmgrec.Inputs(
        jax.random.normal(k_items, (n_items, 64)),
        jax.random.normal(k_users, (flags.users, 64)),
        jnp.asarray(codes, jnp.int32),
    )
    model = mmgrec.generator(GeneratorConfig(), sizes, 64)
    params = mmgrec.build(model.config, inputs, sizes).init(k_init)["params"]
    users = jnp.arange(flags.users, dtype=jnp.int32)
    seen = jnp.asarray(rng.integers(0, n_items, (flags.users, flags.seen)), jnp.int32)
    pairs = jnp.stack([jnp.repeat(users, flags.seen), seen.ravel()], 1)
    given = (params, inputs, id_trie(model, codes), users, seen, seen)

    def compiled(f: Any, *args: Any) -> tuple[Any, Any]:
        return jax.jit(f).lower(*args).compile(), args

    found = {
        RETRIEVE: compiled(
            lambda u, i, s: top_items(u, i, s, k=flags.k), inputs.users, inputs.items, pairs
        )
    }
    for width in flags.widths:
        found[f"write ids, {width} beams"] = compiled(
            lambda *args, w=width: recommend(model, *args, width=w, k=flags.k), *given
        )
    return found


def cost(flags: Cost) -> Path:
    """Measure, print, write the JSON and draw the picture; returns the picture's path."""
    import jax

    from experiments.benchmarks import timing

    rows = []
    for n in flags.items:
        programs = candidates(flags, n)
        timed = {
            name: timing.timed(lambda f=f, args=args: f(*args), wait=jax.block_until_ready)
            for name, (f, args) in programs.items()
        }
        samples = timing.interleaved(timed, rounds=flags.rounds, warmup=1)
        for line in timing.summary(samples, RETRIEVE):
            memory = programs[line.name][0].memory_analysis().temp_size_in_bytes / 2**20
            rows.append({"items": n, **line._asdict(), "mib": round(memory, 2)})
            print(
                f"{n:>9,} items  {line.name:20s} {line.median_ms:9.2f} ms  {memory:8.1f} MiB",
                flush=True,
            )
    record = {
        **timing.environment(("jax", "jaxlib", "numpy")),
        "device": jax.devices()[0].device_kind,
        "users": flags.users,
        "k": flags.k,
        "seen": flags.seen,
        "rows": rows,
    }
    timing.write_json(flags.out, record)
    return draw(rows, flags.users, flags.out.with_suffix(".png"))


def draw(rows: list[dict[str, Any]], users: int, path: Path) -> Path:
    """Milliseconds by size of the catalogue, a line a way."""
    from mmjax.viz import curves
    from mmjax.viz.files import save

    names = dict.fromkeys(row["name"] for row in rows)
    lines = {
        name: [{"items": r["items"], "ms": r["median_ms"]} for r in rows if r["name"] == name]
        for name in sorted(names)
    }
    ax = curves.compare(lines, "ms", x="items")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("items in the catalogue")
    ax.set_ylabel(f"ms for {users} users")
    save(ax, path, curves.curve_rows(lines, ("ms",), x="items"))
    return path


def table(record: dict[str, Any]) -> str:
    """Milliseconds as a table in Markdown, a line a way, a column a size."""
    sizes = sorted({row["items"] for row in record["rows"]})
    names = sorted({row["name"] for row in record["rows"]})
    found = {(row["name"], row["items"]): row for row in record["rows"]}
    lines = [["", *(f"{n:,} items" for n in sizes)], ["---", *["---:"] * len(sizes)]]
    for name in names:
        rows = [found[name, n] for n in sizes]
        lines.append([name, *(f"{r['median_ms']:.1f} ms, {r['mib']:.1f} MiB" for r in rows)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def load(path: Path) -> dict[str, Any]:
    """The record of `cost`."""
    return json.loads(path.read_text())
