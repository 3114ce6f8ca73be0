"""File systems that do not report changes, told by their mounts or drives."""

from __future__ import annotations

import re
from collections.abc import Mapping

from devlaunch.core.filters import Filters
from devlaunch.core.paths import is_below

MOUNTINFO = "/proc/self/mountinfo"
_SILENT = re.compile(
    "nfs4?|cifs|smb[a-z0-9]*|9p|fuse(\\..*)?|vboxsf|drvfs|virtiofs|osxfs|grpcfuse|fakeowner"
    "|prl_fs|vmhgfs|afs|ceph|lustre|glusterfs|network drive"
)
"""Network and host-shared file systems: the other side's writes raise no inotify(7) event here.

`fuseblk` is not among them: that is a local disk (NTFS, exFAT).
"""


def silent_mount(mounts: Mapping[str, str], filters: Filters) -> tuple[str, str] | None:
    """The mount point and type of the first watched file system that reports no changes.

    `mounts` are types by mount points. A mount matters when a root lies on it, or when it lies in a
    root's tree and is not ignored.
    """
    for root in filters.roots:
        above = [point for point in mounts if is_below(root, point)]
        below = [p for p in mounts if is_below(p, root) and p != root and not filters.ignores(p)]
        for point in (*([max(above, key=len)] if above else []), *sorted(below)):
            if _SILENT.fullmatch(mounts[point]):
                return point, mounts[point]
    return None


def parse_mountinfo(text: str) -> dict[str, str]:
    """Types by mount points, from the text of /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    mounts = {}
    for line in text.splitlines():
        head, _, tail = line.partition(" - ")
        fields = head.split(" ")
        if len(fields) > 4 and tail:
            mounts[_unescape(fields[4])] = tail.split(" ")[0]
    return mounts


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
