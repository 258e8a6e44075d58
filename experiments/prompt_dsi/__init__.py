"""PromptDSI (arXiv 2406.12593); document retrieval that takes in new corpora without forgetting."""
