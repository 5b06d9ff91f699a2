# Installs the build, and builds and runs program.c against what was installed: by the CMake package with either library, and
# by pkg-config. Fails with the step that failed.
set(prefix ${BUILD}/test-install/prefix)
set(work ${BUILD}/test-install/work)
file(REMOVE_RECURSE ${BUILD}/test-install)
file(MAKE_DIRECTORY ${work})

function(step)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output
                  WORKING_DIRECTORY ${work})
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${ARGN}: ${result}\n${output}")
  endif()
  message(STATUS "${output}")
endfunction()

step(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
step(${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE} -B ${work}/cmake -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_C_COMPILER=${COMPILER})
step(${CMAKE_COMMAND} --build ${work}/cmake)
step(${work}/cmake/program_static)
step(${work}/cmake/program_shared)

file(GLOB_RECURSE pc ${prefix}/*/mixtape.pc)
get_filename_component(pc_folder ${pc} DIRECTORY)
set(ENV{PKG_CONFIG_PATH} ${pc_folder})
foreach(mode "" "--static")
  step(sh -c "${COMPILER} ${SOURCE}/program.c -o program $(pkg-config --define-variable=prefix=${prefix} ${mode} --cflags --libs mixtape)")
  get_filename_component(library_folder ${pc_folder} DIRECTORY)
  step(${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${library_folder} ${work}/program)
endforeach()

# The command runs from where it was installed, and nothing internal is exported.
step(${prefix}/bin/mixtape --version)
step(sh -c "! nm -D --defined-only ${library_folder}/libmixtape.so | grep -v ' mt_'")
