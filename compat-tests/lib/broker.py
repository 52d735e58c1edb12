"""A broker of a program's own, to be killed and started again; lib/broker.sh knows how to run one."""
import os
import pathlib
import signal
import subprocess

import wire
from checks import Wrong

COMPAT = pathlib.Path(__file__).resolve().parent.parent
LAUNCH = f'source "{COMPAT}/lib/common.sh"; source "{COMPAT}/lib/broker.sh"; broker_launch "$1" "$2"'


def free_port():
    return int(subprocess.run(["bash", "-c", f'source "{COMPAT}/lib/common.sh"; free_port'],
                              capture_output=True, text=True, check=True).stdout)


def tail(path):
    return "\n".join(pathlib.Path(path).read_text(errors="replace").splitlines()[-15:])


class Broker:
    def __init__(self, data, log, kind=None):
        """`kind` is tidewater or apache-kafka; default: what the run is about."""
        self.data, self.log = data, log
        self.environment = os.environ | ({"BROKER": kind} if kind else {})
        self.bootstrap = f"127.0.0.1:{free_port()}"
        self.process = None

    def launch(self):
        port = self.bootstrap.split(":")[1]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["bash", "-c", LAUNCH, "launch", self.data, port], stdout=log, stderr=log,
                                            env=self.environment)

    def start(self):
        self.launch()
        self.ready()

    def ready(self):
        try:
            wire.ready(self.bootstrap, 60)
        except wire.Wrong as wrong:
            raise Wrong(f"{wrong}; the end of its log:\n{tail(self.log)}") from wrong

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def check_alive(self):
        if self.process.poll() is not None:
            raise Wrong(f"the broker ended by itself with {self.process.returncode}:\n{tail(self.log)}")
