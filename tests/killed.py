"""Writers that are killed at each of the points where a kill leaves something else behind."""

import os
from pathlib import Path


class Killed(BaseException):
    """What no ``except Exception`` stops, as no program stops SIGKILL."""


def kills(monkeypatch, write):
    """Run ``write`` again and again, killed before and after its first, second, .. change of a name; yield after each.

    The last ``write`` comes to its end.
    """
    for after in (False, True):
        point = 0
        while True:
            with monkeypatch.context() as patch:
                left = [point]
                for owner, name in ((os, "replace"), (Path, "replace"), (Path, "write_text"), (Path, "write_bytes")):
                    patch.setattr(owner, name, _armed(getattr(owner, name), left, after))
                try:
                    write()
                except Killed:
                    pass
                else:
                    break
            yield point, after
            point += 1


def _armed(change, left, after):
    def changed(*arguments, **options):
        left[0] -= 1
        if left[0] < 0 and not after:
            raise Killed
        answer = change(*arguments, **options)
        if left[0] < 0:
            raise Killed
        return answer

    return changed
