"""Sources and TFDS builders that several data sets share."""
