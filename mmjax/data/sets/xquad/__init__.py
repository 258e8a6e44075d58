"""Passages and questions of xquad; shipped."""
