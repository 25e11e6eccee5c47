"""Servers: sockets, connections that nobody can hold for long, and the loop that ends on signals.

Shows: `sockets.listening`, `connections.BoundedProtocol`, `server.Server`. Must not know: what is
served, and to whom.
"""
