"""The page on which photos are uploaded or taken, and every face on them is boxed and answered for."""
