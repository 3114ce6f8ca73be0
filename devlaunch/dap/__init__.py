"""The Debug Adapter Protocol: framing, the keeper (both pure) and their sockets."""
