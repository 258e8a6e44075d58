"""Pretrained encoders in Flax, read from folders of published weights."""
