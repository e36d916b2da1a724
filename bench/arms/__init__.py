"""What is timed: workloads, the arms of a plan, and their admission to the clock by the oracle."""
