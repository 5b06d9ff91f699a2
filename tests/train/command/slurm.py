"""A Slurm of this machine alone, for tests: its daemons run as this user, on ports of their own,
with all that they write in one folder."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from launchers import free_ports

DAEMONS = "munged", "slurmctld", "slurmd"
PROCESSORS = 8  # that Slurm is told of, whatever there are
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthInfo=socket={folder}/munge/socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MailProg=/bin/true
KillWait=60
NodeName={host} NodeAddr=127.0.0.1 CPUs={processors} State=UNKNOWN
PartitionName=tests Nodes={host} Default=YES State=UP
"""


def missing():
    """The programs that are not here."""
    paths = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return [name for name in (*DAEMONS, "srun", "sinfo") if not shutil.which(name, path=paths)]


class Slurm:
    """Runs until it is closed; `environment` has what srun is to be told. Where the daemons do not
    begin, as in some containers, the test is skipped with what they say."""

    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="slurm", dir="/tmp")
        self.folder = self.temporary.name
        self.daemons = []
        self.environment = {"SLURM_CONF": os.path.join(self.folder, "slurm.conf"),
                            "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        try:
            self.begin()
        except BaseException:
            self.close()
            raise

    def begin(self):
        munge = os.path.join(self.folder, "munge")
        for name in "munge", "state", "spool":
            os.mkdir(os.path.join(self.folder, name), 0o700)
        with open(os.path.join(self.folder, "key"), "wb", opener=lambda path, flags: os.open(
                path, flags, 0o400)) as key:
            key.write(os.urandom(1024))
        controller, node = free_ports(2)
        with open(self.environment["SLURM_CONF"], "w") as file:
            file.write(CONFIGURATION.format(
                folder=self.folder, host=socket.gethostname().split(".")[0],
                user=pwd.getpwuid(os.getuid()).pw_name, processors=PROCESSORS,
                controller=controller, node=node))
        self.start("munged", "--foreground", "--force", f"--key-file={self.folder}/key",
                   f"--socket={munge}/socket", f"--pid-file={munge}/pid",
                   f"--seed-file={munge}/seed", f"--log-file={munge}/log")
        self.wait_until(lambda: os.path.exists(f"{munge}/socket"))
        self.start("slurmctld", "-D", "-i")
        self.start("slurmd", "-D")
        self.wait_until(lambda: b"idle" in self.run("sinfo", "-h").stdout)

    def run(self, *command):
        return subprocess.run(command, env=self.environment, capture_output=True, timeout=60,
                              check=False)

    def start(self, name, *options):
        with open(os.path.join(self.folder, name + ".words"), "w") as words:
            self.daemons.append(subprocess.Popen([name, *options], env=self.environment,
                                                 stdout=words, stderr=words))

    def wait_until(self, holds, seconds=60):
        end = time.monotonic() + seconds
        while not holds():
            ended = [process.args[0] for process in self.daemons if process.poll() is not None]
            if ended or time.monotonic() > end:
                raise unittest.SkipTest(f"Slurm does not begin ({ended}): {self.words()}")
            time.sleep(0.2)

    def words(self):
        """The last that each daemon said."""
        said = []
        for name in os.listdir(self.folder):
            if name.endswith((".words", ".log")):
                with open(os.path.join(self.folder, name)) as file:
                    said.append(name + ": " + file.read()[-500:])
        return "\n".join(said)

    def close(self):
        for process in reversed(self.daemons):
            process.terminate()
        for process in self.daemons:
            process.wait(60)
        self.temporary.cleanup()
