"""Label schemas: attributes, class indices, and rules for age labels."""
