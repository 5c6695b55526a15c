"""What many runs say together: pure estimators over the maps of a campaign's loads."""
