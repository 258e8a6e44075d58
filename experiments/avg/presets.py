"""Settings by data set.  Imports no JAX."""

import dataclasses

from experiments.avg.config import AVGRun, Stage, Towers
from mmjax.models.retrieval.avg.config import AVGConfig, AVGTokenizerConfig

DATA = ("noto_emoji", "concepts", "flickr8k", "flickr30k", "coco")


def preset(data: str) -> AVGRun:
    """The settings for `data`, sized for one small GPU or a patient CPU.

    The published sizes (T5-base, 768 wide, 4 x 1024 codes of CLIP ViT-L/14 features) are the
    defaults of `mmjax.models.retrieval.avg.config`.

    Raises:
        ValueError: no such data set.
    """
    if data not in DATA:
        raise ValueError(f"--data {data}: choose one of {', '.join(DATA)}")
    model = AVGConfig(width=128, layers=3, heads=4, head_width=32, hidden=512, dropout=0.1)
    if data == "noto_emoji":
        tokenizer = AVGTokenizerConfig(widths=(128,), latent=128, sizes=(128,) * 4)
        return AVGRun(data, length=16, tokenizer=tokenizer, model=model)
    if data == "concepts":
        return AVGRun(
            data,
            length=8,
            tokenizer=AVGTokenizerConfig(widths=(128,), latent=128, sizes=(64,) * 3),
            model=dataclasses.replace(model, layers=2),
            fit_model=Stage(20, eval_every=2),
            fit_rank=Stage(3, 1e-4),
        )
    if data == "flickr8k":
        return AVGRun(
            data,
            least=3,
            borrowed=5,
            towers=Towers(size=96, patch=16),
            tokenizer=AVGTokenizerConfig(widths=(128,), latent=128, sizes=(256,) * 4),
            model=model,
            fit_towers=Stage(15, 5e-4, 256, weight_decay=0.1),
            fit_model=Stage(30, batch_size=256, eval_every=3),
            fit_rank=Stage(3, 1e-4, 256),
        )
    return AVGRun(
        data,
        least=3,
        borrowed=5,
        towers=Towers(size=96, patch=12, width=192, layers=6, heads=6, projection=192),
        tokenizer=AVGTokenizerConfig(widths=(256, 128), latent=128, sizes=(512,) * 4),
        model=model,
        fit_towers=Stage(30, 5e-4, 256, weight_decay=0.1),
        fit_model=Stage(40, batch_size=256, eval_every=4),
    )
