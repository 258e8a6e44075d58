"""Readers of the formats that users own."""
