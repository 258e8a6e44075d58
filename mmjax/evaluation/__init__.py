"""Metrics of trained models on held-out data; fractions everywhere, never percent."""
