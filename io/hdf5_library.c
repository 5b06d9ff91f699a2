#include "io/hdf5_library.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { OBJECT_TEXT = 384 };

/* What the program itself had set, while anybody uses HDF5. */
static struct {
    int users;
    H5E_auto2_t print;
    void *data;
    unsigned plugins;
} former;

mt_status mt_hdf5_begin(const char *path)
{
    bool begun = former.users++ > 0 ||
                 (H5Eget_auto2(H5E_DEFAULT, &former.print, &former.data) >= 0 &&
                  H5Eset_auto2(H5E_DEFAULT, NULL, NULL) >= 0 &&
                  H5PLget_loading_state(&former.plugins) >= 0 && H5PLset_loading_state(0) >= 0);
    return begun ? MT_OK : mt_fail(MT_ERROR_MEMORY, "%s: no memory for HDF5's library", path);
}

void mt_hdf5_end(void)
{
    if (--former.users == 0) {
        H5Eset_auto2(H5E_DEFAULT, former.print, former.data);
        H5PLset_loading_state(former.plugins);
    }
}

hid_t mt_hdf5_type(mt_dtype dtype)
{
    return dtype == MT_F32   ? H5T_NATIVE_FLOAT
           : dtype == MT_F64 ? H5T_NATIVE_DOUBLE
                             : H5T_NATIVE_INT32;
}

hid_t mt_hdf5_select_rows(hid_t dataset, int64_t first, int64_t rows, hid_t *in_memory)
{
    hsize_t dims[H5S_MAX_RANK], start[H5S_MAX_RANK] = {(hsize_t)first};
    hid_t space = H5Dget_space(dataset);
    int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    if (rank > 0) {
        dims[0] = (hsize_t)rows;
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, dims, NULL);
    }
    *in_memory = rank > 0 ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
    return space;
}

/* What HDF5 says, in a part of its words, and what that means for whoever has the file. */
static const struct meaning {
    const char *said;
    mt_status status;
    const char *means;
} meanings[] = {
    {"already open for write", MT_ERROR_IO,
     "another program has it open for writing, or was ended while it had (h5clear -s makes such a "
     "file readable again)"},
    {"unable to lock file", MT_ERROR_IO,
     "another program has locked it, or its file system has no locks"},
    {"signature not found", MT_ERROR_FORMAT, "not an HDF5 file"},
    {"superblock version", MT_ERROR_FORMAT, "a newer HDF5 wrote it"},
    {"truncated file", MT_ERROR_FORMAT, "it was cut short"},
    {"checksum", MT_ERROR_FORMAT, "damaged"},
    {"filter returned failure", MT_ERROR_FORMAT, "damaged"}, /* that is all that 1.14 says of it */
    {"memory allocation", MT_ERROR_MEMORY, "no memory"},
    {"resource allocation", MT_ERROR_MEMORY, "no memory"},
    {"H5MM_", MT_ERROR_MEMORY, "no memory"}, /* its functions that allocate */
    {"file read failed: time", MT_ERROR_IO, "it cannot be read"},
    {"unable to open file: name", MT_ERROR_IO, "it cannot be opened"},
    {"not a dataset", MT_ERROR_FORMAT, "not a dataset"},
};
enum { MEANINGS = sizeof meanings / sizeof *meanings };

/* The failure as HDF5 tells it: the place where it began, and the first place that means
 * something. */
typedef struct failure {
    char reason[256];
    const struct meaning *meaning;
} failure;

static herr_t look_at(unsigned n, const H5E_error2_t *error, void *context)
{
    failure *found = context;
    if (n == 0) {
        snprintf(found->reason, sizeof found->reason, "%s", error->desc);
    }
    for (int i = 0; i < MEANINGS && found->meaning == NULL; i++) {
        if (strstr(error->desc, meanings[i].said) != NULL) {
            found->meaning = &meanings[i];
        }
    }
    return 0;
}

/* "..., errno = 5, error message = 'Input/output error', ...": the system's word is enough. */
static void keep_system_error(char *reason)
{
    static const char before[] = "error message = '";
    char *word = strstr(reason, before);
    if (word != NULL) {
        word += sizeof before - 1;
        size_t length = strcspn(word, "'");
        memmove(reason, word, length);
        reason[length] = '\0';
    }
}

mt_status mt_hdf5_fail(const char *path, const char *format, ...)
{
    char object[OBJECT_TEXT];
    failure found = {"no reason given", NULL};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(object, sizeof object, format, arguments);
    va_end(arguments);
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, look_at, &found);
    keep_system_error(found.reason);
    const char *means = found.meaning != NULL ? found.meaning->means : "HDF5 cannot read it";
    mt_status status = found.meaning != NULL ? found.meaning->status : MT_ERROR_FORMAT;
    return mt_fail(status, "%s: %s: %s (HDF5 %d.%d.%d: %s)", path, object, means, H5_VERS_MAJOR,
                   H5_VERS_MINOR, H5_VERS_RELEASE, found.reason);
}

const char *mt_hdf5_join(char path[MT_PATH_IN_FILE], const char *group, const char *name)
{
    snprintf(path, MT_PATH_IN_FILE, "%s%s%s", group, group[1] == '\0' ? "" : "/", name);
    return path;
}
