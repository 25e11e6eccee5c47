"""photoramd tags the photos on a home NAS, once each, and lets people find them."""

__version__ = "0.1.0"
