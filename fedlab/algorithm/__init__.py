"""What the author of an algorithm imports, for the server's side and for the client's."""
