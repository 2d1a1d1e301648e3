"""What a set of photos holds, to be looked at before anything is trained on it: figures, oddities, twins, a page."""
