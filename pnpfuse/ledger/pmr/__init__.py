"""The claims of PMR, a file each."""
