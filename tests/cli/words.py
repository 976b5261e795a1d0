"""Options that the tests share, and the same as a plan."""

from scae.plan import TrainPlan

QUICK = ["--min-steps", "10", "--epochs", "1"]
QUICK_PLAN = TrainPlan(min_steps=10, epochs=1)
