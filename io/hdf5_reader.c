/* HDF5 files, opened and read: the one place that does. Nothing leads elsewhere (links, external
 * and virtual datasets), and whatever is opened or read is looked at first: its types are standard
 * ones, its filters are few, and its sizes are what a file of this length can hold. */
#include "io/hdf5_reader.h"
#include "io/file_kind.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

mt_status mt_hdf5_follow(const mt_hdf5_reader *reader, const char *path)
{
    char step[MT_PATH_IN_FILE];
    snprintf(step, sizeof step, "%s", path);
    for (char *end = step; *end != '\0';) {
        H5L_info_t info;
        end += 1 + strcspn(end + 1, "/");
        char kept = *end;
        *end = '\0';
        if (step[1] == '\0' || H5Lget_info(reader->file, step, &info, H5P_DEFAULT) < 0) {
            return MT_OK;
        }
        if (info.type != H5L_TYPE_HARD) {
            return mt_fail(MT_ERROR_FORMAT, "%s: %s: a link to somewhere else", reader->path, step);
        }
        *end = kept;
    }
    return MT_OK;
}

/* No filter runs where a group's names and attributes are read: nobody packs them. */
static mt_status check_group(const mt_hdf5_reader *reader, const char *group)
{
    hid_t opened = H5Gopen2(reader->file, group, H5P_DEFAULT);
    if (opened < 0) {
        return MT_OK; /* whoever asks for more of it is told why */
    }
    hid_t properties = H5Gget_create_plist(opened);
    int filters = H5Pget_nfilters(properties);
    mt_status status = filters < 0 ? mt_hdf5_fail(reader->path, "%s: its properties", group)
                       : filters == 0
                           ? MT_OK
                           : mt_fail(MT_ERROR_FORMAT, "%s: %s: %d filters, where a group has none",
                                     reader->path, group, filters);
    H5Pclose(properties);
    H5Gclose(opened);
    return status;
}

/* ---- names ---- */

/* Names of a group's objects, as they are found. */
typedef struct name_list {
    const mt_hdf5_reader *reader;
    mt_answer *answer;
    size_t capacity;
    mt_status status;
} name_list;

/* The names of a file are a part of it. */
static mt_status make_room(name_list *list, size_t size)
{
    mt_answer *answer = list->answer;
    const char *path = list->reader->path;
    size_t needed = answer->found_bytes + size, capacity = list->capacity;
    if (needed > (size_t)list->reader->size) {
        return mt_fail(MT_ERROR_FORMAT, "%s: more names than a file of %" PRId64 " bytes can have",
                       path, list->reader->size);
    }
    if (needed <= capacity) {
        return MT_OK;
    }
    capacity = needed > 2 * capacity ? needed : 2 * capacity;
    char *names = realloc(answer->found, capacity);
    if (names == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes of names", path, capacity);
    }
    answer->found = names;
    list->capacity = capacity;
    return MT_OK;
}

static herr_t list_link(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    name_list *list = context;
    size_t size = strlen(name) + 1;
    (void)group;
    list->status = info->type == H5L_TYPE_HARD
                       ? make_room(list, size)
                       : mt_fail(MT_ERROR_FORMAT, "%s: %.128s: a link to somewhere else",
                                 list->reader->path, name);
    if (list->status == MT_OK) {
        memcpy(list->answer->found + list->answer->found_bytes, name, size);
        list->answer->found_bytes += size;
    }
    return list->status == MT_OK ? 0 : 1;
}

/* HDF5 lists them in the order in which it finds them: where it is to sort the names of a damaged
 * group, it frees memory that it never had. */
static mt_status answer_names(const mt_hdf5_reader *reader, const mt_question *question,
                              mt_answer *answer)
{
    name_list list = {reader, answer, 0, MT_OK};
    if (H5Literate_by_name(reader->file, question->group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL,
                           list_link, &list, H5P_DEFAULT) < 0 &&
        list.status == MT_OK) {
        list.status = mt_hdf5_fail(reader->path, "%s: no group that can be read", question->group);
    }
    return list.status;
}

static mt_status answer_has_object(const mt_hdf5_reader *reader, const mt_question *question,
                                   mt_answer *answer)
{
    char path[MT_PATH_IN_FILE];
    htri_t found =
        H5Lexists(reader->file, mt_hdf5_join(path, question->group, question->name), H5P_DEFAULT);
    answer->whole = found > 0;
    return found >= 0 ? MT_OK : mt_hdf5_fail(reader->path, "%s", path);
}

/* ---- the reader ---- */

