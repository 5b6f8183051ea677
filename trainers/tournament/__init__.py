"""Does the search pay? Contestants under one budget, and what their results allow to be said: start at ``run``."""
