# With MIXTAPE_BUNDLED what Mixtape stands on is built here, from the archives of bundled.tsv, as
# static libraries under the same names as Dependencies.cmake finds them: for a wheel, which must
# run where nothing is installed.
include(ExternalProject)
if(POLICY CMP0135)
  cmake_policy(SET CMP0135 NEW) # what is extracted is of now, so that it is built again
endif()
find_package(Threads REQUIRED)
enable_language(CXX) # SentencePiece's
set(MIXTAPE_WITH_ZLIB ON)
set(MIXTAPE_WITH_SENTENCEPIECE ON)
set(MIXTAPE_SOURCES ${PROJECT_SOURCE_DIR}/bundled CACHE PATH
  "Where the archives of cmake/bundled.tsv are (scripts/bundled-sources puts them there)")
set(MIXTAPE_BUNDLED_PREFIX ${PROJECT_BINARY_DIR}/bundled CACHE PATH
  "Where they are built, and found again by other builds that name the same folder")
set(BUNDLED_PREFIX ${MIXTAPE_BUNDLED_PREFIX})
get_filename_component(BUNDLED_PARENT ${BUNDLED_PREFIX} DIRECTORY)
file(STRINGS ${PROJECT_SOURCE_DIR}/cmake/bundled.tsv BUNDLED_ROWS REGEX "^[^#]")
file(MAKE_DIRECTORY ${BUNDLED_PREFIX}/include ${BUNDLED_PREFIX}/lib)

# What libmixtape exports is what MT_API marks, and a file of the build belongs in no error message.
set(BUNDLED_FLAGS "-O2 -fPIC -fvisibility=hidden -ffile-prefix-map=${BUNDLED_PARENT}=.")
string(STRIP "${CMAKE_C_COMPILER_LAUNCHER} ${CMAKE_C_COMPILER}" BUNDLED_CC)

# bundled_row(<package>): its row of the table, as a list, in <row>.
function(bundled_row package)
  set(rows ${BUNDLED_ROWS})
  list(FILTER rows INCLUDE REGEX "^${package}\t")
  separate_arguments(row UNIX_COMMAND "${rows}")
  set(row ${row} PARENT_SCOPE)
endfunction()

