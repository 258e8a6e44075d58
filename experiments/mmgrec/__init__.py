"""MMGRec (arXiv 2404.16555); recommendation by writing the ids of items."""
