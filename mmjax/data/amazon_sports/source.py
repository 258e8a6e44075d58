"""Where Amazon Sports comes from and what size it has."""

from mmjax.data.amazon import amazon

SOURCE = amazon("amazon_sports", "sports", sizes=(35_598, 18_357, 218_409, 37_899, 40_029))
