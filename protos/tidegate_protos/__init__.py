"""The schema that agents, controller and CLI share, and the code generated from it.

Imports nothing else of Tidegate. `make protos` regenerates; a test checks that it is current.
"""
