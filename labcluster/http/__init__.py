"""The REST API over HTTPS.

A request's way: server (sockets) → app (routing) → users, impersonation, authorization (who may) → call (what is
meant) → options, body, negotiation (how) → reading, writing, deleting, watching, subresources, logs, proxying,
remotecommand, portforward (the verbs) → representation, responses (the answer). The last two are carried by
websocket with channels, or by spdy_upgrade with spdy_streams. Beside the resources: discovery, documents, reviews.
"""
