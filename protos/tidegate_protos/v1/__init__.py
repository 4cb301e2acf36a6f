"""tidegate.v1: `agent.proto` for agents, `operator.proto` for the CLI; both with the controller."""
