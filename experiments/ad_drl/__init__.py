"""AD-DRL (arXiv 2312.14433), what drives its scores and how to steer it; see README.md."""
