"""The REST API over HTTPS.

A request's way: server (sockets) → app (routing) → access.users, access.impersonation (who asks) → call (what is
meant) → access.authorization (whether they may) → a handler of verbs, subresources or streams, which takes options,
body and form from messages → messages.representation, messages.responses (the answer). Exec, attach and port-forward
(streams.remotecommand, streams.portforward) are carried by a WebSocket or by SPDY. Beside the resources stands about:
discovery, documents, health.
"""
