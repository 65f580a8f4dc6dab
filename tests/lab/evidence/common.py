"""What the scripts of this directory share: numbered lines, two ends, programs, and a look at what the kernel says.

Nothing here comes from the laboratory. That is the point: what the laboratory says of somebody's program is shown
again by other means. Only Python's standard library is used.
"""

import argparse
import atexit
import contextlib
import ctypes
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

SHOWN, NOT_SHOWN, NOT_INSTALLED = 0, 1, 69  # 69 is EX_UNAVAILABLE of sysexits.h

KIB, MIB = 1024, 1024 * 1024


# ---- what is sent ----------------------------------------------------------------------------------------------------

LINE = 8
MOST = 80_000_000  # ten million lines of seven digits and a newline: more than the kernel keeps for a connection
ENDINGS = [b""] + [b"%03d\n" % n for n in range(1000)]


def numbered(start, end):
    """The bytes from `start` to `end` of the text "0000000\\n0000001\\n0000002\\n…".

    Each line says where it belongs, and a line cut out of the middle can be read by a person, also in strace's output.
    """
    block = LINE * 1000
    blocks = range(start // block, -(-end // block))
    text = b"".join((b"%04d" % n).join(ENDINGS) for n in blocks)
    skip = start - blocks.start * block if blocks else 0
    return text[skip:skip + end - start]


def gaps(got, length=None):
    """Where `got` departs from the numbered lines: a list of (first possible offset, last possible offset, missing).

    Lines resemble each other, so the first missing byte may be one of a few; the number of missing bytes is exact.
    `missing` is negative where bytes came twice and None where what came is no numbered line at all. If `length` is
    given, bytes that are missing at the end are a gap as well.
    """
    found, at, shift = [], 0, 0
    sent = numbered(0, max(length or 0, len(got)) + 64 * KIB)
    while at < len(got):
        same = common_prefix(got, at, sent, at + shift)
        at += same
        if at >= len(got):
            break
        line = re.compile(rb"\n(\d{7})\n").search(got, at)
        if not line or line.start() > at + 4 * LINE:
            found.append((at + shift, at + shift, None))
            return found
        missing = int(line[1]) * LINE - line.start(1) - shift
        if missing == 0 or int(line[1]) * LINE >= len(sent):
            found.append((at + shift, at + shift, None))
            return found
        first = last = at + shift
        while missing > 0 and first > 0 and sent[first - 1] == sent[first - 1 + missing]:
            first -= 1
        found.append((first, last, missing))
        shift += missing
    if length is not None and len(got) + shift < length:
        found.append((len(got) + shift, len(got) + shift, length - len(got) - shift))
    return found


def common_prefix(a, a_from, b, b_from):
    """How many bytes are the same in `a` from `a_from` and in `b` from `b_from`."""
    same, step = 0, len(a) - a_from
    while step:
        one, other = a[a_from + same:a_from + same + step], b[b_from + same:b_from + same + step]
        if one == other:
            same += len(one)
            if len(one) < step or a_from + same >= len(a):
                break
        else:
            step //= 2
    return same


# ---- the two ends ----------------------------------------------------------------------------------------------------

class Sender(threading.Thread):
    """Sends numbered lines with blocking calls until there are `total`; `total` may be lowered on the way.

    If it `ends`, its FIN follows the last byte at once.
    """

    def __init__(self, sock, total=MOST, ends=False):
        super().__init__(daemon=True)
        self.sock, self.total, self.ends, self.sent, self.error = sock, total, ends, 0, None

    def run(self):
        try:
            while self.sent < self.total:
                end = min(self.total, self.sent + 64 * KIB)
                self.sent += self.sock.send(numbered(self.sent, end))
            if self.ends:
                self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.error = error

    def blocked(self):
        """Does the kernel take no more from us at the moment?"""
        return not select.select([], [self.sock], [], 0)[1]

    def finish(self, more):
        """Lets only `more` bytes follow. They show that the connection still works, and what became of the order."""
        self.total = min(self.total, self.sent + 64 * KIB + more)


class Receiver(threading.Thread):
    """Reads as far as it is told to: at first not at all."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock, self.got, self.end = sock, bytearray(), None
        self.limit, self.changed = 0, threading.Condition()

    def run(self):
        try:
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: len(self.got) < self.limit)
                data = self.sock.recv(min(64 * KIB, self.limit - len(self.got)))
                if not data:
                    break
                self.got += data
            self.end = "the end of the connection"
        except OSError as error:
            self.end = os.strerror(error.errno)

    def read_to(self, limit):
        with self.changed:
            self.limit = limit
            self.changed.notify()

    def read_now(self):
        self.read_to(2 * MOST)


def connect(port, receive_buffer=64 * KIB):
    """A connection to the program, with a receive buffer that is small and does not grow."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.connect(("127.0.0.1", port))
    return client


def backend(buffers=None):
    """A listening socket on a port that the kernel chose, and the port."""
    listener = socket.socket()
    if buffers:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listener.settimeout(20)
    return listener, listener.getsockname()[1]


def accept(listener):
    try:
        sock, _ = listener.accept()
    except TimeoutError:
        raise Unclear("the program did not connect to the backend") from None
    sock.settimeout(None)
    return sock


# ---- programs --------------------------------------------------------------------------------------------------------

PATHS = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def need(program, package=None):
    """The program's path. If it is not installed, says which Debian package has it, and leaves with status 69."""
    path = shutil.which(program, path=PATHS)
    if not path:
        print(f"{program} is not installed; Debian has it in the package {package or program}.")
        sys.exit(NOT_INSTALLED)
    return path


def version(argv, pattern):
    """The first match of `pattern` in what `argv` prints."""
    out = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    match = re.search(pattern, (out.stdout + out.stderr).decode(errors="replace"))
    return match[0] if match else "an unknown version"


def package_version(package):
    """The version as dpkg knows it, for programs that do not print one."""
    if not shutil.which("dpkg-query"):
        return f"{package}, an unknown version"
    out = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}", package], capture_output=True, text=True)
    return out.stdout or f"{package}, an unknown version"


