"""The local loop: objective, optimisers, evaluation."""
