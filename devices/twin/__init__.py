"""The digital twin: a simulated rig behind the same PVs and the same camera path as a real one."""
