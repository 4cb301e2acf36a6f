"""What `tidegate doctor` looks at: the machine it is typed on, a controller's folder, the fleet.

Called by `cli/doctor`. Each module has a function `look` that yields findings, and changes nothing.
"""
