"""End-to-end evaluation on photos with several faces: detection and prediction together, and a page of the results."""
