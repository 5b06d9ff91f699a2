# By what name oneDNN is loaded: MIXTAPE_ONEDNN_SONAME, which the library that is here says of
# itself (Debian 12: libdnnl.so.2, Debian 13: libdnnl.so.3.6).
find_library(MIXTAPE_ONEDNN_LIBRARY dnnl)
mark_as_advanced(MIXTAPE_ONEDNN_LIBRARY)
set(soname)
if(MIXTAPE_ONEDNN_LIBRARY AND CMAKE_OBJDUMP)
  execute_process(COMMAND ${CMAKE_OBJDUMP} -p ${MIXTAPE_ONEDNN_LIBRARY}
    OUTPUT_VARIABLE soname ERROR_QUIET)
  string(REGEX MATCH "SONAME +([^ \n]+)" soname "${soname}")
  set(soname ${CMAKE_MATCH_1})
endif()
if(NOT soname)
  file(STRINGS ${MIXTAPE_ONEDNN_INCLUDE}/oneapi/dnnl/dnnl_version.h soname
    REGEX "define DNNL_VERSION_MAJOR")
  string(REGEX REPLACE "[^0-9]" "" soname "${soname}")
  set(soname libdnnl.so.${soname})
endif()
set(MIXTAPE_ONEDNN_SONAME ${soname} CACHE INTERNAL "")
