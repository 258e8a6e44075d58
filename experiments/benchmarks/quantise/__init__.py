"""A training step of a residual quantiser: mmjax against lucidrains' ResidualVQ."""