class Held:
    """A port that the kernel chose. It is held, bound and not listening, until the program has taken it over."""

    def __init__(self):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]


class Program:
    """A program in a process group of its own, as a shell with job control starts it."""

    def __init__(self, argv, stdin=None, trace=None, cwd=None):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="evidence-"))
        atexit.register(shutil.rmtree, self.directory, ignore_errors=True)
        if trace:
            argv = ["strace", "-ff", "-s", "24", "-e", "trace=" + trace, "-o", self.directory / "trace", *argv]
        self.out = open(self.directory / "out", "wb")
        self.process = subprocess.Popen([str(a) for a in argv], stdin=stdin or subprocess.DEVNULL, stdout=self.out,
                                        stderr=self.out, cwd=cwd, preexec_fn=os.setpgrp)

    def said(self):
        return (self.directory / "out").read_text(errors="replace").strip()

    def listens(self, held):
        """Waits until the program listens on the port, without connecting, and gives the port up to it."""
        wait(lambda: listening(held.port) or self.process.poll() is not None, 20, "the program to listen")
        held.sock.close()
        if self.process.poll() is not None and not listening(held.port):
            raise Unclear(f"{self.process.args[0]} ended before it listened. It said: {self.said()}")
        return self

    def family(self):
        """The program and all that it started, without strace.

        Orphans have become our children (see `begin`), and no more than one program is started at a time.
        """
        return [pid for pid in descendants(os.getpid()) if name(pid) != "strace"]

    def connection(self, port):
        """Which of the family owns an established connection that has this local or remote port."""
        inodes = {row.inode for row in sockets() if row.state == ESTABLISHED and port in (row.local, row.remote)}
        return [pid for pid in self.family() if inodes & held_sockets(pid)]

    def suspend_and_resume(self):
        """What Ctrl-Z and then `fg` do: SIGTSTP to each process, until all have stopped; then SIGCONT.

        The kernel ignores SIGTSTP in a session without a shell. A program gets one of its own there when strace stands
        between it and us and it calls setsid; it is stopped by SIGSTOP.
        """
        family = self.family()
        for pid in family:
            ours = os.getsid(pid) == os.getsid(0)
            os.kill(pid, signal.SIGTSTP if ours else signal.SIGSTOP)
        stopped = lambda: all(state(pid) in "Tt" for pid in family)
        wait(lambda: all(stopped() for _ in range(3)), 20, "the program to stop")
        for pid in family:
            os.kill(pid, signal.SIGCONT)
        wait(lambda: not any(state(pid) == "T" for pid in family), 20, "the program to go on")

    def look_with_strace(self):
        """Attaches strace to the last process and detaches it again: the process is stopped for a moment as well."""
        pid = self.family()[-1]
        strace = subprocess.Popen(["strace", "-p", str(pid), "-o", "/dev/null"], stderr=subprocess.PIPE)
        strace.stderr.readline()  # strace: Process 4711 attached
        strace.terminate()
        strace.wait()

    def traced(self, interesting, before=0, after=7):
        """The first line of strace's that `interesting` agrees to, with its neighbors in the same thread."""
        for path in sorted(self.directory.glob("trace.*")):
            lines = path.read_text(errors="replace").splitlines()
            for i, line in enumerate(lines):
                if interesting(line):
                    return lines[max(0, i - before):i + 1 + after]
        return []

    def end(self):
        end_all()
        self.process.wait()
        self.out.close()


