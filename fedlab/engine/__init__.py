"""Engines: where clients run, each a Flower Grid."""
