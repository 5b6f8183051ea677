"""The commands of ``jsnas``: their options, and which recipe each one calls.

Recipes are imported when their command runs, so that ``jsnas list`` or ``--help`` answer at once and only the
search needs NNI.
"""

from __future__ import annotations

from trainers.commands import data, judge, science, search, show, tasks, train

COMMANDS = {
    **train.COMMANDS,
    **data.COMMANDS,
    **search.COMMANDS,
    **tasks.COMMANDS,
    **science.COMMANDS,
    **judge.COMMANDS,
    **show.COMMANDS,
}
