"""HTTP service: predictions for uploaded photos, with dynamic batching, limits, metrics and OpenAPI."""
