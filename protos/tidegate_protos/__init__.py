"""The schema that agents, controller and CLI share, the code generated from it, and what both sides
must do alike: `rules`, `grpc_health`, and for being a daemon `settings`, `logs`, `notify` and
`findings`.

Imports nothing else of Tidegate. `make protos` regenerates; a test checks that it is current.
"""

import os

VERSION = "0.1.0"  # of all of Tidegate: what is built takes it from here

# Children that become another user are made by fork, in which gRPC's own handlers would crash.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
