"""What the frames mean: cubes, fits, maps, stress, onset, and the processes that make them while a sweep runs."""
