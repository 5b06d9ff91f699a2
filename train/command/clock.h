/* The clock that runs and benchmarks are timed by. */
#ifndef MT_COMMAND_CLOCK_H
#define MT_COMMAND_CLOCK_H

/* Seconds since some moment in the past; never set back. */
double clock_seconds(void);

#endif
