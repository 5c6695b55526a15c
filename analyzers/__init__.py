"""What it means: fits, maps, stress, onset of diamagnetism, and the processes that make them."""
