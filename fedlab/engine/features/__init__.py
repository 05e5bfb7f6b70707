"""The outputs of a frozen prefix, computed once."""