def end(pid):
    """Ends a process and its descendants, each by its number."""
    for each in [pid, *descendants(pid)]:
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            pass


def end_all():
    """Ends whatever this script started and is still there, also what its parent has left behind."""
    for _ in range(50):
        left = descendants(os.getpid())
        for pid in left:
            end(pid)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def begin():
    """Orphans of our programs become our children, so that they can be ended; and they are, however we leave."""
    sys.stdout.reconfigure(line_buffering=True)
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    atexit.register(end_all)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(NOT_SHOWN))


# ---- what /proc says -------------------------------------------------------------------------------------------------

ESTABLISHED, LISTEN = 1, 10


class Row:
    """A line of /proc/net/tcp: proc(5) explains the columns."""

    def __init__(self, line):
        field = line.split()
        self.local, self.remote = (int(address.split(":")[1], 16) for address in field[1:3])
        self.state = int(field[3], 16)
        self.unsent, self.unread = (int(queue, 16) for queue in field[4].split(":"))
        self.inode = int(field[9])


def sockets():
    rows = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if os.path.exists(table):
            with open(table) as lines:
                rows += [Row(line) for line in list(lines)[1:]]
    return rows


def listening(port):
    return any(row.local == port and row.state == LISTEN for row in sockets())


def queues(*ports):
    """Ports, unacknowledged and unread bytes of each connection that has to do with these ports."""
    return sorted((row.local, row.remote, row.unsent, row.unread) for row in sockets()
                  if row.state != LISTEN and (row.local in ports or row.remote in ports))


