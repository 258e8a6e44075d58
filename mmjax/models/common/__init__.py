"""Parts that several papers share: what models are built from, item graphs, views."""
