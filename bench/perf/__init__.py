"""How fast this machine is: its measured limits, and the harness beside what one would use instead."""
