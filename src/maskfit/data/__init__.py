"""Photos and what is done to them before a network sees them. Needs no torch."""
