"""Clients in long-lived Ray workers."""
