# Installs the build, moves it elsewhere, and builds and runs the examples against what was
# installed: by the CMake package with either library, with all of the dependencies and without, and
# by pkg-config. Fails with the step that failed.
set(work ${BUILD}/test-install/work)
set(prefix ${BUILD}/test-install/moved)
file(REMOVE_RECURSE ${BUILD}/test-install)
file(MAKE_DIRECTORY ${work})

function(step)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${work}
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${ARGN}: ${result}\n${output}")
  endif()
  message(STATUS "${output}")
  set(output ${output} PARENT_SCOPE)
endfunction()

# What is installed can be taken away whole, and nothing else with it.
set(gone ${BUILD}/test-install/gone)
file(WRITE ${gone}/include/other.h "")
step(${CMAKE_COMMAND} --install ${BUILD} --prefix ${gone})
step(${CMAKE_COMMAND} --build ${BUILD} --target uninstall)
file(GLOB_RECURSE left RELATIVE ${gone} ${gone}/*)
if(NOT left STREQUAL "include/other.h" OR EXISTS ${gone}/include/mixtape)
  message(FATAL_ERROR "after uninstalling there is: ${left}")
endif()

step(${CMAKE_COMMAND} --install ${BUILD} --prefix ${BUILD}/test-install/prefix)
file(RENAME ${BUILD}/test-install/prefix ${prefix})
file(GLOB_RECURSE pc ${prefix}/*/mixtape.pc)
get_filename_component(pc_folder ${pc} DIRECTORY)
get_filename_component(library_folder ${pc_folder} DIRECTORY)

# consumer(<folder> <kinds> [<option>...]): configures this folder's project, and builds and runs
# its programs.
function(consumer folder kinds)
  step(${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE} -B ${work}/${folder}
    -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_C_COMPILER=${COMPILER}
       -DKINDS=${kinds} ${ARGN})
  if(kinds)
    step(${CMAKE_COMMAND} --build ${work}/${folder})
  endif()
  string(REPLACE "," ";" kinds "${kinds}")
  foreach(kind IN LISTS kinds)
    step(${work}/${folder}/program_${kind})
  endforeach()
endfunction()

# pkg-config finds what the static library needs, and neither what the command needs nor what the
# tests do.
foreach(module openblas libutf8proc jansson zlib)
  execute_process(COMMAND pkg-config --variable=pcfiledir ${module}
    OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE)
  file(COPY ${folder}/${module}.pc DESTINATION ${work}/modules FOLLOW_SYMLINK_CHAIN)
endforeach()
set(without -DCMAKE_DISABLE_FIND_PACKAGE_HDF5=ON -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON)
set(ENV{PKG_CONFIG_LIBDIR} ${work}/modules)
consumer(both static,shared)
consumer(shared shared -DCOMPONENTS=shared)
consumer(shared_without shared -DCOMPONENTS=shared ${without})
consumer(without shared ${without})
consumer(without_hdf5 "" -DCOMPONENTS=static -DCMAKE_DISABLE_FIND_PACKAGE_HDF5=ON
  "-DMISSING=mixtape_static needs HDF5 .*libhdf5-dev")
set(ENV{PKG_CONFIG_LIBDIR} ${work}/none)
consumer(without_modules "" -DCOMPONENTS=shared,static "-DMISSING=openblas.*libutf8proc.*jansson")

# Every example, as its own project builds it; training goes on from the checkpoint that it left.
set(ENV{PKG_CONFIG_LIBDIR} ${work}/none)
step(${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE}/../../examples -B ${work}/examples
     -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_C_COMPILER=${COMPILER}
     -DCMAKE_CXX_COMPILER=${CXX_COMPILER} "-DCMAKE_C_FLAGS=-Werror" "-DCMAKE_CXX_FLAGS=-Werror"
     "-DCMAKE_CUDA_COMPILER=${CUDA_COMPILER}" -DCMAKE_CUDA_ARCHITECTURES=80)
step(${CMAKE_COMMAND} --build ${work}/examples)
if(CUDA_COMPILER)
  step(${work}/examples/operator_cuda cpu)
endif()
foreach(example wkv wkv_gradient operator train stream)
  step(${work}/examples/${example})
endforeach()
step(${work}/examples/train train.h5)
if(NOT output MATCHES "600: 0\\.0")
  message(FATAL_ERROR "training did not go on: ${output}")
endif()

