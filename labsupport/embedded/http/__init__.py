"""The REST API over HTTPS.

A request's way: server (sockets) → app (routing) → users, impersonation, authorization (who may) → call (what is
meant) → options, body, negotiation (how) → reading, writing, deleting, watching, subresources, logs, remotecommand
(the verbs) → representation, responses (the answer). Beside the resources: discovery, documents, reviews.
"""
