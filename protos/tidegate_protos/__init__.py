"""The schema that agents, controller and CLI share, the code generated from it, and what both sides
must do alike: `rules`, and `grpc_health`.

Imports nothing else of Tidegate. `make protos` regenerates; a test checks that it is current.
"""
