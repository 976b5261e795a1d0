"""Options that the tests share."""

QUICK = ["--min-steps", "10", "--epochs", "1"]
