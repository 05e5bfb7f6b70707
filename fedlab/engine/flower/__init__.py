"""Clients in Flower's own simulation or deployment."""
