"""Built-in scenarios: TOML files grouped by what they show."""
