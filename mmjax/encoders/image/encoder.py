"""Images to vectors with published encoders, from a local folder or the hub.

    encoder = load_image_encoder("models/clip-vit-base-patch32")
    vectors = encoder.encode(["shoe.jpg", "dress.png"])  # float32 [2, 512]

The folder is what the publisher offers: `config.json`, `model.safetensors` and
`preprocessor_config.json`.

Axes: n images, b images of a batch, y rows and x columns of pixels, l layers, m width.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Float32, UInt8

from mmjax.blocks.common.projection import l2_normalise
from mmjax.encoders.encode.cache import content_key, model_digest
from mmjax.encoders.encode.outputs import Pooling
from mmjax.encoders.encode.pretrained import PretrainedEncoder, check_pooling, find_loader
from mmjax.encoders.encode.rows import Runner, encode_rows
from mmjax.encoders.image import vit
from mmjax.encoders.image.pixels import (
    CONFIG_FILE,
    ImageLike,
    Preprocess,
    check_images,
    image_bytes,
    open_image,
)
from mmjax.encoders.image_text import clip_files
from mmjax.encoders.image_text.clip import ClipVision
from mmjax.encoders.loading.hub import local_folder
from mmjax.encoders.loading.weights import WeightsError, read_json

_THREADS = 8
_LOADERS: dict[str, Any] = {
    **dict.fromkeys(vit.FAMILIES, vit.load_vit),
    **dict.fromkeys(clip_files.VISION_FAMILIES, clip_files.load_clip_vision),
}


@dataclass(frozen=True, eq=False, repr=False)
class ImageEncoder(PretrainedEncoder):
    """An image encoder with its weights and its preprocessing; made by `load_image_encoder`.

    Attributes:
        model: Flax module from normalised pixels to `EncoderOutput`, with the states of all layers.
        params: its parameters; on every device, once the encoder is made.
        preprocess: resizes, crops and normalises.
        pooling: the first token of the last layer (``cls``), ``mean`` over its patches, or the
            vector that the model itself defines (``own``), such as CLIP's.
        normalise: scale every vector to length one.
        devices: over which batches are split; None is all of this process.
        layers: give the vectors of all layers by `pooling`, from the first layer's input on.

    Raises:
        ValueError: `layers` with the pooling ``own``, which is of the last layer alone.
    """

    model: vit.ViT | ClipVision
    params: Any
    preprocess: Preprocess
    pooling: Pooling = "cls"
    normalise: bool = True
    devices: Sequence[Any] | None = None
    layers: bool = False
    _run: Runner = field(init=False)

    def __post_init__(self) -> None:
        vectors = partial(
            _vectors,
            self.model,
            self.preprocess,
            pooling=self.pooling,
            normalise=self.normalise,
            layers=self.layers,
        )
        self._compile(vectors)

    def __repr__(self) -> str:
        rows, columns = self.preprocess.size
        return (
            f"ImageEncoder({type(self.model).__name__}, width {self.width}, {self.pooling} "
            f"pooling, {rows} x {columns} pixels)"
        )

    @cached_property
    def digest(self) -> str:
        """Hash of the weights and of all else that an image's vector depends on."""
        settings = {
            "pooling": self.pooling,
            "normalise": self.normalise,
            "layers": self.layers,
            "preprocess": asdict(self.preprocess),
        }
        return model_digest(self.model.config, settings, self.params)

    def read(self, images: Sequence[ImageLike] | np.ndarray) -> UInt8[np.ndarray, "n y x 3"]:
        """Images resized and cropped; `Preprocess.normalise` makes them what the model reads.

        Raises:
            ValueError: an entry is no image, or a file that is missing or damaged.
        """
        check_images(images)
        with ThreadPoolExecutor(_THREADS) as pool:
            rows = list(pool.map(self._read, images, range(len(images))))
        return np.stack(rows) if rows else np.zeros((0, *self.preprocess.size, 3), np.uint8)

    def _read(self, image: ImageLike, n: int) -> UInt8[np.ndarray, "y x 3"]:
        return self.preprocess.cut(open_image(image, n))

    def encode(
        self,
        images: Sequence[ImageLike] | np.ndarray,
        *,
        batch_size: int = 64,
        progress: bool = True,
        cache: str | os.PathLike[str] | None = None,
    ) -> Float32[np.ndarray, "n *l m"]:
        """A vector for each image, in their order; with `layers` one for each layer.

        An image's vector does not depend on the others, but for rounding.

        Args:
            images: paths, images of Pillow, or arrays uint8 ``[y, x, channels]``, each of any
                size; grey ones and those with transparency become RGB.
            batch_size: images that the devices together read at once.
            progress: show a bar.
            cache: a folder where vectors are kept, by content of the image and model; images that
                it knows are not computed again, so that what was interrupted goes on. All files
                are read for this first.

        Raises:
            ValueError: an entry is no image, or a file that is missing or damaged; or
                `batch_size` is below 1.
            DataError: a file of the cache is damaged.
        """
        if batch_size < 1:
            raise ValueError(f"encode wants a positive batch size, got {batch_size}")
        check_images(images)

        def rows(todo: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, ...]]]:
            starts = range(0, len(todo), batch_size)
            chunks = [todo[first : first + batch_size] for first in starts]
            with ThreadPoolExecutor(_THREADS) as pool:
                for chosen in chunks:
                    cut = list(pool.map(self._read, [images[n] for n in chosen], chosen.tolist()))
                    # The last batch has a power of two of rows, so that few programs are compiled.
                    rows = min(batch_size, 1 << (len(cut) - 1).bit_length())
                    yield chosen, (np.stack(cut + cut[:1] * (rows - len(cut))),)

        def keys() -> list[bytes]:
            with ThreadPoolExecutor(_THREADS) as pool:
                return list(pool.map(_key, images, range(len(images))))

        return encode_rows(
            self._run,
            rows,
            count=len(images),
            shape=self.shape,
            unit="image",
            progress=progress,
            cache=cache,
            keys=keys,
            digest=lambda: self.digest,
        )


