"""What devices do and how fast they are: correct, the same in every run, within their memory."""
