"""Metrics: names, sums by task, and how a number is spread over clients. Of libraries, torch."""
