"""Label review in the browser: per-person review of labels, with an audit log and an export of corrections."""
