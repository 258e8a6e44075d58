"""MetaMMF (arXiv 2501.07110); item-specific fusion against static fusion."""
