"""`python -m tidegate_agent` is `tidegate-agent`."""

from tidegate_agent.main import main

main()
