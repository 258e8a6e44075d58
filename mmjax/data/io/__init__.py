"""Files: atomic writes, plain readers, the cache, the TFDS builder."""
