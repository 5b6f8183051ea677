"""Pictures and pages that show what was searched, trained and restored."""
