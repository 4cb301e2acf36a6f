"""The service of the benchmarks: accepts connections on the port given (0: any), no more.

Little of Python is loaded for it (-I -S), since how long an app takes to start is not the question.
"""

import socket
import sys

server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=100)
while True:
    server.accept()[0].close()
