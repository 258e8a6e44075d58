"""What a recommendation costs as the catalogue grows: writing ids against scoring every item."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.benchmarks import growth
from experiments.benchmarks.growth import Program, measure, program, write


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


def candidates(flags: Cost, n_items: int) -> dict[str, Program]:
    """Compiled program and its arguments by name, for a catalogue of random ids and vectors."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from mmjax.blocks.ranking.full_ranking import top_items
    from mmjax.models.generative import mmgrec
    from mmjax.models.generative.mmgrec.config import GeneratorConfig
    from mmjax.models.generative.mmgrec.search import id_trie, recommend
    from mmjax.semantic_ids.policies import append_popularity

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
    users = jnp.arange(flags.users, dtype=jnp.int32)
    seen = jnp.asarray(rng.integers(0, n_items, (flags.users, flags.seen)), jnp.int32)
    params = mmgrec.build(model.config, inputs, sizes, seen).objective.init(k_init)["params"]
    pairs = jnp.stack([jnp.repeat(users, flags.seen), seen.ravel()], 1)
    operands = (params, inputs, id_trie(model, codes), mmgrec.Readers(users, seen), seen)

    found = {
        RETRIEVE: program(
            lambda u, i, s: top_items(u, i, s, k=flags.k), inputs.users, inputs.items, pairs
        )
    }
    for width in flags.widths:
        found[f"write ids, {width} beams"] = program(
            lambda *args, w=width: recommend(model, *args, width=w, k=flags.k), *operands
        )
    return found


def cost(flags: Cost) -> Path:
    """Measure, print, write the JSON and draw the picture; returns the picture's path."""
    rows = measure(lambda n: candidates(flags, n), flags.items, RETRIEVE, rounds=flags.rounds)
    write(flags.out, rows, users=flags.users, k=flags.k, seen=flags.seen)
    return draw(rows, flags.users, flags.out.with_suffix(".png"))


def draw(rows: list[dict[str, Any]], users: int, path: Path) -> Path:
    """Milliseconds by size of the catalogue, a line a way."""
    x, y = "items in the catalogue", f"ms for {users} users"
    return growth.draw(rows, path, unit="items", x=x, y=y)
