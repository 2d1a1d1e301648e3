"""The review of labels: people look at photos, say which labels are wrong, and give the right ones."""
