"""Codebooks learnt on small clusters in clusters: what each way of learning leaves unexplained.

The calibration: 4,096 points in 32 dimensions around 16 coarse centres (standard deviation 4) with
16 fine ones each (1), noise 0.2; three levels of 16 codes.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
import pytest

from mmjax.blocks.quantisation.codebook_ema import averages, follow, followed_codebook, revive
from mmjax.blocks.quantisation.codebooks import summary
from mmjax.blocks.quantisation.encoding import decode, encode
from mmjax.blocks.quantisation.kmeans import init_codebooks
from mmjax.blocks.quantisation.quantize import codebook_loss, quantise

SIZES, BATCH = (16, 16, 16), 256


def points(seed, n=4096):
    keys = jax.random.split(jax.random.key(seed), 5)
    coarse = 4 * jax.random.normal(keys[0], (16, 32))
    fine = jax.random.normal(keys[1], (16, 16, 32))
    i, j = (jax.random.randint(k, (n,), 0, 16) for k in keys[2:4])
    return coarse[i] + fine[i, j] + 0.2 * jax.random.normal(keys[4], (n, 32))


def batch(x, step):
    return x[jax.random.randint(jax.random.fold_in(jax.random.key(7), step), (BATCH,), 0, len(x))]


@partial(jax.jit, static_argnames="steps")
def by_adam(books, x, steps):
    optimiser = optax.adam(1e-3)

    def step(carry, n):
        books, state = carry
        grads = jax.grad(lambda b: codebook_loss(quantise(batch(x, n), b)).mean())(books)
        updates, state = optimiser.update(grads, state)
        return (optax.apply_updates(books, updates), state), None

    return jax.lax.scan(step, (books, optimiser.init(books)), jnp.arange(steps))[0][0]


@partial(jax.jit, static_argnames=("steps", "decay", "revival"))
def by_averages(books, x, steps, decay=0.99, revival=True):
    def step(carry, n):
        found, new = quantise(batch(x, n), carry[0]), []
        for m, (book, state) in enumerate(zip(*carry, strict=True)):
            state = follow(state, found.inputs[m], found.codes[:, m], decay=decay)
            book = followed_codebook(state, book)
            if revival:
                key = jax.random.fold_in(jax.random.fold_in(jax.random.key(1), n), m)
                book, state, _ = revive(key, book, state, found.inputs[m])
            new.append((book, state))
        return tuple(map(list, zip(*new, strict=True))), None

    start = (books, [averages(b) for b in books])
    return jax.lax.scan(step, start, jnp.arange(steps))[0][0]


@jax.jit
def judged(x, books):
    """Share of the variance unexplained, and the statistics of the codes."""
    codes = encode(x, books)
    left = jnp.square(x - decode(codes, books)).sum()
    return left / jnp.square(x - x.mean(0, keepdims=True)).sum(), summary(codes, SIZES)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_calibration(seed):
    x, key = points(seed), jax.random.key(100 + seed)
    uniform = init_codebooks(jax.random.clone(key), SIZES, x, method="uniform")
    fitted = init_codebooks(jax.random.clone(key), SIZES, x)
    gradient, stats = judged(x, by_adam(uniform, x, 3000))
    assert gradient > 0.08 and stats["level_1/utilisation"] < 0.9
    assert stats["ids/unique_rate"] * 4096 < 60
    for books in (by_averages(uniform, x, 3000), fitted, by_adam(fitted, x, 3000)):
        left, stats = judged(x, books)
        assert left < 0.05
        assert stats["level_1/utilisation"] == 1
        assert stats["ids/unique_rate"] * 4096 > 200
    unrevived, stats = judged(x, by_averages(uniform, x, 3000, revival=False))
    assert left < unrevived < gradient
    assert stats["level_1/utilisation"] < 1


def test_the_calibration_in_small():
    x, key = points(0, 1024), jax.random.key(100)
    uniform = init_codebooks(jax.random.clone(key), SIZES, x, method="uniform")
    fitted = init_codebooks(key, SIZES, x, rounds=10)
    gradient, stats = judged(x, by_adam(uniform, x, 300))
    assert gradient > 0.08 and stats["level_1/utilisation"] < 0.9
    for books in (by_averages(uniform, x, 300, decay=0.9), fitted):
        left, stats = judged(x, books)
        assert left < 0.05
        assert stats["level_1/utilisation"] == 1
