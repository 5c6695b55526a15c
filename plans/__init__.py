"""What is done, in order: plans and their building blocks, field histories, adaptive temperatures."""
