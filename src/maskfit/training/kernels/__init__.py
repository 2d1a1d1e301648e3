"""Faster backward passes of single layers."""
