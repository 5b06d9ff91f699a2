/* The processors that this process may use. Internal. */
#ifndef MT_KERNELS_CPU_CORES_H
#define MT_KERNELS_CPU_CORES_H

/* How many threads serve this process, at least 1: OMP_NUM_THREADS where that is set, as other
 * numerical software takes it; else the processors that the process is bound to, or fewer where its
 * control group has a quota of less. Found out once. */
int mt_cpu_cores(void);

/* The processors' worth of time that control groups allow this process, the least of its own group
 * and those around it; 0 without a limit. `root` is put before the paths /proc and /sys. */
double mt_cgroup_cores(const char *root);

#endif