def stat(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def state(pid):
    """R running, S asleep, T stopped, t stopped by a tracer, Z ended (proc(5))."""
    fields = stat(pid)
    return fields[0] if fields else "Z"


def name(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descendants(pid):
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat(entry)) and fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, next_ones = [], [pid]
    while next_ones:
        next_ones = [child for parent in next_ones for child in children.get(parent, [])]
        found += next_ones
    return found


def held_sockets(pid):
    """The inodes of the sockets that a process has open."""
    inodes = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(int(target[8:-1]))
    except OSError:
        pass
    return inodes


def resident(pids):
    """Resident memory in bytes, of all of them together."""
    total = 0
    for pid in pids:
        try:
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * KIB
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def threads(pids):
    """State and processor time of every thread: unchanged and without an R, nobody has done anything."""
    found = []
    for pid in pids:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                if fields := stat(f"{pid}/task/{thread}"):
                    found.append((thread, fields[0], fields[11], fields[12]))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


# ---- waiting for events ----------------------------------------------------------------------------------------------

class Unclear(Exception):
    """The round says nothing, with the reason."""


def wait(event, seconds, what):
    """Waits for `event()` to be true, and gives up with Unclear after so many seconds."""
    deadline = time.monotonic() + seconds
    while not event():
        if time.monotonic() > deadline:
            raise Unclear(f"gave up waiting for {what} after {seconds} s")
        time.sleep(0.02)


def wait_until_still(look, pids, patience, seconds, enough=lambda: False):
    """Waits until `look()` gives the same, and the processes have done nothing, for `patience` seconds.

    True if things came to a standstill or there is `enough`, False if they still moved after `seconds`. Counted are
    looks, so that a machine that is busy elsewhere makes the wait longer, not shorter.
    """
    interval = 0.05
    before, calm, deadline = None, 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        if enough():
            return True
        activity = threads(pids())
        now = (look(), activity)
        calm = calm + 1 if now == before and not any(thread[1] == "R" for thread in activity) else 0
        if calm * interval >= patience:
            return True
        before = now
        time.sleep(interval)
    return False


# ---- a client that waits before it reads ----------------------------------------------------------------------------

class Came:
    """What came of a transfer."""

    def __init__(self, sent, receiver, trace):
        self.sent, self.bytes, self.end = sent, len(receiver.got), receiver.end
        self.gaps, self.trace = gaps(bytes(receiver.got), sent), trace

    def __str__(self):
        end = f", then {self.end}" if self.end else ""
        return f"{number(self.bytes)} of {number(self.sent)} bytes came{end}; {told(self.gaps)}"


def through_relay(argv, disturb, trace=None, interesting=lambda line: False):
    """Bytes from a backend through a relay, started by `argv(LISTEN, BACKEND)`, to a client that waits."""
    listener, back = backend()
    held = Held()
    program = Program(argv(held.port, back), trace=trace)
    sender = None

    def begun():
        nonlocal sender
        sender = Sender(accept(listener))
        sender.start()

    try:
        program.listens(held)
        return to_waiting_client(program, held.port, disturb, lambda: sender.sent, begun,
                                 lambda: sender.finish(2 * MIB), back, interesting)
    finally:
        program.end()
        listener.close()
        if sender:
            sender.sock.close()


def to_waiting_client(program, port, disturb, sent, begun=lambda: None, resumed=lambda: None, back=0,
                      interesting=lambda line: False):
    """Connects, waits until nothing more can be sent, disturbs the program (or does not), and reads everything.

    "Nothing more can be sent" is seen, not assumed: bytes wait in the program's socket, and nobody has done anything
    for half a second. Not every relay says the end; everything has come when nothing moves anymore.
    """
    client = connect(port)
    receiver = Receiver(client)
    try:
        begun()
        receiver.start()
        look = lambda: (queues(port, back), sent(), len(receiver.got), receiver.end)
        wait(lambda: any(row[0] == port and row[2] for row in queues(port)), 20, "unsent bytes")
        if not wait_until_still(look, program.family, 0.5, 30):
            raise Unclear("the kernel took everything; nothing had to wait")
        if disturb:
            disturb(program)
        resumed()
        receiver.read_now()
        wait_until_still(look, program.family, 1, 60, lambda: receiver.end)
        return Came(sent(), receiver, program.traced(interesting))
    finally:
        client.close()


def answer_that_waits(command, client_ends, trace=None, interesting=lambda line: False, before=0, after=7,
                      in_steps=False):
    """A request, and an answer of more than the kernel keeps, which the client reads when nothing more can be sent.

    The client ends its side right after the request, or not at all. The backend's end follows its last byte at once.
    A client that reads `in_steps` makes the program wait for room again and again, also when the end arrives.
    """
    listener, back = backend()
    held = Held()
    program = Program(command(held.port, back), trace=trace)
    client = server = None
    try:
        program.listens(held)
        client = connect(held.port)
        server = accept(listener)
        request, answer, sender = Receiver(server), Receiver(client), Sender(server, ends=True)
        client.sendall(numbered(0, 8000))
        if client_ends:
            client.shutdown(socket.SHUT_WR)
        for end in (request, answer):
            end.start()
        request.read_now()
        wait(lambda: request.end if client_ends else len(request.got) == 8000, 20, "the request")
        sender.start()
        wait(lambda: sender.sent, 20, "the answer's beginning")
        if not wait_until_still(lambda: (sender.sent, queues(held.port, back)), program.family, 0.5, 30):
            raise Unclear("the kernel took everything; nothing had to wait")
        sender.finish(2 * MIB)
        moved = lambda: len(answer.got)
        while in_steps and not answer.end and len(answer.got) < sender.total:
            had = len(answer.got)
            answer.read_to(had + (1024 if sender.is_alive() else 96) * KIB)
            wait_until_still(moved, program.family, 0.05, 5, lambda: answer.end)
            if len(answer.got) == had:
                break
        answer.read_now()
        sender.join(20)
        wait_until_still(lambda: len(answer.got), program.family, 2, 60, lambda: answer.end)
        return Came(sender.sent, answer, program.traced(interesting, before, after))
    finally:
        program.end()
        for sock in (client, server, listener):
            if sock:
                sock.close()


def socat_relay(listen, back):
    """socat as a plain relay: what other relays are compared with."""
    return ["socat", f"TCP4-LISTEN:{listen},bind=127.0.0.1,reuseaddr,fork", f"TCP4:127.0.0.1:{back}"]


def short_call(line):
    """Is this strace's line of a call that returned less than was asked for?"""
    call = re.match(r"(?:sendto|write)\(\d+, .*?, (\d+)(?:, .*)?\)\s+= (\d+)$", line)
    return call and int(call[2]) < int(call[1])


def relay_suspended(program, argv, rounds, explanation):
    """The whole story of a relay that harms a transfer when it is suspended, with its controls. The exit status."""
    harmed, innocent = [], True
    for turn in range(rounds):
        print(f"\nRound {turn + 1}")
        came = through_relay(argv, None)
        say(f"{program}, not suspended: {came}.", "  ")
        innocent &= not came.gaps
        if shutil.which("socat"):
            came = through_relay(socat_relay, Program.suspend_and_resume)
            say(f"socat, Ctrl-Z and fg: {came}.", "  ")
            innocent &= not came.gaps
        came = through_relay(argv, Program.suspend_and_resume)
        say(f"{program}, Ctrl-Z and fg: {came}.", "  ")
        harmed.append(bool(came.gaps))
    if shutil.which("strace"):
        print(f"\nOnce more under strace: the call that was interrupted, and what {program} did next")
        with under_strace():
            came = through_relay(argv, Program.suspend_and_resume, "network,read,write,select,pselect6", short_call)
            say(f"{program}: {came}.", "  ")
            excerpt(came.trace)
    print()
    say(f"{program}: harm was done in {sum(harmed)} of {len(harmed)} rounds.")
    if not innocent:
        say("But a control was harmed as well, so nothing is shown.")
        return NOT_SHOWN
    if any(harmed):
        say(explanation)
    return SHOWN if any(harmed) else NOT_SHOWN


@contextlib.contextmanager
def under_strace():
    """strace slows a program down and may keep the fault from happening. What it adds is welcome, not needed."""
    try:
        yield
    except Unclear as reason:
        say(f"This round says nothing: {reason}.", "  ")


def run(main):
    """Leaves with the status that `main` returns. A round that says nothing is not a fault shown."""
    try:
        sys.exit(main())
    except Unclear as reason:
        say(f"Not shown: {reason}.")
        sys.exit(NOT_SHOWN)


# ---- saying it -------------------------------------------------------------------------------------------------------

def say(text="", indent=""):
    """A paragraph, wrapped at words."""
    text = " ".join(text.split())
    print(textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False))


