"""What the sensor is: constants, line shapes, spin Hamiltonian, stress tensor, geometry, pressure gauges."""
