"""The pure core: data in, data out. It reads no clock, makes no id, touches no file or socket.

`types` holds the words, `decide` what can happen, `evolve` what has happened,
`strategies` turn a request into a plan. The shell around it is `tidegate_controller.engine`.
"""
