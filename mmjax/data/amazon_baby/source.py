"""Where Amazon Baby comes from and what size it has."""

from mmjax.data.amazon import amazon

SOURCE = amazon("amazon_baby", "baby", sizes=(19_445, 7_050, 118_551, 20_559, 21_682))
