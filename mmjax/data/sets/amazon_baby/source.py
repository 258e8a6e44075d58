"""Where Amazon Baby comes from and what size it has."""

from mmjax.data.sets.amazon import Published, amazon

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
