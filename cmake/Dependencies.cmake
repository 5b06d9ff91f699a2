# Everything that Mixtape's build stands on, each as an imported target. What is missing is named
# with its Debian package.
include(LibraryDependencies)
find_package(PkgConfig)

set(MIXTAPE_WITH_ZLIB ${MIXTAPE_ZLIB})
if(MIXTAPE_ZLIB STREQUAL "AUTO")
  set(MIXTAPE_WITH_ZLIB OFF)
  if(PkgConfig_FOUND)
    mixtape_find_module(zlib ZLIB::ZLIB QUIET)
  endif()
  if(TARGET ZLIB::ZLIB)
    set(MIXTAPE_WITH_ZLIB ON)
  endif()
endif()
mixtape_find_dependencies(MIXTAPE_MISSING ${MIXTAPE_WITH_CUDA} ${MIXTAPE_WITH_ZLIB})
if(MIXTAPE_MISSING)
  message(FATAL_ERROR "not found: ${MIXTAPE_MISSING}")
endif()

mixtape_find_module(yaml-0.1 yaml::yaml) # config.yaml, which is the command's alone
if(NOT TARGET yaml::yaml)
  message(FATAL_ERROR "not found: yaml-0.1 by pkg-config (Debian: apt-get install libyaml-dev)")
endif()

include(SentencePiece)
