/* What a reader of HDF5 refuses, and h5py cannot write (tests/io/test_hostile_files.py has the
 * rest). */
#include "io/archive.h"
#include "tests/io/io_test.h"

#include <hdf5.h>

/* A group of many names, which are kept as `filters` of deflate leave them. */
static const char *make_group(int filters)
{
    enum { NAMES = 64 };
    const char *path = in_folder("a.h5");
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    H5Pset_link_phase_change(creation, 0, 0);
    for (int i = 0; i < filters; i++) {
        H5Pset_deflate(creation, 9);
    }
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    hid_t group = H5Gcreate2(file, "/model", H5P_DEFAULT, creation, H5P_DEFAULT);
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        snprintf(name, sizeof name, "name%d", i);
        H5Gclose(H5Gcreate2(group, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    }
    H5Gclose(group);
    H5Pclose(creation);
    H5Pclose(access);
    ck_assert_int_ge(H5Fclose(file), 0);
    return path;
}

static void ignore_name(mt_archive *archive, const char *name, void *context)
{
    (void)archive;
    (void)name;
    (void)context;
}

static mt_status list_group(int filters)
{
    mt_archive *archive;
    ASSERT_OK(mt_archive_open(make_group(filters), &archive));
    mt_archive_visit(archive, "/model", ignore_name, NULL);
    return mt_archive_close(archive);
}

START_TEST(test_names_of_a_group_pass_no_filter)
{
    ASSERT_OK(list_group(0));
    ASSERT_FAILS(list_group(1), MT_ERROR_FORMAT, "a.h5: /model: 1 filters, where a group has none");
}
END_TEST

enum { VALUES = 300000 };

/* Values in one packed chunk, which is larger than what HDF5 keeps of itself. */
static const char *make_chunk(void)
{
    static int32_t values[VALUES];
    const char *path = in_folder("b.h5");
    for (int i = 0; i < VALUES; i++) {
        values[i] = i;
    }
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(1, (const hsize_t[]){VALUES}, NULL);
    hid_t packed = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(packed, 1, (const hsize_t[]){VALUES});
    H5Pset_deflate(packed, 1);
    hid_t made = H5Dcreate2(file, "/ids", H5T_STD_I32LE, space, H5P_DEFAULT, packed, H5P_DEFAULT);
    ck_assert_int_ge(H5Dwrite(made, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), 0);
    H5Dclose(made);
    H5Pclose(packed);
    H5Sclose(space);
    ck_assert_int_ge(H5Fclose(file), 0);
    return path;
}

/* How many bytes this process has read from files. */
static long bytes_read(void)
{
    char line[64] = "";
    const char *before = "rchar: ";
    FILE *file = fopen("/proc/self/io", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
    fclose(file);
    ck_assert_int_eq(strncmp(line, before, strlen(before)), 0);
    return strtol(line + strlen(before), NULL, 10);
}

START_TEST(test_a_packed_chunk_is_read_once_for_all_of_its_pieces)
{
    enum { PIECES = 20, PIECE = 7 };
    mt_archive *archive;
    mt_dtype dtype = MT_I32;
    int rank;
    int64_t shape[MT_MAX_RANK];
    int32_t piece[PIECE];
    ASSERT_OK(mt_archive_open(make_chunk(), &archive));
    mt_archive_inspect_array(archive, "/", "ids", &dtype, &rank, shape);
    long first = 0;
    for (int i = 0; i < PIECES; i++) {
        int32_t at = (PIECES - i) * 9999;
        mt_archive_read_rows(archive, "/", "ids", MT_I32, at, PIECE, sizeof piece, piece);
        ASSERT_OK(mt_archive_status(archive));
        ck_assert_int_eq(piece[PIECE - 1], at + PIECE - 1);
        first = i == 0 ? bytes_read() : first;
    }
    ck_assert_int_lt(bytes_read() - first, 20000);
    ASSERT_OK(mt_archive_close(archive));
}
END_TEST

static Suite *hdf5_reader_suite(void)
{
    return SUITE_WITH("io/hdf5_reader", io_setup, io_teardown, test_names_of_a_group_pass_no_filter,
                      test_a_packed_chunk_is_read_once_for_all_of_its_pieces);
}

MT_TEST_MAIN(hdf5_reader_suite)
