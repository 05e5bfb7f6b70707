"""Sanity tables: whether every strategy learns on networks and with clients as they really are."""
