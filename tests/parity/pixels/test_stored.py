"""Prepared images against those stored from transformers; needs no PyTorch."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmjax.encoders.image.pixels import Preprocess, open_image
from tests.parity.common.records import stored
from tests.parity.pixels.case import CASES, images

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", CASES)
def test_pixels_are_those_of_transformers(name):
    want = stored("pixels", "pixels")[name]
    made = Preprocess.from_json(CASES[name], "clip")
    cut = [made.cut(open_image(image, n)) for n, image in enumerate(images())]
    assert cut[0].shape[:2] == made.size
    got = made.normalise(jnp.stack(cut))
    scale = max(1.0, float(np.abs(want).max()))
    assert_allclose(got, want, atol=2e-6 * scale)
