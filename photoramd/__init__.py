"""photoramd tags the photos on a home NAS, once each, and lets people find them."""

__version__ = "1.0.0"
