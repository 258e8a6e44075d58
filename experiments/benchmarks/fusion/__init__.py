"""Item-specific fusion at MovieLens' size: factored against full tensors, and the cost of rank."""
