"""The commands of ``jsnas``: their options, and which recipe each one calls.

Recipes are imported when their command runs, so that ``jsnas list`` or ``--help`` answer at once and only the
search needs NNI.
"""

from __future__ import annotations

from trainers.commands import (
    bench,
    block,
    compare,
    cost,
    demo,
    draw,
    evaluate,
    experiment,
    export,
    list,
    multitask,
    pack,
    report,
    reproduce,
    restore,
    search,
    tournament,
    train,
)

COMMANDS = {
    **demo.COMMANDS,
    **train.COMMANDS,
    **pack.COMMANDS,
    **restore.COMMANDS,
    **search.COMMANDS,
    **compare.COMMANDS,
    **block.COMMANDS,
    **experiment.COMMANDS,
    **multitask.COMMANDS,
    **tournament.COMMANDS,
    **bench.COMMANDS,
    **evaluate.COMMANDS,
    **reproduce.COMMANDS,
    **cost.COMMANDS,
    **export.COMMANDS,
    **draw.COMMANDS,
    **report.COMMANDS,
    **list.COMMANDS,
}
