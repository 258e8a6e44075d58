"""Training steps of recommenders against plain PyTorch, and seeds together against one by one."""
