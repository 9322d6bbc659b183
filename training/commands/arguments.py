"""Arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import tyro

ProblemName = Annotated[
    str, tyro.conf.Positional, tyro.conf.arg(metavar="PROBLEM", help="quadrotor, .. or module:ClassName for your own")
]
AgentPath = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(
        metavar="CHECKPOINT",
        help="folder of a policy, shipped name, zip of Stable-Baselines3, or module:function; observer:WORD flies it "
        "behind an Observer",
    ),
]
PolicyPath = Annotated[
    str, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT", help="a folder that train wrote, or a shipped name")
]
