"""The TFDS builder of every data set.  Importing this module imports tensorflow-datasets."""

from mmjax.data.sets.amazon_baby import amazon_baby_dataset_builder
from mmjax.data.sets.amazon_beauty import amazon_beauty_dataset_builder
from mmjax.data.sets.amazon_clothing import amazon_clothing_dataset_builder
from mmjax.data.sets.amazon_sports import amazon_sports_dataset_builder
from mmjax.data.sets.amazon_toys import amazon_toys_dataset_builder
from mmjax.data.sets.coco import coco_dataset_builder
from mmjax.data.sets.common.builder import SourceBuilder
from mmjax.data.sets.flickr8k import flickr8k_dataset_builder
from mmjax.data.sets.flickr30k import flickr30k_dataset_builder
from mmjax.data.sets.lastfm_2k import lastfm_2k_dataset_builder
from mmjax.data.sets.ml_small_mm import ml_small_mm_dataset_builder
from mmjax.data.sets.noto_emoji import noto_emoji_dataset_builder
from mmjax.data.sets.nq_qed import nq_qed_dataset_builder
from mmjax.data.sets.squad_sentences import squad_sentences_dataset_builder
from mmjax.data.sets.tiktok import tiktok_dataset_builder
from mmjax.data.sets.xquad import xquad_dataset_builder

BUILDERS: dict[str, type[SourceBuilder]] = {
    "lastfm_2k": lastfm_2k_dataset_builder.Builder,
    "tiktok": tiktok_dataset_builder.Builder,
    "ml_small_mm": ml_small_mm_dataset_builder.Builder,
    "amazon_baby": amazon_baby_dataset_builder.Builder,
    "amazon_sports": amazon_sports_dataset_builder.Builder,
    "amazon_clothing": amazon_clothing_dataset_builder.Builder,
    "amazon_beauty": amazon_beauty_dataset_builder.Builder,
    "amazon_toys": amazon_toys_dataset_builder.Builder,
    "noto_emoji": noto_emoji_dataset_builder.Builder,
    "flickr8k": flickr8k_dataset_builder.Builder,
    "flickr30k": flickr30k_dataset_builder.Builder,
    "coco": coco_dataset_builder.Builder,
    "xquad": xquad_dataset_builder.Builder,
    "nq_qed": nq_qed_dataset_builder.Builder,
    "squad_sentences": squad_sentences_dataset_builder.Builder,
}
"""Builder of each data set of the registry."""
