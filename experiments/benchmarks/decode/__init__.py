"""Constrained beam search over a million codes: mmjax against tries of Python dictionaries."""
