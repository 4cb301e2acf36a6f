"""Tidegate's controller and command line."""
