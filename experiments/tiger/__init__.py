"""TIGER: semantic ids of items and a Transformer that writes them; the reference pipeline."""
