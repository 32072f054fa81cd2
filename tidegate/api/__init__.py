"""The local API: what the agent knows, over a Unix socket.

    GET  /v1/status  /v1/endpoints  /v1/policies  /v1/sets  /v1/names  /v1/explain?from=&to=
    GET  /metrics
    POST /v1/remove

Answers are JSON documents made from frozen views of what is in force. The socket belongs to the agent's user and nobody
else may connect: there is no other access control here.
"""
