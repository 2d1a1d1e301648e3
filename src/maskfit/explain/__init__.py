"""Explanations of a model: Grad-CAM, a gradient check of every layer, graphs of the network, and a page with all."""
