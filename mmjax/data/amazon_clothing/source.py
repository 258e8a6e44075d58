"""Where Amazon Clothing comes from and what size it has."""

from mmjax.data.amazon import amazon

SOURCE = amazon("amazon_clothing", "clothing", sizes=(39_387, 23_033, 197_338, 40_150, 41_189))
