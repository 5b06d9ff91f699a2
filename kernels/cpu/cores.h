/* The processors that this process may use. Internal. */
#ifndef MT_KERNELS_CPU_CORES_H
#define MT_KERNELS_CPU_CORES_H

/* How many threads serve this process, at least 1: OMP_NUM_THREADS where that is set, as other
 * numerical software takes it; else the processors that the process is bound to, or fewer where its
 * control group has a quota of less. Found out once. */
int mt_cpu_cores(void);

/* Has mt_cpu_cores tell this process's share from now on, where `processes` of one machine may use
 * `processors` together: of those, or of a quota of less, and of what it is bound to itself. An
 * OMP_NUM_THREADS is as before. */
void mt_cpu_share_cores(int processors, int processes);

/* The processors' worth of time that control groups allow this process, the least of its own group
 * and those around it; 0 without a limit. `root` is put before the paths /proc and /sys. */
double mt_cgroup_cores(const char *root);

#endif
