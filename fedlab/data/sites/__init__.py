"""Data that stay with their owners: what a federation asks of each site, and what a site holds."""
