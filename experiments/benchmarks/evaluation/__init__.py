"""Full ranking with all metrics: `mmjax.blocks.ranking` against PyTorch on the same vectors."""
