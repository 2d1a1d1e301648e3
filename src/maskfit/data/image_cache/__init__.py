"""Image cache: every photo decoded, cropped and resized once, on disk behind a memory map."""
