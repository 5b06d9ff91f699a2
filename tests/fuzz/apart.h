/* HDF5 is fuzzed in children: libhdf5 crashes on one crafted file in some hundred, which is no
 * finding, since the command reads in a child, too. */
#ifndef MT_TESTS_FUZZ_APART_H
#define MT_TESTS_FUZZ_APART_H

#include <stddef.h>
#include <stdint.h>

/* Gives bytes to a function, in a child where they are HDF5: what it executes counts as if this
 * process did. Where the child ends within libhdf5, or is at work there when its second of the
 * processor is over, that is all; where it ends otherwise, this process does the same, for
 * libFuzzer to see. */
void fuzz_apart(void (*take)(const uint8_t *bytes, size_t size), const uint8_t *bytes, size_t size);

#endif
