"""Every figure of the README comes from a command here; each prints one JSON object as its last line."""
