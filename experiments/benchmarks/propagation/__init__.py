"""One propagation over a user-item graph: mmjax against jraph and, where there is one, PyTorch."""
