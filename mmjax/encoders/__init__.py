"""Pretrained encoders in Flax, read from folders of published weights.

`load_text_encoder` and `load_image_encoder` give encoders from texts and images to vectors;
`load_bert` and its like the Flax module of one family with its parameters.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
