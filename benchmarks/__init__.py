"""Measurements of photoramd, and the real photos that they and the tests use."""
