"""Searches and tournaments under NNI's manager and web page: start at ``run``; a trial is ``trial_worker``."""
