/* What the fuzzers share. Each is one reader: LLVMFuzzerTestOneInput gives it the bytes as a file,
 * and claims what must hold for any of them.
 *
 * With the preset `fuzz` libFuzzer makes the inputs; in other builds replay.c gives them the kept
 * ones. */
#ifndef MT_TESTS_FUZZ_H
#define MT_TESTS_FUZZ_H

#include <mixtape/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Ends the program, with the text and the library's message, where a claim does not hold. */
void fuzz_claim(bool holds, const char *claim);
#define CLAIM(condition) fuzz_claim(condition, #condition)

/* Tells if a call was successful. A failure must have a message: one line that can be shown on any
 * terminal. */
bool fuzz_done(mt_status status);

/* Makes the folder of the next two before it is needed: it is its maker who removes it. */
void fuzz_make_folder(void);

/* A path in a folder that goes away at the end, in memory; and a file there with these bytes. The
 * paths of both stay valid until the fourth that is asked for after them. */
const char *fuzz_path(const char *name);
const char *fuzz_file(const char *name, const uint8_t *bytes, size_t size);

#endif
