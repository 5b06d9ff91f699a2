/* Calls of HDF5's library that can be made to fail, one after the other: the linker wraps those of
 * the library's objects (see tests/CMakeLists.txt). What closes something is not among them. */
#ifndef MT_TESTS_IO_FAILING_HDF5_H
#define MT_TESTS_IO_FAILING_HDF5_H

#include <errno.h>
#include <hdf5.h>
#include <stdbool.h>

static int hdf5_calls; /* since the last call of fail_hdf5 */
static int failing_hdf5_call;
static const char *failed_hdf5_call; /* its name */

/* The n-th call from now fails, once, and does nothing, as without memory; 0: none does. Returns
 * how many there were since the last such call. */
static inline int fail_hdf5(int n)
{
    int made = hdf5_calls;
    hdf5_calls = 0;
    failing_hdf5_call = n;
    return made;
}

static inline bool hdf5_fails(const char *name)
{
    bool fails = ++hdf5_calls == failing_hdf5_call;
    if (fails) {
        failed_hdf5_call = name;
        errno = ENOMEM;
    }
    return fails;
}

#define WRAP(type, name, parameters, arguments)                                                    \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return hdf5_fails(#name) ? -1 : __real_##name arguments;                                   \
    }

WRAP(hid_t, H5Acreate_by_name,
     (hid_t loc_id, const char *obj_name, const char *attr_name, hid_t type_id, hid_t space_id,
      hid_t acpl_id, hid_t aapl_id, hid_t lapl_id),
     (loc_id, obj_name, attr_name, type_id, space_id, acpl_id, aapl_id, lapl_id))
WRAP(htri_t, H5Aexists_by_name,
     (hid_t obj_id, const char *obj_name, const char *attr_name, hid_t lapl_id),
     (obj_id, obj_name, attr_name, lapl_id))
WRAP(hid_t, H5Aget_space, (hid_t attr_id), (attr_id))
WRAP(hid_t, H5Aget_type, (hid_t attr_id), (attr_id))
WRAP(hid_t, H5Aopen_by_name,
     (hid_t loc_id, const char *obj_name, const char *attr_name, hid_t aapl_id, hid_t lapl_id),
     (loc_id, obj_name, attr_name, aapl_id, lapl_id))
WRAP(herr_t, H5Aread, (hid_t attr_id, hid_t type_id, void *buf), (attr_id, type_id, buf))
WRAP(herr_t, H5Awrite, (hid_t attr_id, hid_t type_id, const void *buf), (attr_id, type_id, buf))
WRAP(hid_t, H5Dcreate2,
     (hid_t loc_id, const char *name, hid_t type_id, hid_t space_id, hid_t lcpl_id, hid_t dcpl_id,
      hid_t dapl_id),
     (loc_id, name, type_id, space_id, lcpl_id, dcpl_id, dapl_id))
WRAP(herr_t, H5Dget_chunk_storage_size,
     (hid_t dset_id, const hsize_t *offset, hsize_t *chunk_nbytes), (dset_id, offset, chunk_nbytes))
WRAP(hid_t, H5Dget_create_plist, (hid_t dset_id), (dset_id))
WRAP(hid_t, H5Dget_space, (hid_t dset_id), (dset_id))
WRAP(hid_t, H5Dget_type, (hid_t dset_id), (dset_id))
WRAP(hid_t, H5Dopen2, (hid_t loc_id, const char *name, hid_t dapl_id), (loc_id, name, dapl_id))
WRAP(herr_t, H5Dread,
     (hid_t dset_id, hid_t mem_type_id, hid_t mem_space_id, hid_t file_space_id, hid_t dxpl_id,
      void *buf),
     (dset_id, mem_type_id, mem_space_id, file_space_id, dxpl_id, buf))
WRAP(herr_t, H5Dread_chunk,
     (hid_t dset_id, hid_t dxpl_id, const hsize_t *offset, uint32_t *filters, void *buf),
     (dset_id, dxpl_id, offset, filters, buf))
WRAP(herr_t, H5Dwrite,
     (hid_t dset_id, hid_t mem_type_id, hid_t mem_space_id, hid_t file_space_id, hid_t dxpl_id,
      const void *buf),
     (dset_id, mem_type_id, mem_space_id, file_space_id, dxpl_id, buf))
