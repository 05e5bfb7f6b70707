"""Many small clients trained at once, their weights stacked."""
