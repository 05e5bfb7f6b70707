"""What new clients reach after few steps: every scenario of scenarios/meta, with its bounds."""
