# Decides whether the command reads models of SentencePiece by its C++ library, which takes a C++
# compiler: MIXTAPE_WITH_SENTENCEPIECE.
set(MIXTAPE_WITH_SENTENCEPIECE OFF)
if(MIXTAPE_SENTENCEPIECE STREQUAL "OFF")
  message(STATUS "SentencePiece: models are read by Python (MIXTAPE_SENTENCEPIECE=OFF)")
  return()
endif()

check_language(CXX)
if(CMAKE_CXX_COMPILER AND PkgConfig_FOUND)
  mixtape_find_module(sentencepiece SentencePiece::SentencePiece QUIET)
endif()
if(TARGET SentencePiece::SentencePiece)
  enable_language(CXX)
  set(MIXTAPE_WITH_SENTENCEPIECE ON)
  message(STATUS
    "SentencePiece: models are read by its library, ${SentencePiece__SentencePiece_VERSION}")
elseif(MIXTAPE_SENTENCEPIECE STREQUAL "ON")
  message(FATAL_ERROR "MIXTAPE_SENTENCEPIECE=ON, but its library was not found by pkg-config, or "
    "no C++ compiler (Debian: apt-get install libsentencepiece-dev g++)")
else()
  message(STATUS "SentencePiece: models are read by Python (its C++ library was not found; Debian: "
    "apt-get install libsentencepiece-dev g++)")
endif()
