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

static Suite *hdf5_reader_suite(void)
{
    return SUITE_WITH("io/hdf5_reader", io_setup, io_teardown,
                      test_names_of_a_group_pass_no_filter);
}

MT_TEST_MAIN(hdf5_reader_suite)
