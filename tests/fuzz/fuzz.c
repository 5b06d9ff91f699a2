#include "tests/fuzz/fuzz.h"

#include "io/utf8.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* HDF5 itself loses memory when it opens a damaged file. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5\n";
}

/* Small inputs need no more memory. Stacks are shown once they are asked for (fuzz.py). */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "symbolize=0:allocator_may_return_null=1:max_allocation_size_mb=256";
}

static char folder[64];

void fuzz_claim(bool holds, const char *claim)
{
    if (!holds) {
        fprintf(stderr, "it does not hold that %s\nthe message is: %s\n", claim,
                mt_error_message());
        abort();
    }
}

static bool is_shown_anywhere(const char *message)
{
    bool shown = *mt_utf8_end(message) == '\0';
    for (const char *at = message; *at != '\0' && shown; at++) {
        unsigned char byte = (unsigned char)*at, next = (unsigned char)at[1];
        shown = byte >= ' ' && byte != 0x7F && !(byte == 0xC2 && next < 0xA0); /* C0, DEL, C1 */
    }
    return shown;
}

/* libhdf5 asks for whatever a damaged file says, and is refused it. */
static bool is_said_by_hdf5(const char *message)
{
    return strstr(message, "HDF5") != NULL;
}

bool fuzz_done(mt_status status)
{
    if (status != MT_OK) {
        fuzz_claim(mt_error_message()[0] != '\0', "a failure has a message");
        fuzz_claim(status != MT_ERROR_MEMORY || is_said_by_hdf5(mt_error_message()),
                   "a small input needs little memory");
        fuzz_claim(is_shown_anywhere(mt_error_message()), "a message is one line of plain text");
    }
    return status == MT_OK;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

void fuzz_make_folder(void)
{
    if (folder[0] == '\0') {
        strcpy(folder, "/dev/shm/mixtape-fuzz-XXXXXX");
        fuzz_claim(mkdtemp(folder) != NULL && atexit(remove_folder) == 0, "a folder can be made");
    }
}

const char *fuzz_path(const char *name)
{
    enum { KEPT = 4 };
    static char paths[KEPT][128];
    static unsigned next;
    fuzz_make_folder();
    char *path = paths[next++ % KEPT];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

const char *fuzz_file(const char *name, const uint8_t *bytes, size_t size)
{
    const char *path = fuzz_path(name);
    FILE *file = fopen(path, "wb");
    bool written = file != NULL && fwrite(bytes, 1, size, file) == size;
    fuzz_claim(file != NULL && fclose(file) == 0 && written, "a file can be written");
    return path;
}
