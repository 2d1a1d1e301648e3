"""Networks, in plain torch: a trunk that turns photos into features, and a head that answers for each attribute."""
