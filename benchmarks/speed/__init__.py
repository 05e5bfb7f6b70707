"""Speed and memory compared with references."""
