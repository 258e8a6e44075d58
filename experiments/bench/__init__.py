"""The recommender bench; every method under one protocol."""
