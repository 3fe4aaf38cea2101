"""Exit with status 0 if the edge in this container is alive."""

import http.client
import sys

connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=3)
connection.request("GET", "/healthz")
sys.exit(connection.getresponse().status != 200)
