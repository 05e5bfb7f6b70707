"""Partitioners: how a data set is split over clients."""