WRAP(herr_t, H5Dwrite_chunk,
     (hid_t dset_id, hid_t dxpl_id, uint32_t filters, const hsize_t *offset, size_t data_size,
      const void *buf),
     (dset_id, dxpl_id, filters, offset, data_size, buf))
WRAP(hid_t, H5FDregister, (const H5FD_class_t *cls), (cls))
WRAP(hid_t, H5Fcreate, (const char *filename, unsigned flags, hid_t fcpl_id, hid_t fapl_id),
     (filename, flags, fcpl_id, fapl_id))
WRAP(herr_t, H5Fflush, (hid_t object_id, H5F_scope_t scope), (object_id, scope))
WRAP(herr_t, H5Fget_filesize, (hid_t file_id, hsize_t *size), (file_id, size))
WRAP(hid_t, H5Fopen, (const char *filename, unsigned flags, hid_t fapl_id),
     (filename, flags, fapl_id))
WRAP(herr_t, H5Fget_vfd_handle, (hid_t file_id, hid_t fapl, void **file_handle),
     (file_id, fapl, file_handle))
WRAP(hid_t, H5Gcreate2,
     (hid_t loc_id, const char *name, hid_t lcpl_id, hid_t gcpl_id, hid_t gapl_id),
     (loc_id, name, lcpl_id, gcpl_id, gapl_id))
WRAP(hid_t, H5Gget_create_plist, (hid_t group_id), (group_id))
WRAP(hid_t, H5Gopen2, (hid_t loc_id, const char *name, hid_t gapl_id), (loc_id, name, gapl_id))
WRAP(htri_t, H5Lexists, (hid_t loc_id, const char *name, hid_t lapl_id), (loc_id, name, lapl_id))
WRAP(hid_t, H5Pcreate, (hid_t cls_id), (cls_id))
WRAP(int, H5Pget_chunk, (hid_t plist_id, int max_ndims, hsize_t dim[]), (plist_id, max_ndims, dim))
WRAP(herr_t, H5Pset_attr_phase_change, (hid_t plist_id, unsigned max_compact, unsigned min_dense),
     (plist_id, max_compact, min_dense))
WRAP(herr_t, H5Pset_chunk, (hid_t plist_id, int ndims, const hsize_t dim[]), (plist_id, ndims, dim))
WRAP(herr_t, H5Pset_driver, (hid_t plist_id, hid_t driver_id, const void *driver_info),
     (plist_id, driver_id, driver_info))
WRAP(herr_t, H5Pset_fill_value, (hid_t plist_id, hid_t type_id, const void *value),
     (plist_id, type_id, value))
WRAP(herr_t, H5Pset_fletcher32, (hid_t plist_id), (plist_id))
WRAP(herr_t, H5Pset_layout, (hid_t plist_id, H5D_layout_t layout), (plist_id, layout))
WRAP(herr_t, H5Pset_libver_bounds, (hid_t plist_id, H5F_libver_t low, H5F_libver_t high),
     (plist_id, low, high))
WRAP(herr_t, H5Pset_obj_track_times, (hid_t plist_id, hbool_t track_times), (plist_id, track_times))
WRAP(hid_t, H5Screate, (H5S_class_t type), (type))
WRAP(hid_t, H5Screate_simple, (int rank, const hsize_t dims[], const hsize_t maxdims[]),
     (rank, dims, maxdims))
WRAP(hssize_t, H5Sget_select_npoints, (hid_t spaceid), (spaceid))
WRAP(int, H5Sget_simple_extent_dims, (hid_t space_id, hsize_t dims[], hsize_t maxdims[]),
     (space_id, dims, maxdims))
WRAP(int, H5Sget_simple_extent_ndims, (hid_t space_id), (space_id))
WRAP(herr_t, H5Sselect_hyperslab,
     (hid_t space_id, H5S_seloper_t op, const hsize_t start[], const hsize_t stride[],
      const hsize_t count[], const hsize_t block[]),
     (space_id, op, start, stride, count, block))
WRAP(hid_t, H5Tcopy, (hid_t type_id), (type_id))
WRAP(htri_t, H5Tequal, (hid_t type1_id, hid_t type2_id), (type1_id, type2_id))
WRAP(herr_t, H5Tset_cset, (hid_t type_id, H5T_cset_t cset), (type_id, cset))
WRAP(herr_t, H5Tset_size, (hid_t type_id, size_t size), (type_id, size))
WRAP(herr_t, H5Tset_strpad, (hid_t type_id, H5T_str_t strpad), (type_id, strpad))

#endif
