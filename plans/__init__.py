"""What is done, in order: stubs, sweeps, field histories, adaptive temperature and pressure, preconditions."""
