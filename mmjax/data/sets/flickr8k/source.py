"""Origin and terms of Flickr8k."""

from mmjax.data.sets.common.captions import captioned

SOURCE = captioned(
    "flickr8k",
    "https://hockenmaier.cs.illinois.edu/8k-pictures.html",
    "Non-commercial research and education (images: the terms of Flickr)",
)
