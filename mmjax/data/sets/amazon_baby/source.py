"""Origin and published size of Amazon Baby."""

from mmjax.data.sets.common.amazon import Published, amazon

SOURCE = amazon(
    "amazon_baby",
    "baby",
    Published(
        users=19_445,
        items=7_050,
        rows=(118_551, 20_559, 21_682),
        distinct=(7_047, 5_483, 5_549),
    ),
)
