"""Bridges: IOC programs that present real instruments under the PVs that the devices use."""
