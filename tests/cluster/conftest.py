"""A real SLURM cluster of two nodes on this machine: Debian's munged, slurmctld and slurmd as plain processes."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster.pilots import Pilots

NODES = ("n1", "n2")
DAEMONS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "salloc", "scancel", "sinfo", "squeue")
# the names n1 and n2 resolve nowhere: SLURM alone knows their addresses, as on some clusters
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# a requeued job starts no earlier than its credential ends
AuthInfo=socket={folder}/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=60
# a requeued job waits no longer than it must; SLURM's own interval is a minute
SchedulerParameters=sched_interval=1,bf_interval=1
# a job for `urgent` puts those of `main` back into the queue
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# no device behind it: what SLURM makes of --gpus needs none
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10
"""


@dataclass
class Cluster:
    """Two nodes of one CPU each; `environment` makes the commands of SLURM talk to it."""

    folder: Path
    environment: dict[str, str]
    _daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Start the daemons and wait until both nodes are idle."""
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        ports = free_ports(1 + len(NODES))
        nodes = [
            f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs=1 Gres=gpu:1 "
            "State=UNKNOWN"
            for name, port in zip(NODES, ports[1:], strict=True)
        ]
        config = CONFIG.format(
            host=socket.gethostname(), controller_port=ports[0], user=getpass.getuser(), folder=self.folder,
            nodes="\n".join(nodes),
        )  # fmt: skip
        (self.folder / "slurm.conf").write_text(config)
        (self.folder / "gres.conf").write_text("".join(f"NodeName={name} Name=gpu File=/dev/null\n" for name in NODES))
        names = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self._daemon("munged", "--foreground", "--force", *(f"--{o}={self.folder}/munge.{n}" for o, n in names.items()))
        wait_for((self.folder / "munge.socket").exists, self.said)
        self._daemon("slurmctld", "-D", "-c")
        for name in NODES:
            (self.folder / name).mkdir()
            self._daemon("slurmd", "-D", "-N", name)
        states = ("sinfo", "-h", "-N", "-p", "main", "-o", "%T")
        wait_for(lambda: self.shell(*states).stdout.split() == ["idle"] * len(NODES), self.said)

    def stop(self) -> None:
        """End the jobs and every process of the cluster; a daemon that does not go is killed."""
        self.shell("scancel", "--full", "--state=RUNNING")
        self.shell("scancel", "--state=PENDING")
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def shell(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of SLURM to its end, `environment` added."""
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=300, env={**self.environment, **environment}
        )

    def popen(self, *command: str, log: Path, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command of SLURM; `log` receives what it says."""
        with log.open("wb") as file:
            return subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env={**self.environment, **environment}
            )

    def said(self) -> str:
        """The ends of the daemons' logs."""
        logs = [*self.folder.glob("*.log"), *self.folder.glob("*.err")]
        return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in logs)

    def _daemon(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}-{len(self._daemons)}.err").open("wb") as err:
            # a session of its own: Ctrl-C of pytest reaches `stop` first
            daemon = subprocess.Popen(
                [which(name), *arguments], stdout=err, stderr=err, env=self.environment, start_new_session=True
            )
        self._daemons.append(daemon)


def which(name: str) -> str:
    """The path of a daemon, which Debian keeps out of the PATH of plain users."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"needs SLURM's {name}: apt-get install slurm-wlm munge")
    return found


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_for(condition: Callable[[], bool], said: Callable[[], str], seconds: float = 60.0) -> None:
    """Wait until `condition` holds; what `said` gives explains a vain wait."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.1)


def without_slurm(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which no job of another cluster shows."""
    return {name: value for name, value in environment.items() if not name.startswith(("SLURM", "SBATCH", "SRUN"))}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One cluster for the tests of this process; its ports and folder are its own, so that others may run beside it."""
    for name in DAEMONS:
        which(name)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: a socket's path has 107 letters at most
    folder.chmod(0o755)
    made = Cluster(folder, {**without_slurm(os.environ), "SLURM_CONF": str(folder / "slurm.conf")})
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def pilots(cluster: Cluster, tmp_path: Path) -> Callable[[str], Pilots]:
    """Makes a sweep of the text of its file."""
    return lambda sweep: Pilots(cluster, tmp_path, sweep)