def _key(image: ImageLike, n: int) -> bytes:
    return content_key(*image_bytes(image, n))


def _vectors(
    model: vit.ViT | ClipVision,
    preprocess: Preprocess,
    params: Any,
    pixels: UInt8[Array, "b y x 3"],
    *,
    pooling: Pooling,
    normalise: bool,
    layers: bool,
) -> Float[Array, "b *l m"]:
    encoded: Any = model.apply({"params": params}, preprocess.normalise(pixels))
    last = jnp.stack(encoded.hidden, axis=1) if layers else encoded.last
    if pooling == "own":
        pooled = encoded.pooled if encoded.projected is None else encoded.projected
    elif pooling == "cls":
        pooled = last[..., 0, :]
    else:
        front = 1 + getattr(model.config, "distilled", False)
        pooled = last[..., front:, :].astype(jnp.float32).mean(-2)
    pooled = pooled.astype(jnp.float32)
    return l2_normalise(pooled) if normalise else pooled


def load_image_encoder(
    folder: str | os.PathLike[str],
    *,
    pooling: Pooling | None = None,
    normalise: bool = True,
    dtype: Any = jnp.float32,
    devices: Sequence[Any] | None = None,
    layers: bool = False,
) -> ImageEncoder:
    """Load the encoder of a folder; needs the extra ``images``.

    Args:
        folder: a local copy of what the publisher offers, or a repository of the hub.
        pooling: None is ``own`` for CLIP, else ``cls``.
        normalise: scale every vector to length one.
        dtype: of the computation, such as ``jnp.bfloat16``; vectors are float32 in any case.
        devices: over which batches are split; None is all of this process.
        layers: give the vectors of all layers, by `pooling`.

    Raises:
        WeightsError: the folder lacks something, or holds a model that is not built here, or
            images are prepared for another model.
        ValueError: `pooling` is ``own``, and the model defines no vector.
        ImportError: the extra is not installed.
    """
    folder = local_folder(folder)
    family, load = find_loader(folder, _LOADERS, "image encoders")
    settings = read_json(folder / CONFIG_FILE, dict)
    preprocess = Preprocess.from_json(settings, family.partition("_")[0])
    model, params = load(folder, dtype=dtype)
    config = model.config
    if (*preprocess.size, 3) != (*config.image, config.channels):
        raise WeightsError(
            f"{folder / CONFIG_FILE}: images of {preprocess.size} pixels, 3 channels, for a model "
            f"of {config.image}, {config.channels}; the folder mixes two models"
        )
    if pooling is None:
        pooling = "own" if isinstance(model, ClipVision) else "cls"
    check_pooling(pooling, config, folder)
    return ImageEncoder(
        model,
        params,
        preprocess,
        pooling=pooling,
        normalise=normalise,
        devices=devices,
        layers=layers,
    )
