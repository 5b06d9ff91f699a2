#include "io/archive_internal.h"
#include "io/file.h"
#include "io/hdf5_crash.h"
#include "io/hdf5_library.h"
#include "io/hdf5_new_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mt_status mt_archive_keep(mt_archive *archive, mt_status status)
{
    if (status != MT_OK && archive->status == MT_OK) {
        archive->status = status;
        snprintf(archive->error, sizeof archive->error, "%s", mt_error_message());
    }
    return archive->status;
}

mt_status mt_archive_fail(mt_archive *archive, const char *object, const char *format, ...)
{
    char text[384];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return mt_archive_keep(archive,
                           mt_fail(MT_ERROR_FORMAT, "%s: %s: %s", archive->path, object, text));
}

void mt_archive_lacks_memory(mt_archive *archive, const char *object)
{
    mt_hdf5_lacks_memory = true;
    mt_archive_keep(
        archive, mt_fail(MT_ERROR_MEMORY, "%s: %s: no memory to write it", archive->path, object));
}

bool mt_archive_can_go_on(mt_archive *archive)
{
    if (archive->status == MT_OK && errno == ENOMEM) {
        mt_archive_lacks_memory(archive, "HDF5's library");
    }
    return archive->status == MT_OK;
}

mt_status mt_archive_status(const mt_archive *archive)
{
    return archive->status == MT_OK ? MT_OK : mt_fail(archive->status, "%s", archive->error);
}

mt_status mt_archive_new(const char *path, mt_archive **archive)
{
    *archive = calloc(1, sizeof **archive);
    if (*archive == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, sizeof **archive);
    }
    (*archive)->chunks = (*archive)->own;
    snprintf((*archive)->path, sizeof(*archive)->path, "%s", path);
    (*archive)->file = (*archive)->array.dataset = (*archive)->driver = H5I_INVALID_HID;
    return MT_OK;
}

void mt_archive_end_array(mt_archive *archive)
{
    if (archive->array.dataset >= 0 && H5Dclose(archive->array.dataset) < 0) {
        mt_archive_lacks_memory(archive, "an array");
    }
    archive->array.dataset = H5I_INVALID_HID;
}

void mt_archive_discard(mt_archive *archive)
{
    if (archive == NULL) {
        return;
    }
    mt_archive_end_array(archive);
    if (archive->file >= 0) {
        H5Fclose(archive->file);
    }
    if (archive->reader != NULL) {
        archive->reader->close(archive->reader);
    } else {
        if (archive->driver >= 0) {
            H5FDunregister(archive->driver);
        }
        mt_hdf5_end();
        mt_hdf5_makes = mt_hdf5_new_file = NULL;
    }
    mt_file_discard(archive->target);
    mt_chunks_free(&archive->own[0]);
    mt_chunks_free(&archive->own[1]);
    free(archive);
}

/* In the file format of HDF5 1.10, in which whatever leads to the values has a checksum: in older
 * ones the index of a dataset's chunks has none, and one wrong byte there makes HDF5 return fill
 * values, or another dataset's chunk. Nothing in it has a time: the same model gives the same
 * bytes. */
static hid_t create_file(mt_archive *archive)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
    hid_t file = H5I_INVALID_HID;
    if (mt_hdf5_write_to(access, archive) >= 0 &&
        H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 &&
        H5Pset_alignment(access, MT_FILE_LARGE, MT_FILE_BLOCK) >= 0 &&
        H5Pset_attr_phase_change(creation, 0, 0) >= 0 &&
        H5Pset_obj_track_times(creation, false) >= 0) {
        /* A name that no file can have: HDF5 looks at what a link leads to. */
        file = H5Fcreate("/dev/null/new", H5F_ACC_TRUNC, creation, access);
    }
    H5Pclose(access);
    H5Pclose(creation);
    return file;
}

