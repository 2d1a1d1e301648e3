"""Applications built on the rest of the package: demo, label review, web app, HTTP service and video analysis."""
