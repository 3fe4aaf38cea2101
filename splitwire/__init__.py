"""Splitwire's kernel: what trainer, edge and cloud share. No network, no web framework, no torch."""

__version__ = "0.1.0"

__all__ = ["__version__"]