# mixtape_bundle(<package> <target> <library> [<argument of ExternalProject_Add>...]): the package's
# <library>.a as <target>.
function(mixtape_bundle package target library)
  bundled_row(${package})
  list(GET row 2 archive)
  list(GET row 3 hash)
  if(NOT EXISTS ${MIXTAPE_SOURCES}/${archive})
    message(FATAL_ERROR "${MIXTAPE_SOURCES}/${archive}: no such file; "
      "scripts/bundled-sources ${MIXTAPE_SOURCES} fetches it")
  endif()
  set(file ${BUNDLED_PREFIX}/lib/${library}.a)
  string(SHA256 made "${row} ${ARGN}")
  set(made ${BUNDLED_PREFIX}/${package}/${made}) # once it is, of this archive and in this way
  if(EXISTS ${made})
    add_custom_target(bundled_${package})
  else()
    file(GLOB others LIST_DIRECTORIES OFF ${BUNDLED_PREFIX}/${package}/*)
    if(others)
      file(REMOVE ${others}) # what they tell of will be there no longer
    endif()
    ExternalProject_Add(bundled_${package}
      URL ${MIXTAPE_SOURCES}/${archive}
      URL_HASH SHA256=${hash}
      PREFIX ${BUNDLED_PREFIX}/${package}
      INSTALL_DIR ${BUNDLED_PREFIX}
      BUILD_BYPRODUCTS ${file}
      LOG_CONFIGURE ON LOG_BUILD ON LOG_INSTALL ON LOG_OUTPUT_ON_FAILURE ON
      ${ARGN})
    ExternalProject_Add_Step(bundled_${package} made DEPENDEES install
      COMMAND ${CMAKE_COMMAND} -E touch ${made})
  endif()
  add_library(${target} STATIC IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION ${file}
    INTERFACE_INCLUDE_DIRECTORIES ${BUNDLED_PREFIX}/include)
  add_dependencies(${target} bundled_${package})
endfunction()

set(BUNDLED_CMAKE CMAKE_ARGS
  -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS=${BUNDLED_FLAGS}
  -DCMAKE_C_COMPILER=${CMAKE_C_COMPILER} -DCMAKE_C_COMPILER_LAUNCHER=${CMAKE_C_COMPILER_LAUNCHER}
  -DCMAKE_INSTALL_PREFIX=${BUNDLED_PREFIX} -DCMAKE_INSTALL_LIBDIR=lib -DBUILD_SHARED_LIBS=OFF
  -DBUILD_TESTING=OFF -DCMAKE_POLICY_VERSION_MINIMUM=3.5) # CMake 4 takes none that ask for less
mixtape_bundle(zlib ZLIB::ZLIB libz # Debian's archive lacks what zlib's CMake asks for
  BUILD_IN_SOURCE ON
  CONFIGURE_COMMAND ${CMAKE_COMMAND} -E env "CC=${BUNDLED_CC}" "CFLAGS=${BUNDLED_FLAGS}"
                    ./configure --static --prefix=${BUNDLED_PREFIX}
  BUILD_COMMAND make libz.a
  INSTALL_COMMAND make install)
mixtape_bundle(jansson jansson::jansson libjansson ${BUNDLED_CMAKE}
  -DJANSSON_EXAMPLES=OFF -DJANSSON_BUILD_DOCS=OFF -DJANSSON_WITHOUT_TESTS=ON)
mixtape_bundle(libyaml yaml::yaml libyaml ${BUNDLED_CMAKE})
mixtape_bundle(utf8proc utf8proc::utf8proc libutf8proc ${BUNDLED_CMAKE})

# HDF5's library alone. It reads nothing from the web, and what it compresses zlib can.
mixtape_bundle(hdf5 HDF5::HDF5 libhdf5 DEPENDS bundled_zlib ${BUNDLED_CMAKE}
  -DHDF5_BUILD_TOOLS=OFF -DHDF5_BUILD_EXAMPLES=OFF -DHDF5_BUILD_HL_LIB=OFF
  -DHDF5_ENABLE_SZIP_SUPPORT=OFF -DHDF5_ENABLE_EMBEDDED_LIBINFO=OFF
  -DHDF5_ENABLE_Z_LIB_SUPPORT=ON -DZLIB_LIBRARY=${BUNDLED_PREFIX}/lib/libz.a
  -DZLIB_INCLUDE_DIR=${BUNDLED_PREFIX}/include)
target_link_libraries(HDF5::HDF5 INTERFACE ZLIB::ZLIB)

# OpenBLAS for the processors that differ in the kernels of a product. Mixtape's threads each call
# it alone (kernels/cpu/blas.h), so it has none, nor OpenMP, whose library might meet PyTorch's in
# a process; and as many buffers as Debian's build. What the processors share is for none of them,
# rather than for the one that builds. Long doubles and the drivers of products with vectors, which
# nobody calls, would nearly double the time.
set(BUNDLED_OPENBLAS "CC=${BUNDLED_CC}"
  TARGET=GENERIC DYNAMIC_ARCH=1 "DYNAMIC_LIST=HASWELL SKYLAKEX"
  USE_THREAD=0 USE_LOCKING=1 NUM_PARALLEL=64 ONLY_CBLAS=1 NO_LAPACK=1 NO_LAPACKE=1 NOFORTRAN=1
  BUILD_SINGLE=1 BUILD_DOUBLE=1 NO_EXPRECISION=1 NO_SHARED=1
  "BLASDIRS=interface driver/level3 driver/others")
mixtape_bundle(openblas OpenBLAS::OpenBLAS libopenblas
  BUILD_IN_SOURCE ON CONFIGURE_COMMAND ${CMAKE_COMMAND} -E true
  BUILD_COMMAND make -s libs ${BUNDLED_OPENBLAS}
  INSTALL_COMMAND make -s install ${BUNDLED_OPENBLAS} PREFIX=${BUNDLED_PREFIX})
target_link_libraries(OpenBLAS::OpenBLAS INTERFACE m)

# What reads SentencePiece's models, with its own protobuf, and not what makes them. It is the
# command's alone: no symbol of C++ is in libmixtape, to meet PyTorch's or those of Python's
# sentencepiece in a process.
mixtape_bundle(sentencepiece SentencePiece::SentencePiece libsentencepiece ${BUNDLED_CMAKE}
  -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER} -DCMAKE_CXX_FLAGS=${BUNDLED_FLAGS}
  -DCMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER}
  -DSPM_ENABLE_SHARED=OFF -DSPM_ENABLE_TCMALLOC=OFF
  BUILD_COMMAND ${CMAKE_COMMAND} --build <BINARY_DIR> --target sentencepiece-static
  INSTALL_COMMAND ${CMAKE_COMMAND} -E copy
    <SOURCE_DIR>/src/sentencepiece_processor.h ${BUNDLED_PREFIX}/include
  COMMAND ${CMAKE_COMMAND} -E copy
    <BINARY_DIR>/src/libsentencepiece.a ${BUNDLED_PREFIX}/lib)
target_link_libraries(SentencePiece::SentencePiece INTERFACE Threads::Threads)
bundled_row(sentencepiece)
list(GET row 1 SentencePiece__SentencePiece_VERSION)
string(REGEX REPLACE "-[^-]*$" "" SentencePiece__SentencePiece_VERSION
  "${SentencePiece__SentencePiece_VERSION}")
