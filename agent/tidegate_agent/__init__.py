"""Tidegate's agent: one per node; carries out what the controller asks and reports what it sees."""