mt_status mt_archive_create(const char *path, mt_archive **archive)
{
    *archive = NULL;
    if (mt_is_safetensors(path)) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s: Mixtape's own files are HDF5, by another name, as .h5 (`mixtape "
                       "export` writes .safetensors)",
                       path);
    }
    if (mt_is_pickle(path)) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s: this file is HDF5, not PyTorch's; give it another name (mixtape-to-pth "
                       "translates it)",
                       path);
    }
    mt_status status = mt_archive_new(path, archive);
    if (status != MT_OK) {
        return status;
    }
    mt_hdf5_makes = (*archive)->path;
    mt_hdf5_lacks_memory = false;
    errno = 0;
    status = mt_hdf5_begin(path);
    if (status == MT_OK) {
        status = mt_file_begin(path, &(*archive)->target);
    }
    if (status == MT_OK) {
        mt_hdf5_new_file = mt_file_beside((*archive)->target);
        errno = 0;
        (*archive)->file = create_file(*archive);
        status = (*archive)->status;
    }
    if (status == MT_OK && (*archive)->file < 0) {
        status = mt_fail(MT_ERROR_MEMORY, "%s: HDF5 has no memory to make a file", path);
    }
    if (status != MT_OK) {
        mt_archive_discard(*archive);
        *archive = NULL;
    }
    return status;
}

/* The file's length: the end-of-file address in its superblock, at byte 28 of versions 2 and 3
 * (HDF5 File Format Specification, II.A). */
static mt_status find_length(const mt_archive *archive, uint64_t *length)
{
    enum { END_OF_FILE = 28 };
    unsigned char bytes[8];
    mt_status status = mt_file_find(archive->target, END_OF_FILE, bytes, sizeof bytes);
    *length = 0;
    for (int i = 7; i >= 0; i--) {
        *length = *length << 8 | bytes[i];
    }
    return status;
}

static mt_status commit(mt_archive *archive)
{
    hsize_t size = 0;
    uint64_t length = 0;
    if (H5Fflush(archive->file, H5F_SCOPE_GLOBAL) < 0) {
        mt_archive_lacks_memory(archive, "the file");
    }
    bool whole = mt_archive_can_go_on(archive) && H5Fget_filesize(archive->file, &size) >= 0;
    whole = H5Fclose(archive->file) >= 0 && whole;
    archive->file = H5I_INVALID_HID;
    mt_status status = archive->status;
    if (status == MT_OK) {
        status = find_length(archive, &length);
    }
    if (status == MT_OK && (!whole || length > size)) {
        status = mt_fail(MT_ERROR_MEMORY, "%s: no memory for the file", archive->path);
    }
    if (status == MT_OK && archive->saver != NULL) {
        mt_saver_begin(archive->saver, archive->target, length);
        archive->target = NULL;
        return MT_OK;
    }
    return status == MT_OK ? mt_file_end(archive->target, length) : status;
}

void mt_archive_save_by(mt_archive *archive, mt_saver *saver)
{
    archive->saver = saver;
    archive->chunks = mt_saver_chunks(saver);
}

mt_status mt_archive_close(mt_archive *archive)
{
    if (archive == NULL) {
        return MT_OK;
    }
    mt_archive_end_array(archive);
    if (archive->reader == NULL && mt_archive_can_go_on(archive)) {
        mt_archive_keep(archive, commit(archive));
    }
    mt_status status = archive->status;
    char error[sizeof archive->error];
    memcpy(error, archive->error, sizeof error);
    mt_archive_discard(archive);
    return status == MT_OK ? MT_OK : mt_fail(status, "%s", error);
}

void mt_archive_write_group(mt_archive *archive, const char *group)
{
    mt_archive_end_array(archive);
    if (!mt_archive_can_go_on(archive)) {
        return;
    }
    hid_t properties = H5Pcreate(H5P_GROUP_CREATE), made = H5I_INVALID_HID;
    if (H5Pset_attr_phase_change(properties, 0, 0) >= 0 &&
        H5Pset_obj_track_times(properties, false) >= 0) {
        made = H5Gcreate2(archive->file, group, H5P_DEFAULT, properties, H5P_DEFAULT);
    }
    H5Pclose(properties);
    if (made < 0 || H5Gclose(made) < 0) {
        mt_archive_lacks_memory(archive, group);
    }
}
