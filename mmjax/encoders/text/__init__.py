"""Encoders of texts and their tokenizers."""
