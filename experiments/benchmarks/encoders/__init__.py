"""Encoding texts and images: mmjax against transformers on PyTorch."""
