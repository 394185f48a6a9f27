"""The engineer's bench: both apps run on recordings."""
