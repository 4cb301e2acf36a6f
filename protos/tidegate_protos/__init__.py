"""The schema that agents, controller and CLI share, the code generated from it, and what both sides
must do alike: `rules`, `grpc_health`, and for being a daemon `settings`, `logs`, `notify` and
`findings`.

Imports nothing else of Tidegate. `make protos` regenerates; a test checks that it is current.
"""