static mt_hdf5_answer *const answers[MT_ASKED] = {
    [MT_ASK_NAMES] = answer_names,
    [MT_ASK_HAS_OBJECT] = answer_has_object,
    [MT_ASK_HAS_ATTRIBUTE] = mt_hdf5_answer_has_attribute,
    [MT_ASK_SHAPE] = mt_hdf5_answer_shape,
    [MT_ASK_ROWS] = mt_hdf5_answer_rows,
    [MT_ASK_INT] = mt_hdf5_answer_int,
    [MT_ASK_REAL] = mt_hdf5_answer_real,
    [MT_ASK_TEXTS] = mt_hdf5_answer_texts,
};

/* HDF5 takes what it could not read, or had no memory for, as missing or damaged, in places, or
 * goes on and crashes later; the system's word is in errno, which was 0 before. */
static mt_status blame_system(const char *path, mt_status status)
{
    if (errno == ENOMEM && status != MT_ERROR_MEMORY) {
        status = mt_fail(MT_ERROR_MEMORY, "%s: HDF5's library had no memory to read it", path);
    } else if (errno == EIO && status == MT_ERROR_FORMAT) {
        status = mt_fail(MT_ERROR_IO, "%s: it cannot be read: %s", path, strerror(EIO));
    }
    return status;
}

/* Behind the end of a file that was cut while it was open HDF5 reads zeros, whose checksum is
 * right. */
static mt_status check_length(const mt_hdf5_reader *reader)
{
    int *file = NULL;
    struct stat info;
    bool known = H5Fget_vfd_handle(reader->file, H5P_DEFAULT, (void **)&file) >= 0 &&
                 fstat(*file, &info) == 0;
    return !known || (int64_t)info.st_size >= reader->size
               ? MT_OK
               : mt_fail(MT_ERROR_IO,
                         "%s: was cut from %" PRId64 " to %" PRId64 " bytes while it was read",
                         reader->path, reader->size, (int64_t)info.st_size);
}

static mt_status answer(mt_reader *base, const mt_question *question, mt_answer *answer)
{
    mt_hdf5_reader *reader = (mt_hdf5_reader *)base;
    *answer = (mt_answer){0};
    errno = 0;
    mt_status status = mt_hdf5_follow(reader, question->group);
    if (status == MT_OK) {
        status = check_group(reader, question->group);
    }
    if (status == MT_OK && question->asked == MT_ASK_ROWS) {
        mt_hdf5_keep(reader, question);
        status = mt_hdf5_check_chunks(reader, question);
    }
    if (status == MT_OK) {
        status = answers[question->asked](reader, question, answer);
    }
    mt_status cut = check_length(reader);
    status = cut == MT_OK ? blame_system(reader->path, status) : cut;
    if (status != MT_OK) {
        free(answer->found);
        *answer = (mt_answer){0};
    }
    return status;
}

static void close_reader(mt_reader *base)
{
    mt_hdf5_reader *reader = (mt_hdf5_reader *)base;
    if (reader->kept >= 0) {
        H5Dclose(reader->kept);
    }
    if (reader->file >= 0) {
        H5Fclose(reader->file);
    }
    mt_hdf5_end();
    free(reader);
}

/* Fails if it is not there, may not be read, or is no regular file: a pipe is not waited for. */
static mt_status find_size(const char *path, int64_t *size)
{
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    mt_status status =
        fstat(file, &info) != 0 ? mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno))
        : S_ISREG(info.st_mode) ? MT_OK
                                : mt_fail(MT_ERROR_IO, "%s: not a regular file", path);
    close(file);
    *size = status == MT_OK ? (int64_t)info.st_size : 0;
    return status;
}

/* Reading takes no lock: files are replaced by a new one that is renamed over them (io/file.h), and
 * some file systems have none. */
static mt_status open_hdf5(mt_hdf5_reader *reader)
{
    mt_status status = MT_OK;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (H5Pset_fapl_sec2(access) >= 0 && H5Pset_file_locking(access, false, true) >= 0) {
        reader->file = H5Fopen(reader->path, H5F_ACC_RDONLY, access);
    }
    if (reader->file < 0) {
        status = mt_file_check_kind(reader->path, "an HDF5 file");
        status = status == MT_OK ? mt_hdf5_fail(reader->path, "opening it") : status;
    }
    H5Pclose(access);
    return status;
}

mt_status mt_reader_open_here(const char *path, mt_reader **reader)
{
    *reader = NULL;
    mt_hdf5_reader *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, sizeof *made);
    }
    made->base = (mt_reader){answer, close_reader};
    made->file = made->kept = H5I_INVALID_HID;
    snprintf(made->path, sizeof made->path, "%s", path);
    errno = 0;
    mt_status status = mt_hdf5_begin(path);
    if (status == MT_OK) {
        status = find_size(path, &made->size);
    }
    if (status == MT_OK) {
        status = blame_system(path, open_hdf5(made));
    }
    if (status != MT_OK) {
        close_reader(&made->base);
        return status;
    }
    *reader = &made->base;
    return MT_OK;
}
