"""What can be set and read: ophyd devices, the camera process, the device monitor, bridges and the digital twin."""
