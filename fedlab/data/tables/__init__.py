"""Tables of a user's own: files read as columns, kinds of columns, and numbers for a network."""
