"""The strict settings of conftest.py are in force."""

import warnings

import jax
import jax.numpy as jnp
import jaxtyping
import pytest

from mmjax.blocks.losses.pairwise import bpr


def test_eight_devices():
    assert jax.device_count() == 8


def test_ranks_are_never_promoted_silently():
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones((2, 3)) + jnp.ones(3)


def test_a_key_used_twice_is_an_error(getkey):
    key = getkey()
    jax.random.normal(key)
    with pytest.raises(jax.errors.KeyReuseError):
        jax.random.normal(key)


def test_annotations_are_checked():
    with pytest.raises(jaxtyping.TypeCheckError):
        bpr(jnp.ones(3), jnp.ones(4))


def test_warnings_are_errors():
    with pytest.raises(UserWarning):
        warnings.warn("said", stacklevel=1)
