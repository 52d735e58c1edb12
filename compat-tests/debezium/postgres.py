"""A PostgreSQL of a program's own, with logical decoding."""
import os
import pathlib
import subprocess

from broker import free_port
from checks import Wrong

# It refuses to run as root.
AS_POSTGRES = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []


class Postgres:
    def __init__(self, scratch):
        self.port = free_port()
        self.home = pathlib.Path(scratch) / "postgres"
        self.home.mkdir()
        if AS_POSTGRES:
            os.chmod(scratch, 0o711)
            subprocess.run(["chown", "postgres", str(self.home)], check=True)
        self.session = None

    def command(self, program, *arguments):
        done = subprocess.run([*AS_POSTGRES, f"{os.environ['POSTGRES_BIN']}/{program}", *arguments], cwd="/", stdin=subprocess.DEVNULL,
                              stdout=open(f"{self.home}.out", "ab"), stderr=subprocess.STDOUT, timeout=60, check=False)
        if done.returncode:
            raise Wrong(f"{program}: {pathlib.Path(f'{self.home}.out').read_text()[-500:]}")

    def start(self):
        self.command("initdb", "-D", f"{self.home}/data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        options = (f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c wal_level=logical "
                   "-c fsync=off -c max_connections=20")
        self.command("pg_ctl", "-D", f"{self.home}/data", "-w", "-l", f"{self.home}/log", "-o", options, "start")
        self.session = subprocess.Popen(self.psql("-q"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def psql(self, *options):
        return ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", *options, "postgres"]

    def run(self, statements):
        """In the one session; they are done when this returns."""
        self.session.stdin.write("".join(f"{statement};\n" for statement in statements) + "\\echo done\n")
        self.session.stdin.flush()
        if self.session.stdout.readline() != "done\n":
            raise Wrong("psql ended by itself")

    def rows(self, query):
        return subprocess.run(self.psql("-At", "-c", query), capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()

    def stop(self):
        if self.session:
            self.session.stdin.close()
            self.session.wait(30)
            self.session = None
        if (self.home / "data/postmaster.pid").exists():
            self.command("pg_ctl", "-D", f"{self.home}/data", "-w", "-m", "immediate", "stop")
