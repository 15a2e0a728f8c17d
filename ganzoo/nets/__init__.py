"""Networks and layers that a plugin may use or ignore."""
