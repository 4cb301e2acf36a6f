"""The schema that agents, controller and CLI share, the code generated from it, and `rules`.

Imports nothing else of Tidegate. `make protos` regenerates; a test checks that it is current.
"""
