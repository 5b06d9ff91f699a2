/* What the tests of io share: a folder of their own, and files in it. */
#ifndef MT_TESTS_IO_TEST_IO_H
#define MT_TESTS_IO_TEST_IO_H

#include "io/file.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char test_folder[64];

static void folder_setup(void)
{
    snprintf(test_folder, sizeof test_folder, "/tmp/mixtape-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(test_folder));
}

static void folder_teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", test_folder);
    ck_assert_int_eq(system(command), 0);
}

/* "FOLDER/NAME", in static memory. */
static inline const char *in_folder(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", test_folder, name);
    return path;
}

static inline const char *file_of(const char *name, const char *bytes, size_t size)
{
    const char *path = in_folder(name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

#define TEXT_FILE(name, text) file_of(name, text, strlen(text))

static inline int files_in_folder(void)
{
    DIR *folder = opendir(test_folder);
    ck_assert_ptr_nonnull(folder);
    int count = -2; /* . and .. */
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

static inline void assert_message_has(const char *part)
{
    ck_assert_msg(strstr(mt_error_message(), part) != NULL, "'%s' not in '%s'", part,
                  mt_error_message());
}

#endif
