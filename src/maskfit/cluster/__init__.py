"""A Ray cluster: folds, and photos, on other machines. Ray itself is imported only where a cluster is joined."""
