"""Passages and questions of squad_sentences; shipped."""
