/* One file of token ids: which it is of the names that it may have, and of which format. */
#include "io/token_ids_file.h"

#include "io/file_kind.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void mt_ids_close_file(mt_ids_file *file)
{
    mt_ids_unmap(file);
    if (file->descriptor >= 0) {
        close(file->descriptor);
    }
    mt_archive_discard(file->archive);
    file->descriptor = -1;
    file->archive = NULL;
}

void mt_ids_free_file(mt_ids_file *file)
{
    mt_ids_close_file(file);
    free(file->path);
    free(file->index);
    free(file->starts);
    free(file->group);
    free(file->dataset);
}

static bool begins(const mt_ids_head *head, const char *bytes, size_t size)
{
    return head->size >= size && memcmp(head->bytes, bytes, size) == 0;
}

/* Other programs' files of texts or of ids. */
static const struct {
    const char *begins;
    size_t length;
    const char *is;
} tables[] = {
    {"ARROW1", 6, "an Arrow file"},
    {"PAR1", 4, "a Parquet file"},
    {"\xFF\xFF\xFF\xFF", 4, "an Arrow file, as Hugging Face's data sets are"},
};

static mt_status refuse_table(const mt_ids_file *file, const mt_ids_head *head)
{
    size_t count = sizeof tables / sizeof *tables;
    for (size_t i = 0; i < count; i++) {
        if (begins(head, tables[i].begins, tables[i].length)) {
            return mt_fail(MT_ERROR_FORMAT,
                           "%s: not token ids, but %s (in Python: numpy.save of its ids; of its "
                           "texts `mixtape tokenize` makes ids)",
                           file->path, tables[i].is);
        }
    }
    return MT_OK;
}

enum { PICKLE = 0x80 }; /* what one begins with */

/* The ids 640 and 896 begin as a pickle does, which has a full stop at its end. */
static bool is_pickle(const mt_ids_file *file, const mt_ids_head *head)
{
    enum { FRAME = 0x95, OLDEST = 2, FRAMED = 4, NEWEST = 5 };
    const unsigned char *bytes = head->bytes;
    bool begins_so = bytes[0] == PICKLE && bytes[1] >= OLDEST && bytes[1] <= NEWEST &&
                     (bytes[1] < FRAMED || bytes[2] == FRAME);
    char last;
    return begins_so &&
           mt_ids_read_bytes(file->path, file->descriptor, file->bytes - 1, &last, 1) == MT_OK &&
           last == '.';
}

/* Refuses what is told by its bytes to be anything but ids. */
static mt_status refuse_other(const mt_ids_file *file, const mt_ids_head *head, bool is_bin)
{
    enum { TELLING = 64 }; /* bytes: a few ids may happen to be letters */
    if (is_bin && file->bytes < TELLING) {
        return MT_OK;
    }
    if (is_pickle(file, head)) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: not token ids, but a pickle (in Python: numpy.save of its ids)",
                       file->path);
    }
    if (mt_file_is_text((const char *)head->bytes, head->size)) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: not token ids, but %s (`mixtape tokenize` makes ids of text)",
                       file->path, head->bytes[0] == '{' ? "JSON text" : "text");
    }
    mt_status status = is_bin ? MT_OK : refuse_table(file, head);
    bool is_asked = status == MT_OK && head->bytes[0] != PICKLE; /* which is told above */
    return is_asked ? mt_file_check_kind(file->path, "token ids") : status;
}

/* What is none of the formats that tell of themselves: ids alone, or something else. */
static mt_status open_untold(mt_ids_file *file, const mt_ids_head *head, mt_ids_raw raw)
{
    bool is_bin = mt_ids_has_suffix(file->path, ".bin");
    if (mt_ids_has_suffix(file->path, ".npz")) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: an archive of arrays (numpy.save writes the one of ids alone)",
                       file->path);
    }
    mt_status status = refuse_other(file, head, is_bin);
    if (status == MT_OK && !is_bin && raw == MT_IDS_UNSAID) {
        status = mt_fail(MT_ERROR_FORMAT,
                         "%s: not token ids that are known: .npy, .bin, .bin with .idx, or HDF5 "
                         "(--ids-type says of other files that they are integers alone)",
                         file->path);
    }
    return status == MT_OK ? mt_ids_open_raw(file, raw) : status;
}

/* `object`: of an HDF5 file, or NULL. */
static mt_status open_told(mt_ids_file *file, const char *object, mt_ids_raw raw)
{
    mt_ids_head head = {.size = file->bytes < MT_IDS_HEAD ? (size_t)file->bytes : MT_IDS_HEAD};
    mt_status status = mt_ids_read_bytes(file->path, file->descriptor, 0, head.bytes, head.size);
    if (status != MT_OK) {
        return status;
    }
    if (begins(&head, "\x89HDF\r\n\x1a\n", 8) || object != NULL ||
        mt_ids_has_suffix(file->path, ".h5") || mt_ids_has_suffix(file->path, ".hdf5")) {
        return mt_ids_open_hdf5(file, object);
    }
    if (begins(&head, "\x93NUMPY", 6)) {
        return mt_ids_open_npy(file, &head);
    }
    return mt_ids_is_llmc(&head) ? mt_ids_open_llmc(file, &head) : open_untold(file, &head, raw);
}

/* The name of an index's .bin, of the index, or what they begin with: all three are told by an .idx
 * that is there. */
static mt_status find_index(mt_ids_file *file)
{
    bool is_one = mt_ids_has_suffix(file->path, ".idx") || mt_ids_has_suffix(file->path, ".bin") ||
                  !mt_ids_is_there(file->path);
    if (!is_one) {
        return MT_OK;
    }
    char *index = mt_ids_beside(file->path, ".idx"), *bin = mt_ids_beside(file->path, ".bin");
    bool is_lost = index == NULL || bin == NULL, is_there = !is_lost && mt_ids_is_there(index);
    if (is_there) {
        free(file->path);
        file->path = bin;
        file->index = index;
        return MT_OK;
    }
    free(index);
    free(bin);
    return is_lost ? mt_fail(MT_ERROR_MEMORY, "%s: no memory for a path", file->path) : MT_OK;
}

mt_status mt_ids_open_file(const char *path, mt_ids_raw raw, mt_ids_file *file)
{
    struct stat info;
    file->descriptor = -1;
    file->path = strdup(path);
    if (file->path == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its path", path);
    }
    const char *object = mt_ids_find_object(path);
    if (object != NULL) {
        file->path[object++ - path] = '\0';
    }
    mt_status status = object == NULL ? find_index(file) : MT_OK;
    const char *bare = mt_ids_find_bare_object(file->path);
    if (status == MT_OK && bare != NULL) {
        status = mt_fail(MT_ERROR_IO, "%s: no such file (a dataset is named FILE:/PATH: %.*s:/%s)",
                         path, (int)(bare - file->path), file->path, bare + 1);
    }
    if (status == MT_OK) {
        status = mt_ids_open_bytes(file->path, &file->descriptor, &file->bytes);
    }
    if (status == MT_OK && fstat(file->descriptor, &info) == 0) {
        file->device = info.st_dev;
        file->number = info.st_ino;
    }
    if (status == MT_OK) {
        status = file->index != NULL ? mt_ids_open_index(file) : open_told(file, object, raw);
    }
    return status;
}