# A project with the source in it finds the headers by the targets. Where it has its own files
# compiled in one, Mixtape's are not; and its type of build is its own.
unset(ENV{PKG_CONFIG_LIBDIR})
foreach(way FetchContent add_subdirectory)
  step(${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE}/within -B ${work}/${way}
    -DCMAKE_C_COMPILER=${COMPILER} -DMIXTAPE=${SOURCE}/../.. -DBY=${way} -DCMAKE_UNITY_BUILD=ON)
  step(${CMAKE_COMMAND} --build ${work}/${way} --target program)
  file(GLOB_RECURSE unity RELATIVE ${work}/${way} ${work}/${way}/unity_*.c)
  list(FILTER unity EXCLUDE REGEX "CMakeFiles/program")
  if(unity)
    message(FATAL_ERROR "put together, though names are several files' own: ${unity}")
  endif()
endforeach()

# By pkg-config, which finds this package alone.
set(ENV{PKG_CONFIG_LIBDIR} ${pc_folder})
set(compile "${COMPILER} ${SOURCE}/../../examples/train.c -o program")
step(sh -c "${compile} $(pkg-config --cflags --libs mixtape)")
step(${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${library_folder} ${work}/program)
set(static "$(pkg-config --static --libs mixtape | sed s/-lmixtape/-l:libmixtape.a/)")
step(sh -c "${compile} $(pkg-config --cflags mixtape) ${static}")
step(${work}/program)

# The command runs from where it was installed, and is the version that is to be cited.
step(${prefix}/bin/mixtape --version)
string(REGEX MATCH "[0-9.]+" version "${output}")
file(STRINGS ${SOURCE}/../../CITATION.cff cited REGEX "^(version|license): ")
if(NOT cited STREQUAL "version: ${version};license: Apache-2.0")
  message(FATAL_ERROR "CITATION.cff has ${cited}, and the command is ${version}")
endif()

# It finds MPI beside it there, which knows of no others.
if(EXISTS ${BUILD}/libmixtape_mpi.so)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env PMI_SIZE=2 ${prefix}/bin/mixtape train copy
    WORKING_DIRECTORY ${work} ERROR_VARIABLE output)
  if(NOT output MATCHES "MPI connects 1")
    message(FATAL_ERROR "mixtape with PMI_SIZE=2: ${output}")
  endif()
endif()

# Each header can be included by itself, in C and in C++.
file(GLOB_RECURSE headers RELATIVE ${prefix}/include ${prefix}/include/*.h)
foreach(header IN LISTS headers)
  file(WRITE ${work}/header.c "#include <${header}>\ntypedef int not_empty;\n")
  step(${COMPILER} -std=c11 -fsyntax-only -Wall -Wextra -Wpedantic -Werror
    -I${prefix}/include header.c)
  step(${CXX_COMPILER} -x c++ -std=c++17 -fsyntax-only -Wall -Wextra -Wpedantic -Werror
    -I${prefix}/include header.c)
endforeach()

# Every symbol that is exported is declared in a header ...
step(nm -D --defined-only ${library_folder}/libmixtape.so)
string(REGEX MATCHALL "[^ \n]+\n" exported "${output}")
list(TRANSFORM exported STRIP)
list(LENGTH exported count)
if(count LESS 100)
  message(FATAL_ERROR "${count} symbols are exported")
endif()
list(TRANSFORM exported PREPEND "(const void *)&" OUTPUT_VARIABLE addresses)
list(JOIN addresses ", " addresses)
set(includes ${headers})
list(TRANSFORM includes REPLACE "(.+)" "#include <\\1>\n")
list(JOIN includes "" includes)
file(WRITE ${work}/exported.c "${includes}const void *const addresses[] = {${addresses}};\n")
step(${COMPILER} -fsyntax-only -Werror -I${prefix}/include exported.c)

# ... and every function and table that a header declares is exported.
file(WRITE ${work}/headers.c "${includes}")
step(${COMPILER} -E -P -I${prefix}/include headers.c -o headers.i)
file(READ ${work}/headers.i text)
# (a type before (* is that of a pointer to a function)
string(REGEX MATCHALL "mt_[A-Za-z0-9_]+\\([^*]" functions "${text}")
string(REGEX MATCHALL "extern [A-Za-z0-9_ *]*mt_[A-Za-z0-9_]+" tables "${text}")
set(declared ${functions} ${tables})
list(TRANSFORM declared REPLACE ".*(mt_[A-Za-z0-9_]+).*" "\\1")
list(REMOVE_DUPLICATES declared)
list(REMOVE_ITEM declared ${exported})
if(declared)
  message(FATAL_ERROR "declared in an installed header, but not exported: ${declared}")
endif()
