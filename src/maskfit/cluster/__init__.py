"""Training and prediction on a Ray cluster; Ray itself is imported only when a cluster is used."""
