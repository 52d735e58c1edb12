"""One process of the application, its end, and what it says of itself."""
import os
import pathlib
import signal
import subprocess

from checks import Wrong


class Instance:
    def __init__(self, number, bootstrap, name, scratch, guarantee):
        self.number = number
        self.arguments = [bootstrap, name, f"{scratch}/state-{number}", guarantee]
        self.log = pathlib.Path(f"{scratch}/instance-{number}.log")
        self.process, self.began_at = None, 0

    def start(self):
        self.log.touch()
        self.began_at = self.log.stat().st_size
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1",
                 f"-Dorg.slf4j.simpleLogger.defaultLogLevel={os.environ.get('LOG_LEVEL', 'error')}", "-cp",
                 os.environ["STREAMS_CLASSPATH"], "Words", *self.arguments], stdin=subprocess.PIPE, stdout=log, stderr=log)

    def said(self, word):
        """The lines of this life that begin with the word."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            log.seek(self.began_at)
            return [line.strip() for line in log if line.split(maxsplit=1)[:1] == [word]]

    def tasks(self):
        """(active, standby), as it said last."""
        lines = self.said("tasks")
        return tuple(map(int, lines[-1].split()[1:])) if lines else (0, 0)

    def last(self):
        lines = self.log.read_text(errors="replace").splitlines()
        return " / ".join(lines[-3:])

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def check_alive(self):
        if self.process and self.process.poll() is not None:
            raise Wrong(f"instance {self.number} ended by itself with {self.process.returncode}: {self.last()}")

    def close(self):
        """In order; it has 60 s for that."""
        self.process.stdin.close()
        try:
            code = self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Wrong(f"instance {self.number} does not end: {self.last()}") from None
        self.process = None
        if code or not self.said("closed"):
            raise Wrong(f"instance {self.number} ended with {code}: {self.last()}")
