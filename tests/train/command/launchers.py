"""What tests of several processes share: whether there is MPI, what Open MPI is told, and ports."""

import os
import shutil
import socket

MPIRUN = shutil.which("mpirun")
HAS_MPI = MPIRUN and os.path.exists(
    os.path.join(os.path.dirname(os.path.abspath(os.environ["MIXTAPE"])), "libmixtape_mpi.so"))
OF_OPEN_MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
               "OMPI_MCA_plm_rsh_agent": "", "OMPI_MCA_rmaps_base_oversubscribe": "1",
               "OMPI_MCA_btl": "self,vader", "OMPI_MCA_hwloc_base_binding_policy": "none"}


def free_ports(count):
    """Ports of this machine that nobody listens at, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [made.getsockname()[1] for made in sockets]
    for made in sockets:
        made.close()
    return ports
