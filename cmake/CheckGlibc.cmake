# Fails if one of FILES needs a symbol of a C library that is newer than NEWEST, as OBJDUMP tells.
foreach(file IN LISTS FILES)
  execute_process(COMMAND ${OBJDUMP} -T ${file} OUTPUT_VARIABLE symbols
    COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "GLIBC_[0-9.]+\\)? +[A-Za-z0-9_]+" symbols "${symbols}")
  foreach(symbol IN LISTS symbols)
    string(REGEX REPLACE "GLIBC_([0-9.]+).*" "\\1" version ${symbol})
    if(version VERSION_GREATER NEWEST)
      message(FATAL_ERROR "${file} needs ${symbol}, which is newer than ${NEWEST}")
    endif()
  endforeach()
endforeach()
