"""Passages and questions of nq_qed; shipped."""
