"""Attacks: which clients are malicious, and the interface of an attack; see ``clients/attacks``."""
