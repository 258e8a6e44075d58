"""Origin and published size of Amazon Clothing."""

from mmjax.data.sets.common.amazon import Published, amazon

SOURCE = amazon(
    "amazon_clothing",
    "clothing",
    Published(
        users=39_387,
        items=23_033,
        rows=(197_338, 40_150, 41_189),
        distinct=(23_020, 16_702, 16_803),
    ),
)
