"""Origin and terms of COCO."""

from mmjax.data.sets.common.captions import captioned

SOURCE = captioned(
    "coco",
    "https://cocodataset.org",
    "Annotations CC BY 4.0 (images: the terms of Flickr)",
)
