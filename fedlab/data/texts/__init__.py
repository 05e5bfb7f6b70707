"""Texts of a user's own: files read as rows of text and target, and what the targets are."""
