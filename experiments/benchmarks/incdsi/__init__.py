"""Rows of new documents by IncDSI: mmjax's Newton method against L-BFGS on PyTorch."""
