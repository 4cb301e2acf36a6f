"""`python -m tidegate_controller` is `tidegate`."""

from tidegate_controller.cli import main

main()
