"""Origin and terms of Flickr30K."""

from mmjax.data.sets.common.captions import captioned

SOURCE = captioned(
    "flickr30k",
    "https://shannon.cs.illinois.edu/DenotationGraph",
    "Non-commercial research and education (images: the terms of Flickr)",
)