def number(n):
    return f"{n:,}"


def told(found):
    """A list of gaps in a sentence."""
    if not found:
        return "every byte came, in order"
    if len(found) == 3 and None not in [gap[2] for gap in found] and sum(gap[2] for gap in found) == 0 > found[1][2]:
        return (f"all came, but out of order: the {number(found[0][2])} bytes from offset {number(found[0][0])} came "
                f"after the {number(found[2][2])} that belong behind them")
    parts = []
    for first, last, missing in found[:3]:
        where = number(first) if first == last else f"{number(first)} (or up to {last - first} bytes later)"
        if missing is None:
            parts.append(f"from offset {where} on, what came is not what was sent")
        elif missing < 0:
            parts.append(f"{number(-missing)} bytes came twice at offset {where}")
        else:
            parts.append(f"{number(missing)} bytes are missing at offset {where}")
    more = f", and {len(found) - 3} gaps more" if len(found) > 3 else ""
    return "; ".join(parts) + more


def excerpt(lines, indent="    "):
    for line in lines:
        print(indent + line[:160])


def arguments(description, rounds, choices=None):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, metavar="N", help=f"how often ({rounds} if not said)")
    if choices:
        parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=", ".join(choices) + "; all if not said")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error("--rounds wants at least 1")
    if choices and (wrong := [p for p in given.programs if p not in choices]):
        parser.error(f"no such program here: {' '.join(wrong)}; there are {', '.join(choices)}")
    return given
