"""What travels between server and clients; it knows no model and no engine."""
