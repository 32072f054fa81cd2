"""The door to libnftables, in this process: texts in, transactions applied, listings out.

A call costs 0.1 ms plus what the text costs; the nft(8) program would add 3 to 12 ms for its start. One `run` is one
transaction: the kernel takes all of it or nothing.
"""

import ctypes
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import nftables

from nft.errors import ScriptError


class Transport(Protocol):
    """Takes nft text as the kernel does; `nft.fake` has another one."""

    def run(self, script: str) -> None:
        """Applies the commands as one transaction.

        Raises:
            ScriptError: nothing was applied; `detail` begins with the offending line.
        """

    def check(self, script: str) -> None:
        """Does all that `run` would, but for the commit.

        Raises:
            ScriptError: as `run` would.
        """

    def listing(self, command: str) -> Sequence[Mapping[str, Any]]:
        """The objects that a `list` command names, as libnftables-json(5) describes them, sets without their elements.

        Raises:
            ScriptError: what the command names is not there (ENOENT).
        """


_LIBRARY = "libnftables.so.1"
_ERRNO_BY_TEXT = {os.strerror(code): code for code in range(1, 134)}
_FAULT = re.compile(r"^(?:/proc/self/fd/\d+:(?P<line>\d+):\d+-\d+: )?Error: (?P<text>.*)$", re.MULTILINE)
_SHOWN = 200
"""Characters of an offending line in a message."""
_PROCESSING = "Could not process rule: "


class KernelTransport:
    """libnftables on the kernel of the network namespace in which it was created. Not for two threads at once.

    The library's context goes with the object; there is nothing to close.
    """

    def __init__(self) -> None:
        self._nft = nftables.Nftables()
        self._nft.set_json_output(False)
        # Numbers instead of names: /etc/protocols and /etc/services have no say in what a listing means.
        self._nft.set_numeric_proto_output(True)
        self._nft.set_numeric_prio_output(True)
        self._nft.set_stateless_output(True)
        self._nft.set_handle_output(True)
        self._nft.set_terse_output(True)

    def run(self, script: str) -> None:
        """Applies the commands as one transaction; see `Transport`."""
        self._command(script, "apply")

    def check(self, script: str) -> None:
        """Does all that `run` would, but for the commit; see `Transport`.

        Not for a running agent: if the script has the only conntrack or NAT rule of the namespace, packets that are
        held in a queue die, because the kernel unregisters those hooks again when the check ends.
        """
        self._set_dry_run(enabled=True)
        try:
            self._command(script, "check")
        finally:
            self._set_dry_run(enabled=False)

    def listing(self, command: str) -> Sequence[Mapping[str, Any]]:
        """What a `list` command names; see `Transport`."""
        self._nft.set_json_output(True)
        try:
            output = self._command(command, "list")
        finally:
            self._nft.set_json_output(False)
        objects: Sequence[Mapping[str, Any]] = json.loads(output)["nftables"] if output else ()
        return [each for each in objects if "metainfo" not in each]

    def _command(self, script: str, operation: str) -> str:
        # Text from a buffer is reported without its line number, and always with the first line of the buffer
        # (libnftables up to 1.0.9 at least); from a file it is right. So the text goes by way of a file in memory.
        descriptor = os.memfd_create("nft", os.MFD_CLOEXEC)
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(script.encode())
            status, output, error = self._nft.cmd(f'include "/proc/self/fd/{descriptor}"')
        finally:
            os.close(descriptor)
        if status:
            raise refusal(script, error, operation)
        return str(output)

    def _set_dry_run(self, *, enabled: bool) -> None:
        # The Python module of libnftables 1.0.6 lacks this call and keeps the context to itself.
        context = self._nft._Nftables__ctx  # noqa: SLF001
        ctypes.CDLL(_LIBRARY).nft_ctx_set_dry_run(ctypes.c_void_p(context), ctypes.c_bool(enabled))


def refusal(script: str, output: str, operation: str) -> ScriptError:
    """Makes what libnftables printed into an error: the first errno, and the lines of the script that are to blame."""
    faults = list(_FAULT.finditer(output))
    if not faults:
        return ScriptError(0, operation, output.strip(), ())
    lines = tuple(sorted({int(fault["line"]) for fault in faults if fault["line"]}))
    text = faults[0]["text"].removeprefix(_PROCESSING)
    line = script.splitlines()[int(faults[0]["line"]) - 1].strip() if faults[0]["line"] else ""
    errno = _ERRNO_BY_TEXT.get(text.partition(";")[0], 0)
    return ScriptError(errno, operation, f"{line[:_SHOWN]} ({text})", lines)
