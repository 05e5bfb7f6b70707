"""What unlearning methods leave of a client, beside retraining without it."""
