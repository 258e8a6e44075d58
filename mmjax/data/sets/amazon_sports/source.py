"""Origin and published size of Amazon Sports."""

from mmjax.data.sets.common.amazon import Published, amazon

SOURCE = amazon(
    "amazon_sports",
    "sports",
    Published(
        users=35_598,
        items=18_357,
        rows=(218_409, 37_899, 40_029),
        distinct=(18_352, 13_342, 13_738),
    ),
)
