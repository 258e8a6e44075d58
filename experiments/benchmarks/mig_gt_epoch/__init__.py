"""One training epoch of MIG-GT at the size of Amazon Baby: mmjax against plain PyTorch."""
